"""What events tell of errors: the same in every form, never a reason to refuse one, and never a message."""

import json
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import Unprocessable
from service.domain.schema import ERROR, NO_ERROR, SOME_ERROR, Feature, FeatureKind
from service.frames import Frame, concat_frames, decode_columns, decode_frame, encode_frame
from service.ingest.decode import Raw
from service.ingest.deidentify import Deidentifier
from service.ingest.failures import KIND_CHARACTERS_MAX, errors_of, settled
from service.ingest.reference import read_reference
from service.ingest.schema import parse_schema
from service.ingest.values import coded
from tests.service.comparing import plain, same
from tests.service.ingest.support import (
    ARROW,
    DECODER,
    JSON,
    LIMITS,
    NDJSON,
    SCHEMA,
    Event,
    as_columns,
    as_lines,
    as_rows,
    decode,
    stream,
)

TOLD = [
    (None, NO_ERROR),
    (False, NO_ERROR),
    ("", NO_ERROR),
    ("  ", NO_ERROR),
    ("false", NO_ERROR),
    ("None", NO_ERROR),
    ("null", NO_ERROR),
    (0, NO_ERROR),
    (True, SOME_ERROR),
    ("True", SOME_ERROR),
    (1, SOME_ERROR),
    ("timeout", "timeout"),
    (" Größe falsch ", "Größe falsch"),
    (503, "503"),
    ("x" * KIND_CHARACTERS_MAX, "x" * KIND_CHARACTERS_MAX),
    ("x" * (KIND_CHARACTERS_MAX + 1), SOME_ERROR),
    ("the input of 'Mary Smith' could not be read, since it is of no known form", SOME_ERROR),
    ("two\nlines", SOME_ERROR),
]
ODD = [([], "<invalid>"), ({"code": 5}, "<invalid>"), ("\ud800", "<invalid>"), (float("nan"), "<invalid>")]
FORMS = {"rows": (JSON, as_rows), "columns": (JSON, as_columns), "lines": (NDJSON, as_lines)}
WRITABLE = [one for one in TOLD + ODD if one[0] != "\ud800"]


def told(frame: Frame) -> object:
    """Return what a frame tells of errors, as text; ``None`` where it has no column of them."""
    if ERROR not in frame.categorical_names:
        return None
    return plain(frame.categorical[frame.categorical_names.index(ERROR)])


def events(*errors: object, odd: bool = False) -> list[Event]:
    return [{"features": {"age": "old" if odd else 1.0}, "error": error} for error in errors]


@pytest.mark.parametrize("odd", [False, True], ids=["clean", "with an odd value"])
@pytest.mark.parametrize("form", FORMS)
def test_an_error_means_the_same_in_every_form_of_json(form: str, *, odd: bool) -> None:
    kind, write = FORMS[form]
    batch = events(*[value for value, _ in TOLD], odd=odd)
    decoded = decode(write(batch), kind)
    assert told(decoded.frame) == [label for _, label in TOLD]
    assert (decoded.rejected, decoded.frame.rows) == (0, len(TOLD))
    assert decoded.invalid == ({"age": len(TOLD)} if odd else {})


@pytest.mark.parametrize("form", FORMS)
def test_an_error_that_is_no_label_is_invalid_and_never_refused(form: str) -> None:
    kind, write = FORMS[form]
    decoded = decode(write(events("timeout", *[value for value, _ in WRITABLE])), kind)
    assert told(decoded.frame) == ["timeout", *[label for _, label in WRITABLE]]
    assert (decoded.rejected, decoded.invalid) == (0, {ERROR: 3})


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([True, False, None]), [SOME_ERROR, NO_ERROR, NO_ERROR]),
        (pa.array(["timeout", "", None, "FALSE"]), ["timeout", NO_ERROR, NO_ERROR, NO_ERROR]),
        (pa.array(["timeout", "", None, "oom"], pa.large_string()), ["timeout", NO_ERROR, NO_ERROR, "oom"]),
        (pa.array(["timeout", "", None, "oom"], pa.string_view()), ["timeout", NO_ERROR, NO_ERROR, "oom"]),
        (pa.array(["oom", None, "oom", ""]).dictionary_encode(), ["oom", NO_ERROR, "oom", NO_ERROR]),
        (pa.array([None, "x" * 65, "ok no"]).dictionary_encode(), [NO_ERROR, SOME_ERROR, "ok no"]),
        (pa.array([0, 1, 503], pa.int16()), [NO_ERROR, SOME_ERROR, "503"]),
        (pa.array([0.0, 1.0, float("nan")], pa.float32()), [NO_ERROR, SOME_ERROR, NO_ERROR]),
        (pa.array([["a"], None]), ["<invalid>", NO_ERROR]),
        (pa.nulls(3), None),
        (pa.array([None, None], pa.string()), None),
        (pa.array([float("nan")] * 2, pa.float64()), None),
    ],
    ids=lambda one: str(one.type) if isinstance(one, pa.Array) else "",
)
@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()], ids=str)
def test_an_error_means_the_same_in_arrow(array: pa.Array, expected: object, kind: pa.DataType) -> None:
    table = pa.table({"features.age": pa.array([1.0] * len(array), kind), ERROR: array})
    decoded = decode(stream(table), ARROW)
    assert told(decoded.frame) == expected
    assert (decoded.rejected, decoded.frame.rows) == (0, len(array))


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_in_which_nobody_says_anything_has_no_column_of_errors(form: str) -> None:
    kind, write = FORMS[form]
    assert told(decode(write(events(None, None)), kind).frame) is None
    assert told(decode(write([{"features": {"age": 1.0}}]), kind).frame) is None
    assert told(decode(write(events(None, False)), kind).frame) == [NO_ERROR, NO_ERROR]


def test_no_column_knows_the_field_as_unknown() -> None:
    for kind, write in FORMS.values():
        assert decode(write(events("oom")), kind).frame.categorical_names == ("country", "plan", ERROR)


_anything = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 600) | st.floats() | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


@given(st.lists(_anything, min_size=1, max_size=6))
def test_whatever_is_told_is_one_thing_per_event_and_survives_the_log(values: list[object]) -> None:
    column = errors_of(values)
    same_text = plain(settled(coded(values)))
    assert plain(column) == same_text
    assert column.labels[0] == NO_ERROR
    assert all(label and len(label) <= KIND_CHARACTERS_MAX and label.isprintable() for label in column.labels)
    frame = decode(json.dumps({"events": events(*values)}).encode()).frame
    assert told(frame) == (same_text if any(value is not None for value in values) else None)
    stored = Deidentifier(bytes(32)).apply(SCHEMA, frame)
    body = encode_frame(stored)
    same(decode_frame(body), stored)
    assert told(decode_columns(body)) == told(frame)


def test_the_log_has_errors_as_one_more_column_so_that_older_entries_are_read_as_ever() -> None:
    without, with_errors = (decode(as_rows(events(value))).frame for value in (None, "oom"))
    assert encode_frame(without)[:1] == encode_frame(with_errors)[:1]
    first, second = concat_frames([decode_frame(encode_frame(frame)) for frame in (without, with_errors)])
    assert (told(first), told(second)) == (None, ["oom"])


@given(st.lists(st.lists(st.sampled_from([None, False, True, "oom"]), min_size=1, max_size=4), min_size=1, max_size=5))
def test_requests_that_share_an_entry_need_not_agree_on_telling_of_errors(requests: list[list[object]]) -> None:
    taken = [DECODER.few(Raw(as_rows(events(*errors)), JSON, None)) for errors in requests]
    assert all(request is not None for request in taken)
    assert len({request.make for request in taken if request is not None}) == 1
    joined = DECODER.join([request for request in taken if request is not None])
    assert joined is not None
    flat: list[Any] = [error for errors in requests for error in errors]
    expected = None if all(error is None for error in flat) else plain(errors_of(flat))
    assert told(joined) == expected


def test_a_treatment_of_features_leaves_errors_alone() -> None:
    treated = parse_schema(
        {
            "features": [{"name": "age", "kind": "numeric", "treatment": "bucket"}],
            "prediction": {"kind": "class"},
        },
        LIMITS,
    )
    frame = decode(as_rows(events("oom", None))).frame
    assert told(Deidentifier(bytes(32)).apply(treated, frame)) == ["oom", NO_ERROR]


def test_no_feature_may_be_called_error() -> None:
    feature = {"name": "error", "kind": "numeric"}
    with pytest.raises(Unprocessable) as refused:
        parse_schema({"features": [feature], "prediction": {"kind": "class"}}, LIMITS)
    assert [place.at for place in refused.value.places] == ["schema.features[0].name"]


ONE = SCHEMA.__class__(features=(Feature(name="age", kind=FeatureKind.NUMERIC),), prediction=SCHEMA.prediction)


def reference(source: bytes, kind: str) -> Frame:
    read = read_reference(source, kind, ONE, LIMITS)
    assert read.warnings == ()
    return read.frame


def test_reference_data_tells_of_errors_in_every_form() -> None:
    expected = [NO_ERROR, "timeout", SOME_ERROR, NO_ERROR]
    csv = b"age,error\n1,\n2,timeout\n3,True\n4,False\n"
    flat = b'{"age": 1}\n{"age": 2, "error": "timeout"}\n{"age": 3, "error": true}\n{"age": 4, "error": false}\n'
    table = pa.table({"age": [1.0, 2.0, 3.0, 4.0], ERROR: [None, "timeout", "true", ""]})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    for source, kind in (
        (csv, "text/csv"),
        (flat, NDJSON),
        (as_lines(events(None, "timeout", True, False)), NDJSON),
        (stream(table), ARROW),
        (sink.getvalue().to_pybytes(), "application/vnd.apache.parquet"),
    ):
        assert told(reference(source, kind)) == expected, kind
    assert told(reference(b"age,error\n1,\n2,\n", "text/csv")) is None
    assert told(reference(b"age,error\n1,false\n2,false\n", "text/csv")) == [NO_ERROR, NO_ERROR]


def test_pieces_of_a_reference_without_a_word_of_errors_have_none() -> None:
    lines = as_lines(events(None, None, "oom", None))
    with patch("service.ingest.reference_lines.PIECE_BYTES", 1):
        assert told(reference(lines, NDJSON)) == [NO_ERROR, NO_ERROR, "oom", NO_ERROR]


def test_a_reference_in_the_order_of_time_takes_its_errors_along() -> None:
    csv = b"age,error,timestamp\n1,oom,2026-01-02\n2,,2026-01-01\n"
    frame = read_reference(csv, "text/csv", ONE, LIMITS).frame
    assert told(frame) == [NO_ERROR, "oom"]
    assert frame.numeric[0].tolist() == [2.0, 1.0]
    assert np.asarray(frame.timestamps_us).tolist() == sorted(np.asarray(frame.timestamps_us).tolist())

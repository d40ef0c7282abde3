"""Fields that no schema knows: ignored, named, and never a reason to refuse."""

import json
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from msgspec.structs import replace

from service.domain.schema import (
    UNKNOWN_FIELDS,
    Feature,
    FeatureKind,
    Prediction,
    PredictionKind,
    Schema,
    Treatment,
)
from service.frames import Frame, decode_frame, encode_frame
from service.ingest.decode import EventDecoder, Raw
from service.ingest.unknown import NAME_LENGTH_MAX, REMEMBERED_MAX
from tests.service.ingest.support import (
    ARROW,
    CLASSES,
    JSON,
    LIMITS,
    NDJSON,
    SCHEMA,
    as_columns,
    as_lines,
    as_rows,
    as_table,
    stream,
)

CLEAN = {"features": {"age": 1.0, "country": "DE"}, "latency_ms": 2.0}


def decoded(body: bytes, content_type: str = JSON, decoder: EventDecoder | None = None) -> Frame:
    decoder = decoder or EventDecoder(SCHEMA, LIMITS)
    return decoder.decode(Raw(body, content_type, None)).frame


def unknown(frame: Frame) -> str | None:
    if UNKNOWN_FIELDS not in frame.categorical_names:
        return None
    column = frame.categorical[frame.categorical_names.index(UNKNOWN_FIELDS)]
    assert column.codes.tolist() == [0] * frame.rows
    return column.labels[0]


def event(features: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {**CLEAN, "features": {**CLEAN["features"], **(features or {})}, **more}  # type: ignore[dict-item]


def bodies(events: list[dict[str, Any]]) -> dict[str, bytes]:
    """Write events in each of the ways that take one path each."""
    first = events[0]
    columns = {
        name: {inner: [e[name][inner] for e in events] for inner in value}
        if isinstance(value, dict)
        else [e[name] for e in events]
        for name, value in first.items()
    }
    return {JSON: as_rows(events), NDJSON: as_lines(events), "columns": json.dumps({"columns": columns}).encode()}


@pytest.mark.parametrize("odd", [False, True], ids=["clean", "with an odd value"])
@pytest.mark.parametrize("form", [JSON, NDJSON, "columns"])
def test_unknown_fields_are_named_in_every_form_of_json(form: str, *, odd: bool) -> None:
    events = [event({"shoe_size": 43, "age": "old" if odd else 1.0}, gpu="a100") for _ in range(3)]
    content_type = NDJSON if form == NDJSON else JSON
    frame = decoded(bodies(events)[form], content_type)
    found = unknown(frame)
    assert found is not None
    assert set(found.split(", ")) == {"shoe_size", "gpu"}
    assert frame.rows == 3


def test_columns_of_a_stream_that_nobody_knows_are_named() -> None:
    for kind in (pa.float32(), pa.float64()):
        table = pa.table({"features.age": pa.array([1.0, 2.0], kind), "features.new": [1, 2], "x": [0, 0]})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        assert unknown(decoded(sink.getvalue().to_pybytes(), ARROW)) == "new, x"


@pytest.mark.parametrize("form", [JSON, NDJSON, "columns"])
def test_known_fields_are_no_surprise(form: str) -> None:
    body = bodies([event({"age": "old"}), event()])[form]
    assert unknown(decoded(body, NDJSON if form == NDJSON else JSON)) is None
    assert unknown(decoded(bodies([event(), event()])[form], NDJSON if form == NDJSON else JSON)) is None


def test_all_fields_of_a_sender_are_named_again_each_time() -> None:
    decoder = EventDecoder(SCHEMA, LIMITS)
    body = as_rows([event({"b": 1, "a": 2})])
    first, again = (unknown(decoded(body, decoder=decoder)) for _ in range(2))
    assert first == again == "b, a"


def test_names_are_bounded_in_number_and_length() -> None:
    decoder = EventDecoder(SCHEMA, LIMITS)
    many = unknown(decoded(as_rows([event({f"field {i:03}": 1 for i in range(50)})]), decoder=decoder))
    assert many is not None
    assert len(many.split(", ")) == 5
    long = unknown(decoded(as_rows([event({"x" * 5_000: 1})]), decoder=decoder))
    assert long == "x" * NAME_LENGTH_MAX
    found = [
        unknown(decoded(as_rows([event({f"new {i}": 1, "other": 1})]), decoder=decoder))
        for i in range(REMEMBERED_MAX + 5)
    ]
    assert found[0] == "new 0, other"
    assert found[-1] == f"new {REMEMBERED_MAX + 4}"
    assert len(decoder._unknown._known) == REMEMBERED_MAX


@pytest.mark.parametrize("name", ["` - at `$.x`", "a\nb", "größe", '"', ""])
def test_any_name_may_come(name: str) -> None:
    frame = decoded(as_rows([event({name: 1})]))
    assert unknown(frame) in {name[:NAME_LENGTH_MAX], None}
    assert decode_frame(encode_frame(frame)).categorical_names == frame.categorical_names


def test_what_the_decoder_says_of_a_field_is_still_understood() -> None:
    """The words are the library's own; if they change, names would be lost without a sign."""
    with pytest.raises(msgspec.ValidationError, match="Object contains unknown field `new` - at"):
        EventDecoder(SCHEMA, LIMITS)._exact._body.decode(as_rows([event({"new": 1})]))


UNTOLD = Schema(
    features=(Feature(name="age", kind=FeatureKind.NUMERIC), Feature(name="country", kind=FeatureKind.CATEGORICAL)),
    prediction=Prediction(kind=PredictionKind.CLASS, classes=CLASSES),
)
"""Without an embedding."""
CHANCES = {"fraud": 0.5, "ok": 0.5}
SURPRISING: dict[str, dict[str, Any]] = {
    "embedding": {"embedding": [0.5, 0.25]},
    "probabilities.maybe": {"probabilities": {**CHANCES, "maybe": 0.0}},
    "attributions.shoe_size": {"attributions": {"age": 0.5, "shoe_size": 0.25}},
}
USUAL: dict[str, dict[str, Any]] = {
    "embedding": {"embedding": None},
    "classes": {"probabilities": CHANCES},
    "one class": {"probabilities": {"ok": 0.5}},
    "attributions": {"attributions": {"age": 0.5, "country": 0.25}},
    "segment": {"segment": {"any": "x"}},
}


def forms(events: list[dict[str, Any]]) -> dict[str, tuple[bytes, str]]:
    """Write events in every format, also with a value that only the lenient reader takes."""
    odd = [{**events[0], "features": {**events[0]["features"], "age": "old"}}, *events[1:]]
    written = {"rows": (as_rows(events), JSON), "lines": (as_lines(events), NDJSON)}
    written["columns"] = (as_columns(events), JSON)
    written |= {"odd rows": (as_rows(odd), JSON), "odd lines": (as_lines(odd), NDJSON)}
    written["odd columns"] = (as_columns(odd), JSON)
    written["arrow"] = (stream(as_table(events)), ARROW)
    table = as_table(events)
    narrow = table.set_column(
        table.column_names.index("features.age"), "features.age", table["features.age"].cast("f4")
    )
    return {**written, "arrow of plain floats": (stream(narrow), ARROW), "batches": (stream(table, rows=1), ARROW)}


FORMS = tuple(forms([event()]))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SURPRISING)
def test_parts_that_the_schema_gives_no_meaning_are_surprises_in_every_format(name: str, form: str) -> None:
    decoder = EventDecoder(UNTOLD, LIMITS)
    body, content_type = forms([event(), event(**SURPRISING[name]), event()])[form]
    frame = decoded(body, content_type, decoder)
    assert (unknown(frame), frame.rows) == (name, 3)
    many = {key: value for part in SURPRISING.values() for key, value in part.items()}
    body, content_type = forms([event(**many), event({"gpu": "a100"}, **many)])[form]
    for _ in range(2):  # what is remembered of a sender changes nothing
        found = unknown(decoded(body, content_type, decoder))
        assert found is not None
        assert set(found.split(", ")) == {*SURPRISING, "gpu"}
        assert unknown(decoded(as_rows([event({"gpu": "a100"})]), decoder=decoder)) == "gpu"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", USUAL)
def test_parts_that_the_schema_knows_are_no_surprise(case: str, form: str) -> None:
    body, content_type = forms([event(**USUAL[case]), event()])[form]
    assert unknown(decoded(body, content_type, EventDecoder(UNTOLD, LIMITS))) is None


def test_an_embedding_of_its_own_is_known_where_one_feature_takes_it_and_a_surprise_where_two_could() -> None:
    vector: dict[str, Any] = {"embedding": [0.5, 0.25]}
    two = replace(SCHEMA, features=(*SCHEMA.features, replace(SCHEMA.features[-1], name="image")))
    dropped = replace(SCHEMA, features=(*SCHEMA.features[:-1], replace(SCHEMA.features[-1], treatment=Treatment.DROP)))
    for schema, name in ((SCHEMA, None), (dropped, None), (two, "embedding")):
        for form, (body, content_type) in forms([event(**vector)]).items():
            assert unknown(decoded(body, content_type, EventDecoder(schema, LIMITS))) == name, form


def test_classes_that_the_schema_leaves_open_are_no_surprise() -> None:
    untold = replace(UNTOLD, prediction=Prediction(kind=PredictionKind.CLASS))
    for form, (body, content_type) in forms([event(probabilities={"maybe": 0.5})]).items():
        frame = decoded(body, content_type, EventDecoder(untold, LIMITS))
        assert unknown(frame) is None, form
        assert "probabilities.maybe" in frame.numeric_names, form


@pytest.mark.parametrize("name", SURPRISING)
def test_small_requests_with_surprises_go_the_way_that_names_them(name: str) -> None:
    decoder = EventDecoder(UNTOLD, LIMITS)
    assert decoder.few(Raw(as_rows([event(probabilities=CHANCES)]), JSON, None)) is not None
    assert decoder.few(Raw(as_rows([event(**SURPRISING[name])]), JSON, None)) is None

"""What docs/telemetry.md says is so."""

import json
import re
from pathlib import Path

import pytest

from service.domain.schema import FeatureKind
from service.ingest.decode import Decoded, EventDecoder, Raw
from service.ingest.deidentify import Deidentifier
from service.ingest.labels import decode_labels
from service.ingest.reference import read_reference
from service.ingest.schema import ALLOWED_TREATMENTS, parse_schema
from service.ingest.warm import warm_up
from service.settings import Settings
from tests.service.comparing import plain, same
from tests.service.ingest.support import JSON, LIMITS, NDJSON

PAGE = (Path(__file__).parents[3] / "docs" / "telemetry.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[bytes]:
    """Return the fenced blocks of one kind."""
    return [body.encode() for body in re.findall(rf"^```\w+ {kind}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)]


SCHEMA = parse_schema(json.loads(blocks("schema")[0]), LIMITS)
DECODER = EventDecoder(SCHEMA, LIMITS)


def decode(body: bytes, content_type: str = JSON) -> Decoded:
    """Decode a block."""
    return DECODER.decode(Raw(body, content_type, None))


def test_the_same_event_in_rows_columns_and_lines() -> None:
    rows, columns, lines = blocks("events")
    frame = decode(rows).frame
    same(decode(columns).frame, frame)
    same(decode(lines, NDJSON).frame, frame)
    assert frame.numeric_names == ("age", "income", "probabilities.fraud", "probabilities.ok", "latency_ms")
    stored = Deidentifier(bytes(32)).apply(SCHEMA, frame)
    assert stored.numeric[1].tolist() == [54000]
    assert stored.categorical_names == ("country", "prediction")


def test_the_odd_events_are_answered_as_the_page_says() -> None:
    alone, odd, refused = map(decode, blocks("events-odd"))
    assert alone.frame.rows == 1
    assert (odd.frame.rows, odd.rejected, odd.invalid) == (3, 0, {"age": 2, "country": 1})
    assert (refused.frame.rows, refused.rejected) == (1, 1)
    assert [place.at for place in refused.errors] == ["events[1].timestamp"]


def test_errors_are_what_the_page_says() -> None:
    frame = decode(blocks("events-error")[0]).frame
    column = frame.categorical[frame.categorical_names.index("error")]
    assert plain(column) == ["timeout", "no error", "error", "no error"]


def test_labels_and_reference_data_are_read() -> None:
    (labels,) = blocks("labels")
    assert decode_labels(Raw(labels, JSON, None), LIMITS, str).rows == 1
    (csv,) = blocks("reference")
    reference = read_reference(csv, "text/csv", SCHEMA, LIMITS)
    assert plain(reference.frame.categorical[0]) == ["FR", "DE"]
    assert [column for column, _ in reference.warnings] == ["timestamp", "comment"]


def test_the_table_of_limits_is_that_of_the_settings() -> None:
    rows = dict(re.findall(r"^\| `(\w+_max)` \| ([\d.]+) \|", PAGE, re.MULTILINE))
    limits = {name for name in type(LIMITS).__slots__ if not name.endswith("_setting")}
    assert rows.keys() == limits
    settings = Settings()
    assert {name: float(value) for name, value in rows.items()} == {name: getattr(settings, name) for name in limits}


@pytest.mark.parametrize(("column", "kind"), list(enumerate(ALLOWED_TREATMENTS, 1)))
def test_the_table_of_treatments_is_that_of_the_code(column: int, kind: FeatureKind) -> None:
    rows = re.findall(r"^\| `(keep|bucket|hash|drop)` \| (\w+) \| (\w+) \| (\w+) \|", PAGE, re.MULTILINE)
    allowed = {row[0] for row in rows if row[column] == "yes"}
    assert allowed == set(ALLOWED_TREATMENTS[kind])


def test_warming_up_runs_every_decoder() -> None:
    warm_up(LIMITS)

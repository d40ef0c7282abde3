"""The second way in, for whatever the typed one refused.

It says where malformed JSON breaks and which envelopes are bad, and keeps odd values as signal.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from math import inf
from typing import Any

from service.domain.errors import BadRequest, Place, TooLarge, Unprocessable
from service.ingest.envelope import Refusals, bad_segment, bad_text, check_rows, check_text, check_time, type_name
from service.ingest.guard import check_nesting
from service.ingest.layout import Layout
from service.ingest.lenient_columns import Columns
from service.ingest.limits import Limits
from service.ingest.lists import Lists, class_names, segment_names
from service.ingest.unknown import unknown_in_rows
from service.ingest.values import Values

_DIGITS_MAX = 309
"""Of an integer; one more is over what any float can hold."""


def parse_json(body: bytes, limits: Limits, *, offset: int = 0, line: int | None = None) -> Any:
    """Parse JSON, with NaN, Infinity and numbers that no float holds as infinity, which is invalid wherever it stands.

    Raises
    ------
    BadRequest
        If it is malformed; the detail and the place name the byte, counted from ``offset``, and the line if given.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise _malformed(offset + error.start, line, "not UTF-8") from None
    try:
        return json.loads(text, parse_constant=_infinite, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise _malformed(offset + len(text[: error.pos].encode()), line, error.msg) from None
    except RecursionError:
        raise TooLarge(f"the JSON is nested too deep (limit json_depth_max: {limits.json_depth_max})") from None


def _malformed(at: int, line: int | None, reason: str) -> BadRequest:
    where = f"byte {at}" if line is None else f"byte {at}, line {line}"
    detail = f"the body is not JSON at {where}: {reason}"
    return BadRequest(detail, places=[Place(where, reason)], extra={"offset": at})


def _infinite(_token: str) -> float:
    return inf


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _DIGITS_MAX else inf


def read_json(body: bytes, layout: Layout) -> tuple[Lists, Refusals]:
    """Read a JSON body of rows or of columns.

    Raises
    ------
    BadRequest, TooLarge, Unprocessable
        If it is malformed, over a limit, or its envelope is wrong.
    """
    check_nesting(body, layout.limits)
    top = parse_json(body, layout.limits)
    if not isinstance(top, dict) or ("events" in top) == ("columns" in top):
        raise Unprocessable('the body must be an object with either "events" or "columns"', places=[_shape(top)])
    if "columns" in top:
        return Columns(top["columns"], layout).read()
    if not isinstance(top["events"], list):
        raise Unprocessable('"events" must be a list', places=[Place("events", "must be a list")])
    return read_rows(top["events"], layout)


def _shape(top: object) -> Place:
    if isinstance(top, dict):
        both = "events" in top
        return Place("$", 'has both "events" and "columns"' if both else 'has neither "events" nor "columns"')
    return Place("$", f"must be an object, not {type_name(top)}")


def read_lines(body: bytes, layout: Layout) -> tuple[Lists, Refusals]:
    """Read an NDJSON body: one event a line, blank lines skipped.

    Raises
    ------
    BadRequest, TooLarge, Unprocessable
        As for ``read_json``.
    """
    check_nesting(body, layout.limits)
    return read_rows(parse_lines(body, layout.limits), layout)


def parse_lines(body: bytes, limits: Limits, *, offset: int = 0, line: int = 1) -> list[Any]:
    """Parse one JSON value a line; blank lines are skipped. The body starts at an offset and a line of a larger one.

    Raises
    ------
    BadRequest
        For the first malformed line; names the byte in the body, and the line.
    """
    values = []
    for number, one in enumerate(body.split(b"\n"), line):
        if one.strip():
            values.append(parse_json(one, limits, offset=offset, line=number))
        offset += len(one) + 1
    return values


def read_rows(events: Sequence[object], layout: Layout) -> tuple[Lists, Refusals]:
    """Read events as parsed; those with a bad envelope are refused, the others are not."""
    check_rows(len(events), layout)
    refused = Refusals(layout.limits.errors_max)
    times: list[datetime | None] = []
    good: list[dict[str, Any]] = []
    for row, event in enumerate(events):
        time = _check_event(row, event, layout, refused)
        if row not in refused.rows and isinstance(event, dict):
            good.append(event)
            times.append(time)
    if not good:
        raise Unprocessable("no event is acceptable", places=refused.places)
    return _gather(good, times, layout), refused


def _check_event(row: int, event: object, layout: Layout, refused: Refusals) -> datetime | None:
    at = f"events[{row}]"
    if not isinstance(event, dict):
        refused.add(row, at, f"must be an object, not {type_name(event)}")
        return None
    features = event.get("features")
    alone = layout.lone_embedding is not None and isinstance(event.get("embedding"), list)
    if not isinstance(features, dict) and not (alone and "features" not in event):
        reason = f"must be an object, not {type_name(features)}" if "features" in event else "is missing"
        refused.add(row, f"{at}.features", reason)
    for name in ("event_id", "principal"):
        check_text(row, f"{at}.{name}", event.get(name), layout.limits, refused)
    segment = event.get("segment")
    if segment is not None:
        _check_segment(row, f"{at}.segment", segment, layout.limits, refused)
    return check_time(row, f"{at}.timestamp", event.get("timestamp"), refused)


def _check_segment(row: int, at: str, segment: object, limits: Limits, refused: Refusals) -> None:
    if not isinstance(segment, dict):
        refused.add(row, at, f"must be an object, not {type_name(segment)}")
        return
    for key, value in segment.items():
        reason = bad_text(key, limits) or bad_segment(value, limits)
        if reason:
            refused.add(row, f"{at}.{key}" if bad_text(key, limits) is None else at, reason)


def _gather(events: Sequence[dict[str, Any]], times: Sequence[datetime | None], layout: Layout) -> Lists:
    features = [event.get("features") or {} for event in events]
    probabilities = [_object(event.get("probabilities")) for event in events]
    segments = [_object(event.get("segment")) for event in events]
    attributions = [_object(event.get("attributions")) for event in events]
    names = {key for each in attributions for key in each}

    def column(name: str) -> Values:
        return [event.get(name) for event in events]

    def each(objects: Sequence[dict[str, Any]], name: str) -> Values:
        return [one.get(name) for one in objects]

    embeddings = {name: each(features, name) for name in layout.embeddings}
    lone = layout.lone_embedding
    if lone in embeddings:
        own = column("embedding")
        embeddings[lone] = [two if one is None else one for one, two in zip(own, embeddings[lone], strict=True)]
    classes = class_names(layout, (key for each in probabilities for key in each))
    return Lists(
        rows=len(events),
        numeric=[each(features, name) for name in layout.numeric],
        categorical=[each(features, name) for name in layout.categorical],
        embeddings=embeddings,
        event_ids=[event.get("event_id") for event in events],
        timestamps=times,
        principals=[event.get("principal") for event in events],
        predictions=column("prediction"),
        probabilities={name: each(probabilities, name) for name in classes},
        unknown=unknown_in_rows(events, layout),
        latencies=column("latency_ms"),
        segments={key: each(segments, key) for key in segment_names(key for each in segments for key in each)},
        attributions={name: each(attributions, name) for name in layout.stored if name in names},
        fingerprints=column("fingerprint"),
        errors=column("error"),
    )


class _Wrong(dict[str, Any]):
    """Stands for a value that should have been an object: whatever is asked of it is invalid."""

    def get(self, _key: str, _default: object = None) -> object:
        return []


def _object(value: object) -> dict[str, Any]:
    if value is None:
        return {}
    return value if isinstance(value, dict) else _Wrong()

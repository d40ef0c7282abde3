"""NDJSON reference data to a frame: events as they are sent, or flat objects with a feature per key."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from service.domain.errors import Place, TooLarge, Unprocessable
from service.domain.schema import ERROR, LATENCY, PREDICTION, PROBABILITY_PREFIX
from service.frames import MISSING, Coded, Frame, concat_frames
from service.ingest.envelope import bad_segment
from service.ingest.failures import no_errors
from service.ingest.guard import check_nesting
from service.ingest.layout import Layout
from service.ingest.lenient import parse_lines, read_rows
from service.ingest.lists import CHECKED, TYPED, to_frame
from service.ingest.reference_columns import FINGERPRINT, check_features, feature_of, is_optional, is_print
from service.ingest.typed import TypedDecoder
from service.ingest.values import BadTimestamp, parse_timestamp

PIECE_BYTES = 4 * 1024 * 1024
"""Lines are read in pieces of about this size, so that Python objects never exist for the whole file."""
_KEPT = ("features", "embedding", PREDICTION, "probabilities", LATENCY, ERROR, FINGERPRINT)


def read_lines(content: bytes, layout: Layout) -> tuple[Frame, list[str]]:
    """Return the frame of the lines, and the names that the first piece of them uses.

    Raises
    ------
    BadRequest, TooLarge, Unprocessable
        As ``read_reference``.
    """
    typed = TypedDecoder(layout, exact=False)
    frames: list[Frame] = []
    names: dict[str, None] = {}
    line = 1
    for start, piece in _pieces(content):
        check_nesting(piece, layout.limits)
        parsed = typed.parse_lines(piece) if frames and layout.beside is None else None
        lists = None if parsed is None else typed.lists(parsed)
        if lists is not None:
            frames.append(_bare(to_frame(layout, lists, TYPED), layout))
        elif values := parse_lines(piece, layout.limits, offset=start, line=line):
            events = [_event(value, line + i, layout) | _segment(value, layout) for i, value in enumerate(values)]
            names.update({name: None for value in values for name in _names(value)} if not frames else {})
            frames.append(_bare(to_frame(layout, read_rows(events, layout)[0], CHECKED), layout))
        line += piece.count(b"\n")
        if sum(frame.rows for frame in frames) > layout.rows_max:
            raise TooLarge(f"more than {layout.rows_max} rows (limit {layout.limits.rows_setting})")
    if not frames:
        raise Unprocessable("the reference data has no rows", places=[Place("body", "has no rows")])
    whole = _union(frames)
    check_features([*names, *_present(whole)], layout)
    return whole, list(names)


def _pieces(content: bytes) -> Iterator[tuple[int, bytes]]:
    start = 0
    while start < len(content):
        end = content.find(b"\n", start + PIECE_BYTES)
        end = len(content) if end < 0 else end + 1
        yield start, content[start:end]
        start = end


def _names(value: Any) -> Sequence[str]:
    if isinstance(value.get("features"), dict):
        return [*value["features"], *[key for key in value if key not in {"features", "probabilities"}]]
    return list(value)


def _event(value: object, line: int, layout: Layout) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Unprocessable(f"line {line} is not an object", places=[Place(f"line {line}", "must be an object")])
    if isinstance(value.get("features"), dict):
        event = {name: value[name] for name in _KEPT if name in value}
        if layout.beside in value:
            event["features"] = {layout.beside: value[layout.beside], **value["features"]}
    else:
        event = {name: value[name] for name in (PREDICTION, LATENCY, ERROR, "embedding") if name in value}
        if FINGERPRINT in value and is_print(FINGERPRINT, layout):
            event[FINGERPRINT] = value[FINGERPRINT]
        event["features"] = {feature_of(name): each for name, each in value.items() if not is_optional(name)}
        prefix = len(PROBABILITY_PREFIX)
        event["probabilities"] = {k[prefix:]: v for k, v in value.items() if k.startswith(PROBABILITY_PREFIX)}
    try:
        parse_timestamp(value.get("timestamp"))
    except BadTimestamp:
        return event
    return event | {"timestamp": value["timestamp"]}


def _segment(value: dict[str, Any], layout: Layout) -> dict[str, Any]:
    """Return the one segment that is kept, as an event has it; what is no label is as if it was missing."""
    if layout.segment is None:
        return {}
    own = value.get("segment")
    found = own.get(layout.segment) if isinstance(own, dict) else value.get(f"segment.{layout.segment}")
    return {} if found is None or bad_segment(found, layout.limits) else {"segment": {layout.segment: found}}


def _bare(frame: Frame, layout: Layout) -> Frame:
    kept = {name: column for name, column in frame.segments.items() if name == layout.segment}
    return replace(frame, principals=None, event_ids=None, segments=kept, attributions={})


def _present(frame: Frame) -> list[str]:
    coded = zip(frame.categorical_names, frame.categorical, strict=True)
    numeric = zip(frame.numeric_names, frame.numeric, strict=True)
    return [
        *[name for name, values in numeric if not np.isnan(values).all()],
        *[name for name, column in coded if (column.codes != MISSING).any()],
        *[name for name, vectors in frame.embeddings.items() if not np.isnan(vectors[:, 0]).all()],
    ]


def _union(frames: Sequence[Frame]) -> Frame:
    """Join frames of which some lack optional columns that others have."""
    numeric = tuple(dict.fromkeys(name for frame in frames for name in frame.numeric_names))
    categorical = tuple(dict.fromkeys(name for frame in frames for name in frame.categorical_names))
    segments = tuple(dict.fromkeys(name for frame in frames for name in frame.segments))
    timed = any(frame.timestamps_us is not None for frame in frames)
    aligned = [_aligned(frame, numeric, categorical, timed=timed) for frame in frames]
    (whole,) = concat_frames([_with_segments(frame, segments) for frame in aligned])
    return whole


def _with_segments(frame: Frame, names: tuple[str, ...]) -> Frame:
    absent = Coded((), np.full(frame.rows, MISSING, np.int32))
    return replace(frame, segments={name: frame.segments.get(name, absent) for name in names})


def _aligned(frame: Frame, numeric: tuple[str, ...], categorical: tuple[str, ...], *, timed: bool) -> Frame:
    matrix = np.full((len(numeric), frame.rows), np.nan)
    for name, values in zip(frame.numeric_names, frame.numeric, strict=True):
        matrix[numeric.index(name)] = values
    absent = Coded((), np.full(frame.rows, MISSING, np.int32))
    columns = {ERROR: no_errors(frame.rows)} | dict(zip(frame.categorical_names, frame.categorical, strict=True))
    times = frame.timestamps_us
    if times is None and timed:
        times = np.full(frame.rows, -1, np.int64)
    return replace(
        frame,
        numeric_names=numeric,
        numeric=matrix,
        categorical_names=categorical,
        categorical=tuple(columns.get(name, absent) for name in categorical),
        timestamps_us=times,
    )

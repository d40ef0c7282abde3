"""A reference out of the log: the rows of a stretch of traffic that somebody wants to be the new normal.

They are the events themselves, as stored, in the order in which they came: unlike tick histograms they have rows
together and an order, so that a baseline of them promises what any other one does. Whoever is contained has no say in
what is normal. What came in another shape than most is left out, and said.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from service.detect.arrivals import before_time
from service.domain.errors import Unprocessable
from service.domain.ids import Micros, VersionId
from service.domain.schema import PREDICTION, Schema
from service.frames import Coded, Frame, FrameError, concat_frames, decode_frame, take_prints
from service.ports import EntryKind, LogEntry, LogReader

ROWS_MAX = 500_000
"""Of one draft, however many columns they have: all of them are held in memory."""
BYTES_MAX = 1024 * 1024 * 1024
"""Of the log, all versions together, that are looked through for one draft."""
PAGE_ENTRIES = 2_048
PAGE_BYTES = 16 * 1024 * 1024
LARGE_SHARE = 0.5
DRAFT = "draft"
"""The code of the warnings that say what a draft is made of."""
SHOWN = 12
"""Digits of a pseudonym that people read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A stretch of a version's traffic, by the time at which the log took it."""

    version_id: VersionId
    from_us: Micros
    to_us: Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Its rows, and what people should know of them."""

    frame: Frame
    warnings: tuple[dict[str, str], ...]


def draft_of(log: LogReader, schema: Schema, stretch: Stretch, contained: frozenset[str]) -> Draft:
    """Return the rows of a stretch, in order, each with the time at which it came.

    Parameters
    ----------
    log
        Looked through from the beginning of the stretch.
    schema
        Of the version.
    stretch
        Which rows.
    contained
        Pseudonyms of principals whose rows do not count.

    Raises
    ------
    Unprocessable
        When there are no rows, too many of them, or features and answers came apart.
    """
    frames: list[Frame] = []
    rows = spared = 0
    for entry in _entries(log, stretch):
        frame = _frame(entry)
        kept = _without(frame, contained)
        spared += frame.rows - kept.rows
        rows += kept.rows
        if rows > ROWS_MAX:
            raise Unprocessable(f"the stretch has more than {ROWS_MAX:,} events: name a shorter one")
        if kept.rows:
            frames.append(kept)
    if not frames:
        others = f" but {spared:,} of contained principals" if spared else ""
        raise Unprocessable(f"the log has no events of this version in the stretch{others}")
    groups = sorted(concat_frames(frames), key=lambda group: -group.rows)
    whole = groups[0]
    _check_whole(schema, groups)
    return Draft(frame=whole, warnings=_warnings(whole, rows - whole.rows, spared))


def _check_whole(schema: Schema, groups: Sequence[Frame]) -> None:
    """Raise when answers come without what they answer: no row says how the two belong together."""
    own = {feature.name for feature in schema.features}
    headless = [not own & (_names(group) | set(group.embeddings)) for group in groups]
    bare = PREDICTION not in _names(groups[0])
    if headless[0] or (bare and any(headless)):
        raise Unprocessable(
            "most events of the stretch have features or answers, not both, as payload loggers send them apart:"
            " put a baseline of rows that have both"
        )


def _names(frame: Frame) -> set[str]:
    return {*frame.numeric_names, *frame.categorical_names}


def _warnings(frame: Frame, odd: int, spared: int) -> tuple[dict[str, str], ...]:
    told = [f"made of the {frame.rows:,} events that the log has of {_words(frame, 0)} to {_words(frame, -1)}"]
    if odd:
        told.append(f"{odd:,} events that carried other columns are left out")
    if spared:
        told.append(f"{spared:,} events of contained principals are left out")
    if frame.principals is not None and frame.rows:
        codes = frame.principals.codes
        counts = np.bincount(codes[codes >= 0], minlength=1)
        most = int(counts.argmax())
        if counts[most] > LARGE_SHARE * frame.rows:
            whose = frame.principals.labels[most][:SHOWN]
            told.append(f"principal {whose} sent {counts[most] / frame.rows:.0%} of them: is that what is normal?")
    return tuple({"column": "", "code": DRAFT, "text": text} for text in told)


def _words(frame: Frame, row: int) -> str:
    """Write the time of an event as people read it."""
    at_us = 0 if frame.timestamps_us is None else int(frame.timestamps_us[row])
    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _frame(entry: LogEntry) -> Frame:
    """Return an entry's events as a reference is compiled from them, dated by the log's own clock."""
    try:
        frame = decode_frame(entry.body)
    except FrameError as error:
        raise Unprocessable(f"the log's entry {entry.position} cannot be read: {error}") from error
    arrived = np.full(frame.rows, entry.arrival_us, np.int64)
    numeric = frame.numeric.astype(np.float64, copy=False)
    return replace(frame, numeric=numeric, timestamps_us=arrived, event_ids=None, attributions={})


def _without(frame: Frame, contained: frozenset[str]) -> Frame:
    """Return a frame without the events of some principals."""
    if frame.principals is None or not contained:
        return frame
    theirs = np.array([label in contained for label in frame.principals.labels], bool)
    codes = frame.principals.codes
    kept = np.flatnonzero((codes < 0) | ~theirs[np.maximum(codes, 0)]) if theirs.any() else None
    return frame if kept is None or len(kept) == frame.rows else _only(frame, kept)


def _only(frame: Frame, kept: NDArray[np.intp]) -> Frame:
    def part(column: Coded) -> Coded:
        return Coded(column.labels, column.codes[kept])

    return replace(
        frame,
        rows=len(kept),
        numeric=frame.numeric[:, kept],
        categorical=tuple(part(column) for column in frame.categorical),
        embeddings={name: values[kept] for name, values in frame.embeddings.items()},
        principals=None if frame.principals is None else part(frame.principals),
        timestamps_us=None if frame.timestamps_us is None else frame.timestamps_us[kept],
        segments={name: part(column) for name, column in frame.segments.items()},
        fingerprints=take_prints(frame.fingerprints, kept.tolist()) if frame.fingerprints else b"",
    )


def _entries(log: LogReader, stretch: Stretch) -> Iterator[LogEntry]:
    """Yield the version's events of a stretch, oldest first."""
    after, size = before_time(log, stretch.from_us), 0
    while page := log.read(after, max_entries=PAGE_ENTRIES, max_bytes=PAGE_BYTES):
        for entry in page:
            if entry.arrival_us >= stretch.to_us:
                return
            size += len(entry.body)
            if size > BYTES_MAX:
                raise Unprocessable(f"the log has more than {BYTES_MAX:,} bytes in the stretch: name a shorter one")
            wanted = entry.kind is EntryKind.BATCH and entry.version_id == stretch.version_id
            if wanted and entry.arrival_us >= stretch.from_us:
                yield entry
        after = page[-1].position

"""Whose evidence a drift is: whether it stands without what any one principal has sent.

Evidence counts all events, whoever sends them, so one principal alone can be a drift. Before such evidence takes a
model away from everybody, the events since the change began are read again from the log, and the evidence is worked
out once more without those of a principal: of each of the few that could carry it. Where it does not reach the
threshold without one of them, it rests on that one.

This is a pure function of the log, and costs nothing until a policy is about to quarantine.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from detectors.binning import count
from detectors.columns import Codes, ColumnGroup, Values
from detectors.spaces import Space
from service.detect.balance import Balance
from service.detect.columns import columns_of, group_of
from service.detect.engines import Engine
from service.detect.plan import Era
from service.detect.watched import Watched
from service.detect.windows import Windows
from service.domain.ids import Micros, Position, VersionId
from service.domain.schema import PROBABILITY_PREFIX
from service.frames import MISSING, Coded, Frame, FrameError, concat_frames, decode_frame, encode_frame
from service.ports import EntryKind, LogEntry, LogReader

ENTRIES_MAX = 4_096
"""Entries of the log, of all versions, that are read again at most."""
ROWS_MAX, TICKS_MAX, BYTES_MAX = 200_000, 1_000, 128 * 1024 * 1024
"""Of one version: beyond any of these, the newest ones are looked at."""
CLEAR_LOG, HALF = 3.0, 0.5
"""A part of a long change that says less than this tells nobody apart; whoever sent more than half then carries it."""
PAGE_ENTRIES, PAGE_BYTES = 128, 16 * 1024 * 1024
OFTEN_TICKS, SELDOM_TICKS = 16, 256
SELDOM, RARELY = 8, 64
"""How often it is asked again, in ticks with events, once so many ticks have passed since the alarm."""
LOOK_BACK = 1_024
"""Entries before the change in which others are looked for, when one principal is alone since."""
GROUPS, KEPT = 64, 4
BIGGEST, STRANGEST = 2, 3
"""How many of those that sent most, and of those whose events are strangest, are left out in turn."""


class NotNow(Exception):
    """It is worked out at another tick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """An evaluation that is about to have consequences."""

    version_id: VersionId
    since_us: Micros
    """When the change began."""
    before: Position
    """Of the entry that closed the tick: it is the first that has no part in the evidence."""
    evidence_log: float
    threshold_log: float
    column: str
    """That is blamed most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    """A principal on which evidence rests."""

    principal: str
    share: float
    """Of the events that were looked at."""
    without_log: float
    """Evidence without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    """One entry of the version, and whose each event is."""

    entry: LogEntry
    frame: Frame
    names: tuple[str, ...]
    """Of principals; the codes are places in it, ``MISSING`` where none is named."""
    codes: NDArray[np.int64]


def is_due(ticks: int, waited: int) -> bool:
    """Tell whether to ask at the so-manieth tick with events, so many ticks after the alarm: the longer, the rarer.

    Both are known from the log alone, so that a worker that starts anew asks at the same ticks.
    """
    if waited < OFTEN_TICKS:
        return True
    return ticks % (SELDOM if waited < SELDOM_TICKS else RARELY) == 0


def carrier_of(log: LogReader, era: Era, engine: Engine, asked: Question) -> Carrier | None:
    """Return the principal on which evidence rests.

    ``None`` when it stands without any of them, and when nobody can tell: no principal is named, or there is no other
    one, neither since the change began nor shortly before.
    """
    heard = _since(log, era, asked)
    rows = _rows_of(heard)
    named = sorted((name for name in rows if name), key=lambda name: (-rows[name], name))
    if not named:
        return None
    if len(rows) == 1:
        alone = heard[0].entry.position
        company = any(set(one) - {named[0]} for one in _voices_before(log, asked, alone))
        return Carrier(principal=named[0], share=1.0, without_log=-math.inf) if company else None
    whole = _evidence(era, engine, heard, None)
    if whole < CLEAR_LOG:
        share = rows[named[0]] / rows.total()
        return Carrier(principal=named[0], share=share, without_log=whole) if share > HALF else None
    needed = asked.threshold_log * min(1.0, whole / max(asked.evidence_log, CLEAR_LOG))
    suspects = dict.fromkeys([*named[:BIGGEST], *_strangest(engine, heard, asked.column, named)])
    for name in suspects:
        without = _evidence(era, engine, heard, name)
        if without < needed:
            return Carrier(principal=name, share=rows[name] / rows.total(), without_log=without)
    return None


def _since(log: LogReader, era: Era, asked: Question) -> list[_Heard]:
    """Return the entries of the evidence, oldest first, within bounds."""
    start = asked.since_us // era.tick_us * era.tick_us
    floor = max(era.restart_position, asked.before - 1 - ENTRIES_MAX)
    found: list[_Heard] = []
    rows = size = 0
    oldest = -math.inf
    for entry in backwards(log, Position(floor), asked.before):
        size += len(entry.body)
        if entry.arrival_us < max(start, oldest) or size > BYTES_MAX:
            break
        if not found:
            oldest = (entry.arrival_us // era.tick_us - TICKS_MAX) * era.tick_us
        if entry.version_id != asked.version_id or entry.kind is not EntryKind.BATCH:
            continue
        if found and rows + entry.rows > ROWS_MAX:
            break
        heard = _heard(entry)
        if heard is not None:
            found.append(heard)
            rows += entry.rows
    return found[::-1]


def _voices_before(log: LogReader, asked: Question, before: Position) -> Iterator[set[str]]:
    """Yield who is heard in entries before one, the nearest first; an empty name where none is named."""
    floor = max(0, before - 1 - LOOK_BACK)
    size = 0
    for entry in backwards(log, Position(floor), before):
        size += len(entry.body)
        if size > BYTES_MAX:
            return
        if entry.version_id == asked.version_id and entry.kind is EntryKind.BATCH:
            heard = _heard(entry)
            if heard is not None:
                yield set(_rows_of([heard]))


def backwards(log: LogReader, floor: Position, before: Position) -> Iterator[LogEntry]:
    """Yield entries after ``floor`` and before another, newest first, a page at a time."""
    stop = before
    while stop - 1 > floor:
        first = max(floor, stop - 1 - PAGE_ENTRIES)
        page: list[LogEntry] = []
        after = Position(first)
        while after < stop - 1:
            read = log.read(after, max_entries=PAGE_ENTRIES, max_bytes=PAGE_BYTES)
            page += [entry for entry in read if entry.position < stop]
            if not read or read[-1].position >= stop - 1:
                break
            after = read[-1].position
        yield from reversed(page)
        stop = Position(first + 1)


def _heard(entry: LogEntry) -> _Heard | None:
    """Return an entry with whose each event is; ``None`` for a damaged one, which whoever counts it has told of."""
    try:
        frame = decode_frame(entry.body)
    except FrameError:
        return None
    if frame.principals is None:
        return _Heard(entry=entry, frame=frame, names=(), codes=np.full(frame.rows, MISSING, np.int64))
    codes = np.maximum(frame.principals.codes, MISSING).astype(np.int64)
    return _Heard(entry=entry, frame=frame, names=tuple(frame.principals.labels), codes=codes)


def _rows_of(heard: Sequence[_Heard]) -> Counter[str]:
    """Count the events of each principal; those of nobody under an empty name."""
    rows: Counter[str] = Counter()
    for one in heard:
        counts = np.bincount(one.codes + 1, minlength=len(one.names) + 1).tolist()
        for name, number in zip(("", *one.names), counts, strict=True):
            if number:
                rows[name] += number
    return rows


def _evidence(era: Era, engine: Engine, heard: Sequence[_Heard], without: str | None) -> float:
    """Return the evidence of entries, from zero, without the events of a principal."""
    windows = Windows(heard[0].entry.version_id, str(era.baseline_id), engine.baseline.total, len(engine.names))
    watched = Watched(engine, windows, era.tick_us, None, Balance.of(era.tuning))
    for one in heard:
        if watched.closes_us is not None and watched.closes_us <= one.entry.arrival_us:
            watched.step()
        kept = one.codes != (one.names.index(without) if without in one.names else len(one.names))
        if kept.all():
            watched.take(one.entry)
        elif kept.any():
            frame = _rows(one.frame, kept)
            watched.take(replace(one.entry, rows=frame.rows, body=encode_frame(frame)))
    watched.step()
    return watched.log_model


def _rows(frame: Frame, kept: NDArray[np.bool_]) -> Frame:
    """Return some events of a frame, with what is counted of them and whose they are."""

    def of(coded: Coded) -> Coded:
        return Coded(coded.labels, coded.codes[kept])

    return replace(
        frame,
        rows=int(kept.sum()),
        numeric=frame.numeric[:, kept],
        categorical=tuple(of(column) for column in frame.categorical),
        embeddings={name: values[kept] for name, values in frame.embeddings.items()},
        principals=None if frame.principals is None else of(frame.principals),
        event_ids=None,
        timestamps_us=None,
        segments={name: of(column) for name, column in frame.segments.items()},
        attributions={},
        fingerprints=b"",
    )


def _strangest(engine: Engine, heard: Sequence[_Heard], column: str, named: Sequence[str]) -> list[str]:
    """Return the principals whose events carry most of a column's change: groups of them first, then those in them."""
    if column not in engine.baseline.index:
        return []
    own = _Own(engine, heard, column)
    place = engine.baseline.slices[engine.baseline.index[column]]
    usual = engine.baseline.counts[place] + 0.5
    now = own.counts(None)[place] + 0.5
    news = np.log(now / now.sum()) - np.log(usual / usual.sum())
    groups = [list(named)]
    while max(map(len, groups)) > 1:
        parts = [part for group in groups for part in _split(group, GROUPS // len(groups))]
        told = sorted(((float(own.counts(part)[place] @ news), i) for i, part in enumerate(parts)), reverse=True)
        groups = [parts[i] for _, i in told[:KEPT]]
    return [group[0] for group in groups[:STRANGEST]]


class _Own:
    """One column's values, by whose they are."""

    def __init__(self, engine: Engine, heard: Sequence[_Heard], column: str) -> None:
        self._baseline, self._column = engine.baseline, column
        self._parts: list[tuple[Values, NDArray[np.int32], tuple[str, ...]]] = []
        bare = [_rows(one.frame, np.ones(one.frame.rows, np.bool_)) for one in heard]
        wanted, spaces = _made_of(engine, column)
        for frame in concat_frames(bare):
            values = columns_of(frame, wanted, spaces, shares=engine.shares).get(column)
            if values is not None and frame.principals is not None:
                self._parts.append((values, frame.principals.codes, frame.principals.labels))

    def counts(self, principals: Sequence[str] | None) -> NDArray[np.int64]:
        """Count the values of some principals by bin; those of all events that name one, without any given."""
        counts = np.zeros(self._baseline.total, np.int64)
        for values, codes, labels in self._parts:
            chosen = set(labels if principals is None else principals)
            # Two more at the end, for the codes that stand for nobody.
            mine = np.array([*(label in chosen for label in labels), False, False])[codes]
            if mine.any():
                picked = Codes(values.labels, values.codes[mine]) if isinstance(values, Codes) else values[mine]
                counts += count(self._baseline, {self._column: picked})
        return counts


def _made_of(engine: Engine, column: str) -> tuple[tuple[str, ...], tuple[Space, ...]]:
    """Return a column with those that it is made of, and the spaces that make it."""
    spaces = tuple(space for space in engine.baseline.spaces if column in space.columns)
    answers = group_of(column) in {ColumnGroup.PREDICTION, ColumnGroup.SCORE}
    classes = [name for name in engine.names if answers and name.startswith(PROBABILITY_PREFIX)]
    return tuple(dict.fromkeys((column, *classes, *chain(*(space.inputs for space in spaces))))), spaces


def _split(group: list[str], parts: int) -> list[list[str]]:
    size = max(1, -(-len(group) // max(2, parts)))
    return [group[i : i + size] for i in range(0, len(group), size)]

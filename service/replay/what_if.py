"""The same rows under two policies: what each would have done, and whom it would have told."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from detectors.evidence import Together
from service.domain.ids import Micros
from service.domain.records import ColumnFinding
from service.replay.ahead import ahead
from service.replay.deeds import Lane, Side, WhatIf
from service.replay.desk import Desk
from service.replay.policies import Given
from service.replay.segments import Segmenter
from service.replay.ticks import Cutting, Span, Ticks, cut_ticks

Read = Callable[[Cutting], Generator[Span]]


def compare(segmenter: Segmenter, pair: tuple[Given, Given], lanes: Sequence[Lane], read: Read) -> WhatIf:
    """Replay the rows under both policies: once, or twice when they ask for different evidence."""
    desks = [Desk(given.policy) for given in pair]
    for lane in {lane.asked: lane for lane in lanes}.values():
        divided = segmenter.divided(lane.division)
        engine = divided.engine(lane.evidence, lane.tuning)
        if (lane.insufficient or engine.engines[0].insufficient) is not None:  # it accuses nobody
            continue
        own = [desk for desk, other in zip(desks, lanes, strict=True) if other.asked == lane.asked]
        with closing(read(lane.cutting)) as spans, ahead(cut_ticks(spans, divided)) as ticks:
            follow(engine, ticks, own, lane.cutting, divided.names)
    current, new = (Side(given=given, deeds=tuple(desk.deeds)) for given, desk in zip(pair, desks, strict=True))
    return WhatIf(current=current, new=new)


def follow(
    engine: Together,
    ticks: Iterator[Ticks],
    desks: list[Desk],
    cutting: Cutting,
    names: tuple[str | None, ...] = (None,),
) -> None:
    """Let evidence grow and fall as in the product, without a new start, and show each desk what it must see.

    ``names`` are those of the segments, by engine.
    """
    follower = _Follower(engine, desks, cutting, names)
    for some in ticks:
        at = 0
        while at < len(some.numbers):
            at += follower.take(some.numbers[at:], some.counts[at:], some.ends[at:])


class _Follower:
    """The evidence, and the desks that look at it."""

    def __init__(self, engine: Together, desks: list[Desk], cutting: Cutting, names: tuple[str | None, ...]) -> None:
        self._engine = engine
        self._desks = desks
        self._cutting = cutting
        self._names = names
        self._states = engine.start()
        self._position = 0

    def take(self, numbers: NDArray[np.int64], counts: NDArray[np.int64], ends: NDArray[np.int64]) -> int:
        """Take ticks up to the first one that a desk must see; return how many that were."""
        awake = [desk for desk in self._desks if not desk.resting]
        if any(desk.busy for desk in awake):
            numbers, counts = numbers[:1], counts[:1]
        floor = min((desk.threshold_log for desk in awake), default=None)
        run = self._engine.run(self._states, numbers, counts, floor, self._cutting.seasons(numbers))
        seen = len(run.log_model)
        low = max((desk.settles_log for desk in self._desks if desk.resting), default=-np.inf)
        fallen = np.flatnonzero(run.log_model < low)
        if len(fallen) and fallen[0] + 1 < seen:
            # A desk wakes up within the stretch, and could have seen the rest of it.
            seen = int(fallen[0]) + 1
            seasons = self._cutting.seasons(numbers[:seen])
            run = self._engine.run(self._states, numbers[:seen], counts[:seen], None, seasons)
        self._states = run.states
        self._position += seen
        self._show(float(run.log_model[-1]), int(numbers[seen - 1]), int(ends[seen - 1]) - 1)
        return seen

    def _show(self, log: float, number: int, row: int) -> None:
        at = row, self._cutting.start_us(number) if self._cutting.time is not None else None
        for desk in self._desks:
            if desk.resting and log >= desk.settles_log:
                continue
            findings = self._findings(desk.threshold_log) if log >= desk.threshold_log else ()
            desk.take(self._position, at, log, findings)

    def _findings(self, threshold_log: float) -> tuple[ColumnFinding, ...]:
        return tuple(
            ColumnFinding(
                name=blame.name,
                group=str(blame.group),
                direction=blame.direction,
                evidence_log=blame.log_evidence,
                since_us=Micros(blame.since_tick * self._cutting.us),
                effects={},
                segment=self._names[part],
            )
            for part, blame in self._engine.blame(self._states, threshold_log)
        )

"""Which incidents rows are kept of, and which kept rows stand in for those that the log has lost."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from service.domain.ids import Micros, VersionId
from service.domain.policy import Cause
from service.domain.records import Incident, IncidentStatus
from service.domain.reports import Reports, SampleRecord
from service.reports import runner as running
from service.reports.runner import REACH_US, RETRY_US, SETTLE_US, ReportRunner, _completed, _lacking
from service.reports.samples import Pair, Reservoir, Sample
from tests.fakes import ManualClock
from tests.service.reports.frames import SCHEMA, frame_of

START = Micros(1_000 * 3_600_000_000)


def sample(rows: int, age: float = 1.0) -> Sample:
    reservoir = Reservoir(SCHEMA, Reports(), 1_000)
    if rows:
        reservoir.add(frame_of({"age": np.full(rows, age)}, {"plan": ["basic"] * rows}), 0)
    return reservoir.sample(0, 1, cut=False)


def incident(name: str, model: str = "m") -> Incident:
    return Incident(
        id=name,
        version_id=VersionId(1),
        model=model,
        version="1",
        cause=Cause.DATA_DRIFT,
        title="age moved",
        status=IncidentStatus.OPEN,
        assignee=None,
        verdict=None,
        note=None,
        opened_us=START,
        acknowledged_us=None,
        resolved_us=None,
        lock=0,
    )


@dataclass
class World:
    """What a runner keeps rows with; draws are tried and told."""

    found: list[Incident]
    policies: dict[str, Reports]
    failing: frozenset[str] = frozenset()
    clock: ManualClock = field(default_factory=lambda: ManualClock(Micros(START + SETTLE_US + 1)))
    tried: list[str] = field(default_factory=list)
    kept: list[SampleRecord] = field(default_factory=list)
    keys: tuple[bytes, ...] = (b"k" * 32,)
    asked: str = ""

    def unsampled(
        self, since_us: Micros, until_us: Micros, limit: int, after: Incident | None = None
    ) -> Sequence[Incident]:
        there = {one.subject for one in self.kept if one.until_us > self.clock.now_us()}
        fresh = [one for one in self.found if since_us <= one.opened_us < until_us and one.id not in there]
        return [one for one in fresh if after is None or one.id > after.id][:limit]

    def keep(self, record: SampleRecord, kept_max: int) -> bool:
        self.kept.append(record)
        return bool(kept_max)

    def model(self, name: str) -> Any:
        return SimpleNamespace(policy=SimpleNamespace(reports=self.policies[name]))

    def version(self, _model: str, name: str) -> str:
        return name

    def span_of(self, one: Incident, now_us: Micros) -> tuple[Micros, Micros]:
        self.asked = one.id
        return START, now_us

    def draw(self, *_: object) -> tuple[Pair | None, str]:
        self.tried.append(self.asked)
        return (None, "broken") if self.asked in self.failing else (Pair(current=sample(5), before=sample(5)), "")

    def runner(self) -> ReportRunner:
        desk = SimpleNamespace(store=self, read=self, clock=self.clock, making=self, span_of=self.span_of)
        return ReportRunner(desk=cast("Any", desk), incidents=cast("Any", None), kept_max=9, seconds_max=1.0)


def test_what_was_kept_and_is_over_is_not_drawn_again() -> None:
    world = World([incident("i1")], {"m": Reports(keep_days=0.5)})
    runner = world.runner()
    runner.keep()
    assert [one.subject for one in world.kept] == ["i1"]
    world.clock.advance(0.75 * 86_400)
    runner.keep()
    assert world.tried == ["i1"]


def test_an_incident_that_cannot_be_drawn_does_not_hold_up_the_next_and_is_tried_again_later() -> None:
    world = World([incident("i1"), incident("i2")], {"m": Reports()}, frozenset({"i1"}))
    runner = world.runner()
    for _ in range(4):
        runner.keep()
        world.clock.advance(15.0)
    assert world.tried == ["i1", "i2"]
    world.clock.advance(RETRY_US / 1e6)
    runner.keep()
    assert world.tried == ["i1", "i2", "i1"]
    world.clock.advance(REACH_US / 1e6)
    runner.keep()
    assert len(world.tried) == 3


def test_what_failed_is_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "FAILED_MAX", 2)
    names = [f"i{number}" for number in range(4)]
    world = World([incident(name) for name in names], {"m": Reports()}, frozenset(names))
    runner = world.runner()
    for _ in names:
        runner.keep()
    assert len(runner.failed) == 2


def test_incidents_of_models_without_rows_do_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "INCIDENTS_MAX", 3)
    without = [incident(f"i{number}", "none") for number in range(6)]
    world = World([*without, incident("j")], {"m": Reports(), "none": Reports(rows=0)})
    world.runner().keep()
    assert [one.subject for one in world.kept] == ["j"]


def test_without_a_key_nothing_is_drawn() -> None:
    world = World([incident("i1")], {"m": Reports()}, keys=())
    world.runner().keep()
    assert world.tried == []


@pytest.mark.parametrize(
    ("current", "before", "reference", "lacking"),
    [(30, 30, None, False), (30, 19, None, True), (30, 0, 30, False), (0, 30, 30, True)],
)
def test_rows_lack_where_the_log_has_lost_them(
    current: int, before: int, reference: int | None, *, lacking: bool
) -> None:
    pair = Pair(current=sample(current), before=sample(before))
    assert _lacking(pair, None if reference is None else sample(reference)) is lacking
    assert _lacking(None, None)


def test_what_was_kept_stands_in_for_what_is_lacking_alone() -> None:
    kept = Pair(current=sample(25, 2.0), before=sample(25, 2.0))
    pair = Pair(current=sample(30), before=sample(5))
    assert _completed(pair, kept) == (Pair(current=pair.current, before=kept.before), True)
    assert _completed(None, kept) == (kept, True)
    assert _completed(Pair(current=sample(0), before=sample(30)), kept) == (kept, True)
    fuller = replace_before(pair, sample(40))
    assert _completed(fuller, kept) == (fuller, False)
    assert _completed(pair, None) == (pair, False)


def replace_before(pair: Pair, before: Sample) -> Pair:
    return Pair(current=pair.current, before=before)

"""Die between any two writes from an alert to what people are told: nothing is lost, and nothing is told that is not.

Each stage of one incident's life is played from the same copy of the store, and killed at its first statement or
commit, at its second, and so on. Another process then does what was not done. What the store holds in the end is, to
the last row and id, what it holds when nobody dies.
"""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from service.alert.triage import Act, IncidentAction
from service.domain.ids import derived_id
from service.domain.notices import Kind
from service.domain.records import Incident, Scope, Verdict, Version
from service.domain.states import Event
from service.incident_office import IncidentOffice
from service.notify.compose import compose
from service.notify.enforcement import quarantine_not_enforced
from service.office import KeyRequest, act_on_incident, issue_key, request_transition
from service.review.deadline import ReviewRequest, escalate, name_reviewers
from service.review.glass import GlassRequest, break_glass, write_down_end
from service.review.stages import ReviewStages
from service.store.tables import metadata
from tests.integration.crash.test_delivery_crash import Axe, Killed
from tests.service.test_incidents_timeline import SUSPECTS, Line
from tests.service.test_pipeline_work import reference
from tests.service.worker.world import ANA

BESIDE = frozenset(
    {"worker", "snapshots", "windows", "principal_states", "answers", "baselines", "calibrations", "api_keys"}
)
"""Tables that say nothing of alerts and people, or when a process looked last."""
POINTS_MAX = 500
pytestmark = pytest.mark.slow
Rows = dict[str, list[tuple[Any, ...]]]


class Town(Line):
    """A line whose store can be put back to where it was."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, SUSPECTS)
        self.path, self.kept = folder / "state.db", folder / "kept.db"
        self.other = self.add_version("2", policy=SUSPECTS, reference=reference())
        self.review = ReviewStages(office=self.office, store=self.sql.reviews)
        self.kept_us = self.clock.now_us()

    def keep(self) -> None:
        """Remember the store and the time."""
        self.rest()
        shutil.copy(self.path, self.kept)
        self.kept_us = self.clock.now_us()

    def put_back(self) -> None:
        """Put both back to where they were kept."""
        self.rest()
        shutil.copy(self.kept, self.path)
        self.clock.set(self.kept_us)

    def rest(self) -> None:
        """Let every worker go, and close every connection; each comes back when it is needed."""
        for worker in self.sql._workers:
            worker.close()
        self.sql._workers.clear()
        self.sql._database.close()

    def rows(self) -> Rows:
        """Return everything that is on record, apart from what lies beside."""
        found: Rows = {}
        with self.sql._database.read() as connection:
            for table in metadata.sorted_tables:
                if table.name not in BESIDE:
                    columns = list(table.primary_key.columns)
                    found[table.name] = [tuple(row) for row in connection.execute(select(table).order_by(*columns))]
        return found

    def traffic(self, seconds: int, shift: float = 0.0) -> None:
        """Send fifty events a second to each version."""
        for _ in range(seconds):
            for version in (self.subject, self.other):
                self.send(version, 50, shift=shift)
            self.clock.advance(1)

    def fold(self) -> None:
        """Let a new worker fold all that the log holds."""
        self.catch_up(self.worker())

    @property
    def first(self) -> Incident:
        """The incident of the first version."""
        return next(one for one in self.incidents() if one.version == "1")

    @property
    def second(self) -> Incident:
        """The incident of the other version."""
        return next(one for one in self.incidents() if one.version == "2")

    @property
    def version(self) -> Version:
        """The first version, as it is now."""
        return next(one for one in self.sql.read.versions() if one.id == self.subject.id)

    def act(self, action: IncidentAction, verdict: Verdict | None = None) -> None:
        act_on_incident(self.office, ANA, self.first.id, Act(action=action, verdict=verdict))

    def change(self, event: Event) -> None:
        request_transition(self.office, ANA, "m1", "1", event, "looked at it", self.first.id)


@dataclass(frozen=True)
class Stage:
    """One thing that a process or a person does."""

    name: str
    do: Callable[[Town], object]
    seconds: float = 1.0
    """How long after the stage before."""


def _merge(town: Town) -> None:
    office: IncidentOffice = town.triage
    office.merge(ANA, town.second.id, town.first.id, "one cause", None)


def _name(town: Town) -> None:
    request = ReviewRequest(reviewers=("bob",), hours=1.0, reason="bob knows it")
    name_reviewers(town.review, ANA, "m1", "1", request)


def _disobeyed(town: Town) -> None:
    one = town.sql.enforcements.latest()[0]
    notice = quarantine_not_enforced(one, town.version, "events still come", town.clock.now_us(), firing=True)
    town.sql.enforcements.tell(one, "not_enforced", "events still come", town.clock.now_us(), [compose(notice)])


def _obeyed(town: Town) -> None:
    one = town.sql.enforcements.latest()[0]
    town.sql.enforcements.acknowledge(one.version_id, one.lock + 1, town.clock.now_us(), "d1")


def _glass_over(town: Town) -> None:
    for glass in town.sql.reviews.glasses_open():
        write_down_end(town.review, glass, town.version)


def _route(town: Town) -> None:
    town.sql.outbox.route(town.route, 100, town.clock.now_us())


STAGES = (
    Stage("the worker sees drift", Town.fold),
    Stage("routing", _route),
    Stage("acknowledged", lambda town: town.act(IncidentAction.ACK)),
    Stage("snoozed", lambda town: town.triage.snooze(ANA, town.first.id, town.at(town.now + 30), False, "", None)),
    Stage("the snooze is over", lambda town: town.watch.look(), 31.0),
    Stage("merged", _merge),
    Stage("routing what was merged", _route),
    Stage("quarantined", lambda town: town.change(Event.QUARANTINE)),
    Stage("obeyed", _obeyed),
    Stage("disobeyed", _disobeyed),
    Stage("glass", lambda town: break_glass(town.review, ANA, "m1", "1", GlassRequest(minutes=1.0, reason="now"))),
    Stage("the glass is over", _glass_over, 61.0),
    Stage("review", lambda town: town.change(Event.START_REVIEW)),
    Stage("reviewers", _name),
    Stage("nobody has decided", lambda town: escalate(town.review, town.version), 3_601.0),
    Stage("resolved", lambda town: town.act(IncidentAction.RESOLVE, Verdict.DATA_BUG)),
    Stage("rolled back", lambda town: town.change(Event.ROLL_BACK)),
    Stage("routing the end", _route),
)


class Dice:
    """Random bytes that are the same every time."""

    def __init__(self) -> None:
        self.thrown = 0

    def __call__(self, size: int) -> bytes:
        self.thrown += 1
        return self.thrown.to_bytes(size, "big")


def consistent(rows: Rows) -> None:
    """Raise AssertionError when a message tells what is not on record, or something on record is told by none."""
    told = {row[1]: row[2] for row in rows["outbox"]}
    changes = {derived_id("message", Kind.STATE_CHANGED, f"{row[1]}:{row[2]}") for row in rows["transitions"]}
    assert {name for name, kind in told.items() if kind == Kind.STATE_CHANGED} == changes
    alerts = {derived_id("message", Kind.ALERT_OPENED, row[0]) for row in rows["alerts"]}
    assert alerts <= told.keys()
    assert len({row[0] for row in rows["incidents"]}) == len({row[0] for row in rows["evidence"]})


def killed_everywhere(town: Town, stage: Stage, dice: Dice) -> int:
    """Play a stage once without a death, then with one at every point; return how many points it has."""
    town.keep()
    before, thrown = town.rows(), dice.thrown
    stage.do(town)
    expected = town.rows()
    assert expected != before, f"{stage.name}: does nothing"
    consistent(expected)
    for at in count(1):
        assert at < POINTS_MAX, f"{stage.name}: no end"
        town.put_back()
        dice.thrown = thrown
        axe = Axe(at)
        with axe.over(town.sql), suppress(Killed):
            stage.do(town)
        if not axe.dead:
            assert town.rows() == expected
            return at - 1
        axe.dead = False
        half = town.rows()
        consistent(half)
        if half != expected:
            town.rest()
            dice.thrown = thrown
            stage.do(town)
            consistent(town.rows())
        found = town.rows()
        for name, rows in expected.items():
            assert found[name] == rows, f"{stage.name}, killed at {at}: {name}"
    raise AssertionError("unreachable")


def test_whoever_dies_between_an_alert_and_its_end_loses_nothing_and_invents_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    town, dice = Town(tmp_path), Dice()
    issue_key(town.sql.control, town.clock, b"p" * 32, ANA, KeyRequest(name="bob", scopes=frozenset({Scope.OPERATE})))
    town.traffic(10)
    town.fold()
    town.traffic(5, shift=2.0)
    monkeypatch.setattr(os, "urandom", dice)
    points = {}
    for stage in STAGES:
        town.clock.advance(stage.seconds)
        points[stage.name] = killed_everywhere(town, stage, dice)
    assert all(number >= 3 for number in points.values()), points
    assert sum(points.values()) > 200, points
    kinds = {row[2] for row in town.rows()["outbox"]}
    assert kinds >= {
        Kind.ALERT_OPENED,
        Kind.STATE_CHANGED,
        Kind.INCIDENT_ACKNOWLEDGED,
        Kind.INCIDENT_MERGED,
        Kind.INCIDENT_RESOLVED,
        Kind.NOT_ENFORCED,
        Kind.BREAK_GLASS,
        Kind.REVIEW_ASSIGNED,
        Kind.REVIEW_OVERDUE,
    }
    assert town.sql.read.verify_chain() is None
    town.rest()

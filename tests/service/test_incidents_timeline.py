"""Incidents as a timeline on a fake clock, over the real store and router: who is told what, and when."""

from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest

from service.alert.triage import Act, IncidentAction
from service.channel_settings import NotificationSettings
from service.domain.errors import Conflict
from service.domain.ids import Micros
from service.domain.incidents import LinkKind, Maintenance
from service.domain.notices import DeliveryStatus
from service.domain.policy import Action, Actions, Incidents, Policy
from service.domain.records import Incident, IncidentStatus, Verdict, Version
from service.domain.states import State
from service.hushing import HushingRouter, HushWatch
from service.incident_office import IncidentOffice
from service.notify.routing import Router
from service.office import act_on_incident
from service.store import Store, open_store
from tests.service.test_pipeline_work import reference
from tests.service.worker.world import ANA, SMALL_BUDGET, World

QUARANTINES = SMALL_BUDGET
SUSPECTS = msgspec.structs.replace(
    SMALL_BUDGET,
    actions=Actions(data_drift=Action.SUSPECT, data_quality=Action.SUSPECT, prediction_drift=Action.SUSPECT),
)


@dataclass(frozen=True)
class Told:
    at: float
    kind: str
    summary: str


class Line(World):
    """A world whose people are told through the real outbox; ``push`` and ``expect`` count seconds from the start."""

    def __init__(self, folder: Path, policy: Policy) -> None:
        super().__init__()
        self.sql: Store = open_store(f"sqlite:///{folder / 'state.db'}", timeout_seconds=5.0)
        self.store = self.sql  # type: ignore[assignment]  # the same ports over SQL
        self.office = replace(self.office, control=self.sql.control)
        self.triage = IncidentOffice(desk=self.sql.incidents, read=self.sql.read, clock=self.clock)
        router = Router(settings=NotificationSettings(), channels=("log", "pager"))
        self.route = HushingRouter(router=router, desk=self.sql.incidents)
        self.watch = HushWatch(desk=self.sql.incidents, read=self.sql.read, clock=self.clock)
        self.start_us = self.clock.now_us()
        self.seen: list[Told] = []
        self._known: set[str] = set()
        self.subject: Version = self.add_version(policy=policy, reference=reference())
        self.one_worker = self.worker()

    @property
    def now(self) -> float:
        return (self.clock.now_us() - self.start_us) / 1e6

    def at(self, seconds: float) -> Micros:
        return Micros(self.start_us + round(seconds * 1e6))

    def push(self, until: float, shift: float = 0.0) -> None:
        """Send fifty events a second until a time, and let everybody follow."""
        while self.now < until:
            self.send(self.subject, 50, shift=shift)
            self.clock.advance(1)
            self.follow()

    def follow(self) -> None:
        self.catch_up(self.one_worker)
        self.watch.look()
        self.sql.outbox.route(self.route, 100, self.clock.now_us())
        found = self.sql.desk.deliveries(status=DeliveryStatus.PENDING, channel="pager", message_id=None, limit=500)
        for one in reversed(found):
            if one.message.id not in self._known:
                self._known.add(one.message.id)
                summary = msgspec.json.decode(one.message.payload)["lazaretto"]["summary"]
                self.seen.append(Told(self.now, one.message.kind, summary))

    def expect(self, kind: str, between: tuple[float, float], text: str = "") -> Told:
        """Return the one message of a kind in a time; fail when there is none, or another one."""
        low, high = between
        found = [one for one in self.seen if one.kind == kind and low <= one.at <= high and text in one.summary]
        assert len(found) == 1, self.seen
        return found[0]

    def silent(self, kind: str, between: tuple[float, float]) -> None:
        low, high = between
        assert [one for one in self.seen if one.kind == kind and low <= one.at <= high] == []

    def incidents(self) -> list[Incident]:
        """Return every incident, oldest first."""
        return list(reversed(self.sql.read.incidents(version_id=None, status=None, limit=100)))

    def state_of(self) -> State:
        """Return the state of the version that everything is about."""
        return next(one for one in self.sql.read.versions() if one.id == self.subject.id).state

    def kinds_of(self, incident: Incident) -> list[str]:
        return [item.kind for item in self.sql.read.timeline(incident.id)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_a_snooze_hides_pages_ends_by_itself_and_what_is_still_there_is_told(folder: Path) -> None:
    line = Line(folder, SUSPECTS)
    line.push(10)
    line.push(14, shift=2.0)
    line.expect("alert_opened", (10, 14))
    (incident,) = line.incidents()
    line.triage.snooze(ANA, incident.id, line.at(40), False, "known", None)
    line.push(39, shift=2.0)
    line.silent("alert_opened", (15, 39))
    line.push(42, shift=2.0)
    line.expect("alert_opened", (40, 42), "Still there (snooze is over)")
    kinds = line.kinds_of(incident)
    assert [kind for kind in kinds if kind in {"snooze", "snooze_over", "told"}] == ["snooze", "snooze_over", "told"]
    line.push(50, shift=2.0)
    line.silent("alert_opened", (43, 50))
    assert line.sql.read.verify_chain() is None


def test_a_snooze_until_worse_ends_with_the_quarantine_which_it_never_hides(folder: Path) -> None:
    line = Line(folder, msgspec.structs.replace(QUARANTINES, confirmations=8))
    line.push(10)
    while not line.incidents():
        line.push(line.now + 1, shift=2.0)
    (incident,) = line.incidents()
    line.triage.snooze(ANA, incident.id, None, True, "", None)
    begun = line.now
    line.push(begun + 12, shift=2.0)
    assert line.state_of() is State.QUARANTINED
    line.expect("state_changed", (begun + 1, begun + 12), "is quarantined")
    kinds = line.kinds_of(incident)
    assert [kind for kind in kinds if kind in {"snooze", "snooze_over", "told"}] == ["snooze", "snooze_over", "told"]
    assert line.sql.incidents.snooze(incident.id) is None


def test_a_resolved_cause_that_returns_is_told_as_a_regression(folder: Path) -> None:
    line = Line(folder, SUSPECTS)
    line.push(10)
    line.push(13, shift=2.0)
    (first,) = line.incidents()
    line.push(20)
    act_on_incident(line.office, ANA, first.id, Act(action=IncidentAction.RESOLVE, verdict=Verdict.DATA_BUG))
    line.push(30)
    line.push(34, shift=2.0)
    first, second = line.incidents()
    assert (first.status, second.status) == (IncidentStatus.RESOLVED, IncidentStatus.OPEN)
    (link,) = line.sql.incidents.links(second.id)
    assert (link.incident_id, link.kind, link.other_id) == (second.id, LinkKind.REGRESSED, first.id)
    assert "regressed" in line.kinds_of(second)
    assert line.kinds_of(first)[-1] == "returned"
    line.expect("alert_opened", (30, 34))


def test_cooldown_holds_the_page_of_a_return_back_and_not_for_ever(folder: Path) -> None:
    line = Line(folder, msgspec.structs.replace(SUSPECTS, incidents=Incidents(cooldown_seconds=30)))
    line.push(10)
    line.push(13, shift=2.0)
    (first,) = line.incidents()
    act_on_incident(line.office, ANA, first.id, Act(action=IncidentAction.RESOLVE, verdict=Verdict.BENIGN))
    line.push(42, shift=2.0)
    assert len(line.incidents()) == 2
    line.silent("alert_opened", (14, 42))
    line.push(46, shift=2.0)
    line.expect("alert_opened", (43, 46), "Still there (cooldown is over)")


@pytest.mark.parametrize("quarantine", [True, False])
def test_maintenance_pages_nobody_and_quarantines_unless_the_window_says_otherwise(
    folder: Path, quarantine: bool
) -> None:
    line = Line(folder, QUARANTINES)
    line.push(10)
    window = Maintenance(
        id="", model="m1", start_us=line.at(10), end_us=line.at(30), quarantine=quarantine, reason="new sensors",
        created_us=line.at(0), created_by=ANA,
    )  # fmt: skip
    line.triage.plan(ANA, window)
    line.push(29, shift=2.0)
    line.silent("alert_opened", (10, 29))
    line.silent("capped", (10, 29))
    assert line.state_of() is (State.QUARANTINED if quarantine else State.SUSPECT)
    (incident,) = line.incidents()
    line.push(33, shift=2.0)
    assert line.state_of() is State.QUARANTINED
    line.expect("alert_opened", (30, 33), "Still there (maintenance is over)")
    if not quarantine:
        assert "maintenance, planned by ana: new sensors" in str(
            [item.body for item in line.sql.read.timeline(incident.id) if item.kind == "spared"]
        )


def test_evidence_is_frozen_with_the_incident_and_its_digest_is_in_the_chain(folder: Path) -> None:
    line = Line(folder, SUSPECTS)
    line.push(10)
    line.push(13, shift=2.0)
    (incident,) = line.incidents()
    digest, body = line.sql.incidents.evidence(incident.id) or ("", "")
    line.push(40, shift=-2.0)
    assert line.sql.incidents.evidence(incident.id) == (digest, body)
    frozen = msgspec.json.decode(body)
    age = next(one for one in frozen["histograms"] if one["name"] == "age")
    assert len(age["bins"]) == len(age["baseline"]) == len(age["current"])
    assert sum(age["current"]) > 0
    low, high = age["intervals"]["psi"]
    assert 0.1 < low < high
    assert age["effects"]["psi"] > 0.1
    assert frozen["policy"]["confirmations"] == SUSPECTS.confirmations
    assert frozen["baseline_digest"] == reference().digest
    assert [entry.detail for entry in line.sql.read.audit(100) if entry.action == "incident.evidence"] == [
        f"frozen, sha256 {digest}"
    ]


@pytest.mark.parametrize("entries_max", [1, 3])
def test_the_same_log_freezes_the_same_evidence_wherever_passes_are_cut(folder: Path, entries_max: int) -> None:
    bodies = []
    for name, most in (("a", 2_048), ("b", entries_max)):
        (folder / name).mkdir()
        line = Line(folder / name, SUSPECTS)
        line.send_for(10, line.subject)
        line.send_for(6, line.subject, shift=2.0)
        line.catch_up(line.worker(entries_max=most))
        (incident,) = line.incidents()
        found = line.sql.incidents.evidence(incident.id)
        assert found is not None
        body = msgspec.json.decode(found[1])
        assert body.pop("baseline_id")  # random
        bodies.append(body)
        line.sql.close()
    assert bodies[0] == bodies[1]


def test_a_merged_incident_points_to_the_whole_and_takes_its_alerts_along(folder: Path) -> None:
    line = Line(folder, SUSPECTS)
    other = line.add_version("2", policy=SUSPECTS, reference=reference())
    line.push(10)
    line.push(13, shift=2.0)
    for _ in range(4):
        line.send(other, 50, shift=2.0)
        line.clock.advance(1)
        line.follow()
    part, whole = line.incidents()
    with pytest.raises(Conflict, match="changes, not 9"):
        line.triage.merge(ANA, part.id, whole.id, "", 9)
    line.triage.merge(ANA, part.id, whole.id, "one campaign", None)
    line.follow()
    part, whole = line.incidents()
    assert (part.status, part.verdict, whole.status) == (IncidentStatus.RESOLVED, None, IncidentStatus.OPEN)
    assert line.sql.read.alerts_of(part.id, 9) == []
    assert [alert.status for alert in line.sql.read.alerts_of(whole.id, 9)] == ["open", "open"]
    assert [one.id for one in line.sql.incidents.since(Micros(0), 9)] == [whole.id]
    # Whoever was told of the part hears the end of the whole.
    act_on_incident(line.office, ANA, whole.id, Act(action=IncidentAction.RESOLVE, verdict=Verdict.ATTACK))
    line.follow()
    firing = line.sql.outbox.firing("pager", Micros(line.clock.now_us() + 1), 99)
    assert [one for one in firing if one.labels["alertname"] == "LazarettoAlertOpened"] == []

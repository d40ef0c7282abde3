"""Whatever was opened at a receiver is closed there, whatever happens in between, and wherever routes lead."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from service.domain.ids import Actor, Micros
from service.domain.incidents import Hush
from service.domain.notices import DeliveryStatus, Kind
from service.domain.policy import Cause
from service.domain.records import Approvals, Incident, IncidentStatus, Severity, TimelineItem, Verdict
from service.domain.reviews import Glass, Review
from service.domain.states import State
from service.notify.compose import Notice, compose, release_pending
from service.notify.incidents import incident_messages, merge_messages
from service.notify.reviews import glass_broken, glass_over, review_assigned, review_overdue
from service.worker.delivery import Dispatcher
from tests.service.alert.test_decide import VERSION
from tests.service.alert.test_triage import INCIDENT
from tests.service.notify.desk import Desk, alert, settled, state
from tests.service.notify.doubles import Alertmanager, PagerDuty

ANA = Actor("ana")
VERSIONS = {name: replace(VERSION, version=name) for name in ("1", "2")}
WHICH = st.sampled_from(sorted(VERSIONS))
CAUSES = (Cause.DATA_DRIFT, Cause.LATENCY)
CHOSEN = {
    "channels": {
        "pager": {"kind": "webhook", "url": "https://example.org/"},
        "night": {"kind": "webhook", "url": "https://example.org/"},
        "am": {"kind": "webhook", "url": "https://example.org/"},
    },
    "routes": [
        {"channels": ["am"], "go_on": True},
        {"channels": ["night"], "severities": ["high"]},
        {"channels": ["night"], "kinds": ["capped"]},
        {"channels": ["pager"]},
    ],
}
HELD = {State.QUARANTINED, State.UNDER_REVIEW}
FIRES = {State.SUSPECT: Severity.MEDIUM, State.QUARANTINED: Severity.HIGH, State.UNDER_REVIEW: Severity.HIGH}


class Receivers:
    """A desk that leads to two PagerDuty services and one Alertmanager."""

    def __init__(self, folder: Path) -> None:
        self.desk = Desk(folder, settings=CHOSEN)
        self.pager, self.night = PagerDuty(self.desk.clock), PagerDuty(self.desk.clock)
        self.alertmanager = Alertmanager(self.desk.clock)
        channels: dict[str, Any] = {
            "log": self.desk.channels["log"],
            "pager": self.pager.channel(),
            "night": self.night.channel(),
            "am": self.alertmanager.channel(),
        }
        self.dispatcher: Dispatcher = self.desk.another("one", channels)

    def round(self, rounds: int = 1) -> None:
        self.desk.round(self.dispatcher, rounds=rounds)

    def settle(self) -> None:
        """Deliver whatever waits."""
        for _ in range(300):
            self.round()
            if not self.desk.store.desk.deliveries(
                status=DeliveryStatus.PENDING, channel=None, message_id=None, limit=1
            ):
                return
        raise AssertionError("it has no end")

    def still_open(self) -> dict[str, list[str]]:
        """Return what is open at each receiver; announcements end at Alertmanager by themselves."""
        return {
            "pager": self.pager.still_open,
            "night": self.night.still_open,
            "am": [one for one in self.alertmanager.firing if "DryRun" not in one and "Capped" not in one],
        }


class Lives(RuleBasedStateMachine):
    """Two versions of one model, what happens to them, and what people do, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.to = Receivers(Path(self.folder.name))
        self.states = dict.fromkeys(("1", "2"), State.ACTIVE)
        self.incidents: dict[str, Incident] = {}
        self.glasses: dict[str, Glass] = {}
        self.baselines = dict.fromkeys(("1", "2"), 0)
        self.number = 0

    def now(self) -> Micros:
        self.number += 1
        return self.to.desk.clock.advance(1)

    def put(self, version: str, kind: Kind, summary: str, *, firing: bool = True, behind: int = 0, **more: Any) -> None:
        """Put a message; ``behind`` is by how many seconds the worker is, whose messages have the time of a tick."""
        labels = {"cause": more.pop("cause")} if "cause" in more else {}
        notice = Notice(
            kind=kind,
            key=f"{summary}:{self.number}",
            version=VERSIONS[version],
            summary=summary,
            description="why",
            at_us=Micros(self.now() - behind * 1_000_000),
            firing=firing,
            labels=labels,
            annotations={"severity": Severity.MEDIUM, **more},
        )
        self.to.desk.put(compose(notice))

    def of(self, version: str, cause: Cause) -> Incident:
        """Return the unresolved incident of a version and cause, or a new one."""
        for one in self.incidents.values():
            if (one.version, one.cause) == (version, cause):
                return one
        name = f"i{self.number}"
        found = replace(INCIDENT, id=name, version=version, cause=cause, title=name, lock=0)
        self.incidents[name] = found
        return found

    @rule()
    def deliver(self) -> None:
        self.to.round()

    @rule(minutes=st.sampled_from([1, 30, 90, 60 * 24 * 8]))
    def wait(self, minutes: int) -> None:
        self.to.settle()  # what waits for days is given up, which is another matter
        self.to.desk.clock.advance(60.0 * minutes)
        self.to.round()

    @rule(version=WHICH, cause=st.sampled_from(CAUSES), severity=st.sampled_from(Severity))
    def alert(self, version: str, cause: Cause, severity: Severity) -> None:
        incident = self.of(version, cause)
        self.put(version, Kind.ALERT_OPENED, "it moves", cause=cause, severity=severity, incident_id=incident.id)

    @rule(version=WHICH, cause=st.sampled_from(CAUSES))
    def over(self, version: str, cause: Cause) -> None:
        incident = self.of(version, cause)
        self.put(version, Kind.ALERT_OPENED, "it is calm", firing=False, cause=cause, incident_id=incident.id)

    @rule(version=WHICH, kind=st.sampled_from([Kind.DRY_RUN, Kind.CAPPED]), behind=st.sampled_from([0, 5]))
    def hold_back(self, version: str, kind: Kind, behind: int) -> None:
        """A policy holds back what an alert calls for: the alert has been told before."""
        self.alert(version, CAUSES[0], Severity.MEDIUM)
        incident = self.of(version, CAUSES[0])
        severity = Severity.HIGH if kind is Kind.CAPPED else Severity.LOW
        about: dict[str, Any] = {"severity": severity, "incident_id": incident.id}
        self.put(version, kind, "held back", cause=CAUSES[0], behind=behind, **about)

    @rule(version=WHICH, after=st.sampled_from([*FIRES, State.ACTIVE]), caused=st.booleans())
    def change(self, version: str, after: State, *, caused: bool) -> None:
        about: dict[str, Any] = {"incident_id": self.of(version, CAUSES[0]).id} if caused else {}
        self.states[version] = after
        severity = FIRES.get(after, Severity.LOW)
        if after not in HELD:
            self.glasses.pop(version, None)
        firing = after in FIRES
        self.put(version, Kind.STATE_CHANGED, f"it is {after}", firing=firing, severity=severity, after=after, **about)

    @rule(version=WHICH, what=st.sampled_from(["assigned", "overdue", "release"]))
    def review(self, version: str, what: str) -> None:
        if self.states[version] is not State.UNDER_REVIEW:
            self.change(version, State.UNDER_REVIEW, caused=False)
        now = self.now()
        about = VERSIONS[version]
        review = Review(version_id=about.id, lock=1, reviewers=(ANA,), due_us=now, escalations=self.number)
        notice = {
            "assigned": review_assigned(review, about, ANA, "you", now, str(self.number)),
            "overdue": review_overdue(review, about, "nobody has decided", now, now),
            "release": release_pending(about, Approvals(have=1, need=2, by=("ana",)), "fine", now, str(self.number)),
        }[what]
        self.to.desk.put(compose(notice))

    @rule(version=WHICH, caused=st.booleans())
    def smash(self, version: str, *, caused: bool) -> None:
        if self.states[version] not in HELD:
            self.change(version, State.QUARANTINED, caused=caused)
        if version in self.glasses:
            glass = self.glasses.pop(version)
            ended = replace(glass, ended_us=self.now())
            self.to.desk.put(compose(glass_over(ended, VERSIONS[version], None, "closed")))
            return
        now = self.now()
        glass = Glass(
            id=f"g{self.number}",
            version_id=VERSIONS[version].id,
            quarantine=1,
            opened_us=now,
            until_us=Micros(now + 1),
            actor=ANA,
            reason="x",
        )
        self.glasses[version] = glass
        incident = self.of(version, CAUSES[0]).id if caused else None
        self.to.desk.put(compose(glass_broken(glass, VERSIONS[version], incident)))

    @rule(version=WHICH, settle=st.booleans())
    def baseline(self, version: str, *, settle: bool) -> None:
        waiting = self.baselines[version]
        if settle and not waiting:
            return
        self.baselines[version] = waiting = waiting + (-1 if settle else 1)
        self.put(version, Kind.BASELINE_PROPOSED, "a baseline", firing=waiting > 0)

    @precondition(lambda self: self.incidents)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        self._act(data.draw(st.sampled_from(sorted(self.incidents))), IncidentStatus.ACKNOWLEDGED)

    @precondition(lambda self: self.incidents)
    @rule(data=st.data())
    def resolve(self, data: st.DataObject) -> None:
        self._act(data.draw(st.sampled_from(sorted(self.incidents))), IncidentStatus.RESOLVED)

    def _act(self, name: str, status: IncidentStatus) -> None:
        before = replace(self.incidents[name], lock=self.number, status=IncidentStatus.OPEN)
        after = replace(before, status=status, verdict=Verdict.BENIGN)
        item = TimelineItem(at_us=self.now(), actor=ANA, kind="x", body="")
        self.to.desk.put(*incident_messages(before, after, item))
        if status is IncidentStatus.RESOLVED:
            del self.incidents[name]

    @precondition(lambda self: len(self.incidents) > 1)
    @rule(data=st.data())
    def merge(self, data: st.DataObject) -> None:
        names = data.draw(st.permutations(sorted(self.incidents)))
        part, whole = (replace(self.incidents[name], lock=self.number) for name in names[:2])
        item = TimelineItem(at_us=self.now(), actor=ANA, kind="merge", body="")
        with self.to.desk.store.incidents.write() as tx:
            moved = tx.move_alerts(part.id, whole.id)
            for message in merge_messages(part, whole, item, moved):
                tx.add_message(message)
        del self.incidents[part.id]

    def teardown(self) -> None:
        for name in sorted(self.incidents):
            self._act(name, IncidentStatus.RESOLVED)
        for version in sorted(VERSIONS):
            while self.baselines[version]:
                self.baseline(version, settle=True)
            self.change(version, State.ACTIVE, caused=False)
        for name in sorted(self.incidents):
            self._act(name, IncidentStatus.RESOLVED)
        self.to.settle()
        left = self.to.still_open()
        self.to.desk.store.close()
        self.folder.cleanup()
        problems = [*self.to.pager.problems, *self.to.night.problems, *self.to.alertmanager.problems]
        assert not problems, problems[:3]
        assert left == {"pager": [], "night": [], "am": []}, left


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=12, stateful_step_count=16, deadline=None)


def test_what_is_merged_ends_where_it_was_told_and_goes_on_where_the_whole_is(tmp_path: Path) -> None:
    to = Receivers(tmp_path)
    part, whole = replace(INCIDENT, id="part"), replace(INCIDENT, id="whole", version="2")
    first, second = VERSIONS.values()
    for version, incident, severity in ((first, part, Severity.MEDIUM), (second, whole, Severity.HIGH)):
        notice = Notice(
            kind=Kind.ALERT_OPENED,
            key=incident.id,
            version=version,
            summary=incident.id,
            description="",
            at_us=to.desk.clock.now_us(),
            labels={"cause": "data_drift"},
            annotations={"incident_id": incident.id, "severity": severity},
        )
        to.desk.put(compose(notice))
    to.round(rounds=2)
    assert (len(to.pager.still_open), len(to.night.still_open)) == (1, 1)
    (old,) = to.pager.still_open
    item = TimelineItem(at_us=to.desk.clock.advance(1), actor=ANA, kind="merge", body="one cause")
    with to.desk.store.incidents.write() as tx:
        moved = tx.move_alerts("part", "whole")
        assert moved.strangers, "the pager knew the part alone"
        for message in merge_messages(part, whole, item, moved):
            tx.add_message(message)
    to.round(rounds=3)
    (new,) = to.pager.still_open
    assert new != old
    assert to.night.still_open == [new], "one incident here is one there"
    resolved = replace(whole, status=IncidentStatus.RESOLVED, verdict=Verdict.ATTACK)
    item = replace(item, at_us=to.desk.clock.advance(1))
    to.desk.put(*incident_messages(whole, resolved, item))
    to.round(rounds=3)
    assert to.still_open() == {"pager": [], "night": [], "am": []}


def test_what_was_merged_is_not_over_with_the_state_of_one_of_its_versions(tmp_path: Path) -> None:
    to = Receivers(tmp_path)
    part, whole = replace(INCIDENT, id="part"), replace(INCIDENT, id="whole", version="2")
    other = Notice(
        kind=Kind.ALERT_OPENED,
        key="whole",
        version=VERSIONS["2"],
        summary="it moves as well",
        description="",
        at_us=to.desk.clock.now_us(),
        labels={"cause": "data_drift"},
        annotations={"incident_id": "whole", "severity": Severity.MEDIUM},
    )
    suspect = state(
        "s", "suspect", at_us=to.desk.clock.now_us(), severity=Severity.MEDIUM, firing=True, incident="part"
    )
    to.desk.put(compose(other), suspect)
    to.round(rounds=2)
    item = TimelineItem(at_us=to.desk.clock.advance(1), actor=ANA, kind="merge", body="one cause")
    with to.desk.store.incidents.write() as tx:
        for message in merge_messages(part, whole, item, tx.move_alerts("part", "whole")):
            tx.add_message(message)
    to.settle()
    assert len(to.pager.still_open) == 1
    active = state("a", "active", at_us=to.desk.clock.advance(1), severity=Severity.LOW, firing=False)
    to.desk.put(active)
    to.settle()
    assert len(to.pager.still_open) == 1, "the alert about the other version fires"
    to.desk.put(compose(replace(other, key="over", at_us=to.desk.clock.advance(1), firing=False)))
    to.settle()
    assert to.still_open() == {"pager": [], "night": [], "am": []}


def test_what_is_merged_while_its_end_waits_to_be_told_ends_where_it_was_told(tmp_path: Path) -> None:
    to = Receivers(tmp_path)
    part, whole = replace(INCIDENT, id="part"), replace(INCIDENT, id="whole", version="2")
    told = Notice(
        kind=Kind.ALERT_OPENED,
        key="begins",
        version=VERSIONS["1"],
        summary="it moves",
        description="",
        at_us=to.desk.clock.now_us(),
        labels={"cause": "data_drift"},
        annotations={"incident_id": "part", "severity": Severity.MEDIUM},
    )
    to.desk.put(compose(told))
    to.round(rounds=2)
    assert len(to.pager.still_open) == 1
    to.desk.put(compose(replace(told, key="over", at_us=to.desk.clock.advance(1), firing=False)))
    item = TimelineItem(at_us=to.desk.clock.advance(1), actor=ANA, kind="merge", body="one cause")
    with to.desk.store.incidents.write() as tx:
        for message in merge_messages(part, whole, item, tx.move_alerts("part", "whole")):
            tx.add_message(message)
    to.settle()
    assert to.still_open() == {"pager": [], "night": [], "am": []}


def test_what_a_tick_tells_that_is_older_than_the_end_of_its_incident_is_a_return(tmp_path: Path) -> None:
    to = Receivers(tmp_path)
    to.desk.put(alert())
    to.round(rounds=2)
    late_us = to.desk.clock.advance(4)
    to.desk.put(settled(IncidentStatus.RESOLVED, at_us=to.desk.clock.advance(1), verdict=Verdict.BENIGN))
    to.round(rounds=2)
    assert to.still_open() == {"pager": [], "night": [], "am": []}
    to.desk.put(alert("late", at_us=late_us, incident="i2"))
    to.round(rounds=2)
    assert (len(to.pager.still_open), len(to.alertmanager.firing)) == (1, 1)
    to.desk.clock.advance(300)
    to.round(rounds=2)
    assert len(to.alertmanager.firing) == 1, "it is repeated"
    end = settled(IncidentStatus.RESOLVED, at_us=to.desk.clock.advance(1), incident="i2", verdict=Verdict.BENIGN)
    to.desk.put(end)
    to.settle()
    assert to.still_open() == {"pager": [], "night": [], "am": []}
    assert [*to.pager.problems, *to.alertmanager.problems] == []


def test_the_end_of_a_single_alert_is_the_end_of_what_its_beginning_told(tmp_path: Path) -> None:
    """As the product composes them: with members of enumerations for labels, not with texts."""
    from service.notify.compose import alert_opened, alert_over
    from service.notify.reminders import still_there
    from tests.service.notify.everything import Everything

    life = Everything("fraud")
    desk = Desk(tmp_path, "ops")
    desk.put(compose(alert_opened(life.alert, life.incident, life.version)))
    desk.put(still_there(life.alert, life.incident, life.version, Hush.COOLDOWN, desk.clock.advance(60)))
    desk.put(compose(alert_over(life.alert, "events come again", life.version, desk.clock.advance(60))))
    back = replace(alert_opened(life.alert, life.incident, life.version), key="back", at_us=desk.clock.advance(60))
    desk.put(compose(back))
    desk.round(rounds=5)
    first, again, over, returned = desk.channels["ops"].payloads
    assert [one.status for one in (first, again, over, returned)] == ["firing", "firing", "resolved", "firing"]
    assert {one.alerts[0].starts_at for one in (first, again, over)} == {first.alerts[0].starts_at}
    assert len({one.alerts[0].fingerprint for one in (first, again, over, returned)}) == 1
    assert [len(one.alerts) for one in (first, again, over, returned)] == [1, 1, 1, 1]
    assert returned.alerts[0].annotations["regressed"] == over.alerts[0].ends_at

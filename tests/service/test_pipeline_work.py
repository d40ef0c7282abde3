"""The worker's side of the pipeline over the fakes: from the log to quarantine, in one commit a pass."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from service.alert.triage import Act, IncidentAction
from service.detect.reference import CompiledReference
from service.domain.errors import Unavailable
from service.domain.policy import Action, Actions, Budget, Policy
from service.domain.records import IncidentStatus, Verdict
from service.domain.states import Event, State
from service.frames import encode_frame
from service.office import act_on_incident
from service.pipeline import Memory, process_batches
from service.ports import SYSTEM, EntryKind, NewEntry, Outcome, StaleControl, WorkerStore
from tests.service.detect.segmented import POLICY, regional
from tests.service.detect.segmented import reference as segmented_reference
from tests.service.worker.world import ANA, BOB, DANA, SMALL_BUDGET, World, compiled

DAILY = Budget(false_alarms=1.0, per_days=1.0)


@cache
def reference() -> CompiledReference:
    return compiled()


def drifted(policy: Policy = SMALL_BUDGET) -> World:
    """Return a world in which one version saw ten good seconds and ten bad ones."""
    world = World()
    version = world.add_version(policy=policy, reference=reference())
    world.send_for(10, version)
    world.send_for(10, version, shift=2.0)
    world.catch_up()
    return world


class Overtaken:
    """A worker's store in which a person is always faster: what loses the race is certain."""

    def __init__(self, store: WorkerStore, person: Callable[[], object]) -> None:
        self._store, self._person = store, person
        self.position, self.revision, self.control = store.position, store.revision, store.control
        self.snapshots, self.windows = store.snapshots, store.windows

    def commit(self, outcome: Outcome) -> int:
        self._person()
        return self._store.commit(outcome)


def test_good_traffic_raises_nothing() -> None:
    world = World()
    version = world.add_version(reference=reference())
    world.send_for(60, version)
    world.catch_up()
    tables = world.store.tables
    assert world.state(version) is State.ACTIVE
    assert (tables.alerts, tables.incidents, tables.transitions, tables.outbox) == ({}, {}, [], {})
    assert tables.snapshots[version.id].events_total == 60 * 50
    assert tables.position == world.log.head()


def test_drift_is_suspected_then_quarantined_by_the_policy() -> None:
    tables = drifted().store.tables
    first, second = tables.transitions
    assert (first.event, second.event) == (Event.SUSPECT, Event.QUARANTINE)
    assert second.position > first.position >= 11
    assert {first.actor, second.actor} == {SYSTEM}
    (alert,), (incident,) = tables.alerts.values(), tables.incidents.values()
    assert alert.incident_id == incident.id == first.incident_id == second.incident_id
    assert alert.confirmations == 2
    assert alert.reason in second.reason
    assert second.at_us == alert.opened_us + 1_000_000


def test_everybody_who_must_know_is_told_in_order() -> None:
    assert drifted().kinds() == ["alert_opened", "state_changed", "state_changed"]


def test_events_after_quarantine_are_leaks() -> None:
    world = drifted()
    quarantined = world.store.tables.transitions[1]
    snapshot = next(iter(world.store.tables.snapshots.values()))
    assert snapshot.leaks_total == 50 * (world.log.head() - quarantined.position + 1)


def test_a_dry_run_changes_nothing_and_says_what_it_would_have_done() -> None:
    world = drifted(Policy(budget=DAILY, dry_run=True))
    assert world.store.tables.transitions == []
    assert world.kinds() == ["alert_opened", "dry_run", "dry_run"]
    # On the incident, too: what would have happened when.
    told = [item.body for _, item in world.store.tables.timeline if item.kind == "dry_run"]
    assert [text.partition(" (")[0] for text in told] == [
        "dry run: would now be suspect",
        "dry run: would now be quarantined",
    ]


def test_a_policy_to_record_tells_nobody() -> None:
    quiet = Actions(data_drift=Action.RECORD, prediction_drift=Action.RECORD, data_quality=Action.RECORD)
    world = drifted(Policy(budget=DAILY, actions=quiet))
    assert len(world.store.tables.alerts) == 1
    assert world.store.tables.transitions == []
    assert world.kinds() == []


def test_the_last_version_that_serves_is_kept_and_people_hear_why() -> None:
    world = World()
    first = world.add_version("1", reference=reference())
    second = world.add_version("2", reference=reference())
    world.ask(ANA, Event.QUARANTINE, "1")
    world.send_for(3, second)
    world.send_for(10, second, shift=2.0)
    world.catch_up()
    assert (world.state(first), world.state(second)) == (State.QUARANTINED, State.SUSPECT)
    assert world.kinds()[1:] == ["alert_opened", "state_changed", "capped"]
    [text] = [item.body for _, item in world.store.tables.timeline if item.kind == "held_back"]
    assert text.endswith("it is the last version of m1 that still serves")


def test_quarantine_follows_once_the_cap_lets_it() -> None:
    world = World()
    first = world.add_version("1", reference=reference())
    second = world.add_version("2", reference=reference())
    worker = world.worker()
    world.ask(ANA, Event.QUARANTINE, "1")
    world.send_for(10, second, shift=2.0)
    world.catch_up(worker)
    world.ask(ANA, Event.START_REVIEW, "1")
    world.ask(ANA, Event.RELEASE, "1")
    world.ask(BOB, Event.RELEASE, "1")
    world.send_for(3, second, shift=2.0)
    world.catch_up(worker)
    assert (world.state(first), world.state(second)) == (State.ACTIVE, State.QUARANTINED)


def test_after_a_release_evidence_starts_from_zero() -> None:
    world = drifted()
    version = next(iter(world.store.tables.versions.values()))
    for actor, event in ((ANA, Event.START_REVIEW), (ANA, Event.RELEASE), (BOB, Event.RELEASE)):
        world.ask(actor, event)
    assert world.state(version) is State.ACTIVE
    assert [alert.status for alert in world.store.tables.alerts.values()] == ["closed"]
    world.send_for(30, version)
    world.catch_up()
    assert world.state(version) is State.ACTIVE
    assert len(world.store.tables.alerts) == 1
    assert next(iter(world.store.tables.incidents.values())).status is IncidentStatus.OPEN


def released_into_the_same_drift(*, resolved: bool) -> World:
    """Return a world in which a version was released, and its traffic is as it was when it was quarantined."""
    world = drifted()
    (version,) = world.store.tables.versions.values()
    for actor, event in ((ANA, Event.START_REVIEW), (ANA, Event.RELEASE), (DANA, Event.RELEASE)):
        world.ask(actor, event)
    if resolved:
        (incident_id,) = world.store.tables.incidents
        act_on_incident(world.office, ANA, incident_id, Act(action=IncidentAction.RESOLVE, verdict=Verdict.BENIGN))
    world.send_for(10, version, shift=2.0)
    world.catch_up()
    assert world.state(version) is State.QUARANTINED
    return world


def test_drift_that_goes_on_after_a_release_stays_one_incident_which_tells_of_it() -> None:
    world = released_into_the_same_drift(resolved=False)
    (incident_id,) = world.store.tables.incidents
    first, again = sorted(world.store.tables.alerts.values(), key=lambda alert: alert.position)
    assert (first.status, again.status) == ("closed", "open")
    assert first.incident_id == again.incident_id == incident_id
    said = [item for item in world.store.read.timeline(incident_id) if item.actor == SYSTEM]
    # Both alarms were followed by more of the same, which their timeline tells too.
    lasted = [item for item in said[1:] if item.body.endswith("so the change went on")]
    assert [(item.kind, item.body) for item in said[1:] if item not in lasted] == [("rebuilt", again.reason)]
    assert len(lasted) == 2
    told = [queued.message for queued in world.store.tables.outbox.values()]
    told = [message for message in told if message.kind == "alert_opened"]
    assert len(told) == 2
    assert sum("Again: " in message.payload for message in told) == 1


def test_drift_that_goes_on_after_its_incident_was_resolved_is_a_new_one() -> None:
    world = released_into_the_same_drift(resolved=True)
    assert [i.verdict for i in world.store.tables.incidents.values()] == [Verdict.BENIGN, None]


def test_a_decision_that_was_made_meanwhile_drops_the_pass_and_the_next_one_sees_it() -> None:
    world = World()
    version = world.add_version(reference=reference())
    world.send_for(10, version, shift=2.0)
    overtaken = Overtaken(world.store.worker("w", 10.0, world.clock), lambda: world.ask(ANA, Event.QUARANTINE))
    stages = replace(world.stages(), store=overtaken)
    memory = Memory(stages)
    with pytest.raises(StaleControl):
        process_batches(stages, memory)
    assert world.store.tables.position == 0
    assert [t.actor for t in world.store.tables.transitions] == [ANA]
    world.catch_up()
    assert [t.actor for t in world.store.tables.transitions] == [ANA]
    assert next(iter(world.store.tables.snapshots.values())).leaks_total == 500


def test_a_pass_without_news_writes_nothing() -> None:
    world = World()
    version = world.add_version(reference=reference())
    world.send_for(2, version)
    stages = world.stages()
    memory = Memory(stages)
    assert process_batches(stages, memory).commit_seconds is not None
    before = world.store.tables
    assert process_batches(stages, memory).commit_seconds is None
    assert world.store.tables is before


def test_passes_are_bounded_and_add_up() -> None:
    world = World()
    version = world.add_version(reference=reference())
    world.send_for(10, version)
    stages = world.stages(entries_max=3)
    memory = Memory(stages)
    assert [process_batches(stages, memory).entries for _ in range(5)] == [3, 3, 3, 1, 0]


def test_nothing_is_lost_when_the_store_is_away_for_a_while() -> None:
    world = World()
    version = world.add_version(reference=reference())
    world.send_for(5, version)
    stages = world.stages()
    memory = Memory(stages)
    world.store.failing = True
    with pytest.raises(Unavailable):
        process_batches(stages, memory)
    world.store.failing = False
    world.catch_up()
    assert world.store.tables.snapshots[version.id].events_total == 250


def test_a_version_that_is_not_known_yet_is_read_before_its_entries_are_folded() -> None:
    world = World()
    stages = world.stages()
    memory = Memory(stages)
    version = world.add_version(reference=reference())
    world.send_for(3, version)
    process_batches(stages, memory)
    assert world.store.tables.snapshots[version.id].events_total == 150


def test_an_outcome_carries_the_workers_own_figures() -> None:
    world = drifted()
    assert '"passes":' in world.store.read.worker().stats


def test_a_change_in_one_segment_reaches_the_incident_the_alert_and_the_people_by_name() -> None:
    world = World()
    version = world.add_version(policy=POLICY, reference=segmented_reference())
    for second in range(45):
        frame = regional(second, 80, shift=0.8 if second >= 10 else 0.0, inside="us")
        new = NewEntry(
            kind=EntryKind.BATCH, version_id=version.id, batch_id=str(second), rows=80, body=encode_frame(frame)
        )
        world.log.append_now(new)
        world.clock.advance(1)
    world.catch_up()
    tables = world.store.tables
    (incident,) = tables.incidents.values()
    (alert,) = tables.alerts.values()
    assert incident.title == "Data drift in m1 1: age (mean up) in region=us"
    assert (alert.columns[0].name, alert.columns[0].segment) == ("age", "region=us")
    assert world.state(version) is State.QUARANTINED
    told = [queued.message.payload for queued in tables.outbox.values()]
    assert all("in region=us" in payload for payload in told if "AlertOpened" in payload)
    assert any("AlertOpened" in payload for payload in told)

"""The worker's side: the same for the in-memory store, SQLite and PostgreSQL."""

from dataclasses import replace
from typing import Any

import pytest

from service.domain.errors import Unavailable
from service.domain.ids import Position
from service.domain.policy import Cause
from service.domain.records import AnswerBlock, Ending, IncidentStatus, TimelineItem, Verdict, Version
from service.domain.states import Event, State
from service.ports import SYSTEM, Outcome, StaleControl, WorkerStore
from service.store import Store
from tests.fakes import ManualClock
from tests.integration.store import samples as s
from tests.integration.store.conftest import AnyStore

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US


def _registered(store: AnyStore, name: str = "fraud-scorer") -> Version:
    with store.control.write() as tx:
        version = s.registered(tx, name)
        tx.add_baseline(s.baseline(version, f"{name}-b1"))
        found = tx.version(name, version.version)
    assert found is not None
    return found


def _outcome(worker: WorkerStore, last: int, **written: Any) -> Outcome:
    return replace(Outcome(first=worker.position(), last=Position(last), revision=worker.revision()), **written)


def test_the_cursor_moves_with_what_is_written(store: AnyStore, clock: ManualClock) -> None:
    version = _registered(store)
    worker = store.worker("w", 10.0, clock)
    assert worker.position() == 0
    snapshot = s.snapshot(version, 40, "fraud-scorer-b1")
    window = s.window(version, "1m", s.T0, baseline_id="fraud-scorer-b1")
    worker.commit(_outcome(worker, 40, snapshots=[snapshot], windows=[window], stats='{"events": 1}'))
    assert worker.position() == 40
    assert worker.snapshots() == {version.id: snapshot}
    assert store.read.snapshot(version.id) == snapshot
    assert list(store.read.snapshots()) == [replace(snapshot, blob=b"")]
    assert worker.windows(version.id, "1m", s.T0) == window
    assert worker.windows(version.id, "1h", s.T0) is None
    figures = store.read.worker()
    assert (figures.position, figures.stats, figures.heartbeat_us) == (40, '{"events": 1}', clock.now_us())


def test_what_is_known_of_principals_stays_until_it_is_kept_anew(store: AnyStore, clock: ManualClock) -> None:
    version = _registered(store)
    worker, last = store.worker("w", 10.0, clock), 0
    worker.position()
    for position, kept, found in ((5, b"one", b"one"), (6, None, b"one"), (7, b"two", b"two"), (8, b"", b"")):
        snapshot = replace(s.snapshot(version, position), principals=kept)
        worker.commit(_outcome(worker, position, snapshots=[snapshot]))
        assert worker.snapshots()[version.id].principals == found
        last = position
    assert worker.position() == last
    read = store.read.snapshot(version.id)
    assert read is not None
    assert read.principals is None


def test_blocks_of_answers_stay_until_they_change_or_are_needed_no_more(store: AnyStore, clock: ManualClock) -> None:
    version = _registered(store)
    worker = store.worker("w", 10.0, clock)
    steps = [
        ({0: b"a", 1: b"b"}, 0, {0: b"a", 1: b"b"}),
        ({}, 0, {0: b"a", 1: b"b"}),
        ({1: b"bc", 2: b"d"}, 0, {0: b"a", 1: b"bc", 2: b"d"}),
        ({3: b"e"}, 2, {2: b"d", 3: b"e"}),
        ({}, 3, {3: b"e"}),
    ]
    for position, (changed, first, found) in enumerate(steps, start=5):
        blocks = tuple(AnswerBlock(number=number, content=content) for number, content in changed.items())
        snapshot = replace(s.snapshot(version, position), answers=blocks, answers_first=first)
        worker.commit(_outcome(worker, position, snapshots=[snapshot]))
        assert {block.number: block.content for block in worker.snapshots()[version.id].answers} == found
    read = store.read.snapshot(version.id)
    assert read is not None
    assert read.answers == ()


def test_snapshots_and_windows_are_replaced(store: AnyStore, clock: ManualClock) -> None:
    version = _registered(store)
    worker = store.worker("w", 10.0, clock)
    for last in (40, 41):
        worker.commit(
            _outcome(
                worker,
                last,
                snapshots=[s.snapshot(version, last)],
                windows=[s.window(version, "1m", s.T0, baseline_id="fraud-scorer-b1", events=last)],
            )
        )
    assert [x.position for x in store.read.snapshots()] == [41]
    assert [w.events for w in store.read.windows(version.id, "1m", s.T0, s.T0)] == [41]


def test_windows_are_listed_oldest_first_within_both_ends(store: AnyStore, clock: ManualClock) -> None:
    version = _registered(store)
    other = _registered(store, "other")
    worker = store.worker("w", 10.0, clock)
    starts = [s.T0 + n * MINUTE_US for n in (3, 0, 2, 1)]
    windows = [s.window(version, "1m", start, baseline_id="other-b1") for start in starts]
    windows += [s.window(version, "1h", starts[0], baseline_id="other-b1")]
    windows += [s.window(other, "1m", starts[0], baseline_id="other-b1")]
    worker.commit(_outcome(worker, 9, windows=windows))
    found = store.read.windows(version.id, "1m", s.at(60), s.at(180))
    assert [w.start_us for w in found] == [s.at(60), s.at(120), s.at(180)]


def test_alerts_and_incidents_are_opened_changed_and_listed(store: AnyStore, clock: ManualClock) -> None:
    version = _registered(store)
    worker = store.worker("w", 10.0, clock)
    first, second = s.incident(version, "i1"), replace(s.incident(version, "i2", Cause.LATENCY), opened_us=s.at(11))
    one, two = s.alert(first, "a1"), replace(s.alert(second, "a2"), opened_us=s.at(11))
    worker.commit(_outcome(worker, 5, incidents=[first, second], alerts=[one, two], messages=[s.message()]))
    confirmed = replace(one, confirmations=2, evidence_log=1e300)
    worker.commit(_outcome(worker, 6, alerts=[confirmed, s.closed(two)]))
    assert list(store.read.alerts(version_id=version.id, status=None, limit=9)) == [s.closed(two), confirmed]
    assert list(store.read.alerts(version_id=None, status="open", limit=9)) == [confirmed]
    assert list(store.read.alerts(version_id=None, status=None, limit=1)) == [s.closed(two)]
    assert list(store.read.incidents(version_id=None, status="open", limit=9)) == [second, first]
    assert list(store.read.incidents(version_id=version.id, status="resolved", limit=9)) == []
    assert [t.kind for t in store.read.timeline("i2")] == ["opened"]
    assert list(worker.control().open_alerts) == [confirmed]
    assert s.waiting(store) == ["m1"]


def test_unresolved_incidents_are_known_and_their_timeline_goes_on(store: AnyStore, clock: ManualClock) -> None:
    version = _registered(store)
    worker = store.worker("w", 10.0, clock)
    first, second = s.incident(version, "i1"), replace(s.incident(version, "i2", Cause.LATENCY), opened_us=s.at(11))
    worker.commit(_outcome(worker, 5, incidents=[second, first]))
    assert list(worker.control().unresolved) == [first, second]
    item = TimelineItem(at_us=s.at(12), actor=SYSTEM, kind="rebuilt", body="again")
    worker.commit(_outcome(worker, 6, timeline=[("i1", item)]))
    assert list(store.read.timeline("i1"))[1:] == [item]
    with store.control.write() as tx:
        resolved = replace(first, status=IncidentStatus.RESOLVED, resolved_us=s.at(13), verdict=Verdict.BENIGN)
        tx.save_incident(resolved, replace(item, kind="resolve"))
    assert list(worker.control().unresolved) == [second]


def test_an_incident_that_ends_by_itself_is_resolved_once_and_not_over_what_people_said(
    store: AnyStore, clock: ManualClock
) -> None:
    version = _registered(store)
    worker = store.worker("w", 10.0, clock)
    first, second = s.incident(version, "i1", Cause.STALE), s.incident(version, "i2", Cause.TRAFFIC)
    open_alerts = [s.alert(first, "a1"), s.alert(second, "a2")]
    worker.commit(_outcome(worker, 5, incidents=[first, second], alerts=open_alerts))
    with store.control.write() as tx:
        settled = replace(second, status=IncidentStatus.RESOLVED, verdict=Verdict.BENIGN, resolved_us=s.at(20))
        tx.save_incident(settled, s.item("resolve", "benign", 20))
    before = worker.revision()
    endings = [
        Ending(incident_id=incident.id, at_us=s.at(40), note="events come again") for incident in (first, second)
    ]
    closed = s.closed(open_alerts[0])
    assert worker.commit(_outcome(worker, 6, alerts=[closed], endings=endings)) > before
    one, two = store.read.incident("i1"), store.read.incident("i2")
    assert one is not None
    assert two is not None
    assert (one.status, one.verdict, one.note) == (IncidentStatus.RESOLVED, None, "events come again")
    assert (one.resolved_us, one.lock) == (s.at(40), 1)
    assert (two.verdict, two.note, two.resolved_us) == (Verdict.BENIGN, settled.note, s.at(20))
    assert [item.kind for item in store.read.timeline("i1")] == ["opened", "ended"]
    assert [item.kind for item in store.read.timeline("i2")] == ["opened", "resolve"]
    assert list(worker.control().open_alerts) == []


def test_control_holds_what_people_decided_at_one_revision(store: AnyStore, clock: ManualClock) -> None:
    version = _registered(store)
    with store.control.write() as tx:
        tx.add_baseline(s.baseline(version, "b3", 30))
        tx.add_baseline(s.baseline(version, "b2", 20))
    worker = store.worker("w", 10.0, clock)
    for _ in range(2):
        control = worker.control()
        assert control.revision == worker.revision()
        assert list(control.models.values()) == list(store.read.models())
        assert list(control.versions) == [version.id]
        assert control.versions[version.id].baseline_id == "b2"
        found = control.baselines[version.id]
        assert [b.id for b in found] == ["fraud-scorer-b1", "b2", "b3"]
        assert found[1] == s.baseline(version, "b2", 20)


def test_a_transition_by_policy_bumps_the_revision_that_commit_returns(store: AnyStore, clock: ManualClock) -> None:
    version = _registered(store)
    worker = store.worker("w", 10.0, clock)
    before = worker.revision()
    assert worker.commit(_outcome(worker, 5, snapshots=[s.snapshot(version, 5)])) == before
    incident = s.incident(version)
    record = s.transition(version, Event.QUARANTINE, incident_id="i1")
    after = worker.commit(
        _outcome(worker, 6, incidents=[incident], alerts=[s.alert(incident)], transitions=[(record, 0)])
    )
    assert after == worker.revision() > before
    moved = store.read.version(version.model, version.version)
    assert moved is not None
    assert (moved.state, moved.lock) == (State.QUARANTINED, 1)
    assert [e.action for e in store.read.audit(9)] == ["transition.quarantine", "incident.opened"]


def test_a_pass_from_another_cursor_or_revision_or_lock_writes_nothing(store: AnyStore, clock: ManualClock) -> None:
    version = _registered(store)
    worker = store.worker("w", 10.0, clock)
    good = _outcome(worker, 5, snapshots=[s.snapshot(version, 5)])
    stale_lock = [(s.transition(version, Event.QUARANTINE), 7)]
    for bad in (
        replace(good, first=Position(4)),
        replace(good, revision=good.revision - 1),
        replace(good, transitions=stale_lock),
    ):
        with pytest.raises(StaleControl):
            worker.commit(bad)
    assert worker.position() == 0
    assert worker.snapshots() == {}
    assert worker.revision() == good.revision
    worker.commit(good)


def test_a_decision_between_reading_and_committing_makes_the_pass_stale(store: AnyStore, clock: ManualClock) -> None:
    version = _registered(store)
    worker = store.worker("w", 10.0, clock)
    outcome = _outcome(worker, 5)
    with store.control.write() as tx:
        tx.restart(version.id, Position(3))
    with pytest.raises(StaleControl, match="revision"):
        worker.commit(outcome)


def test_a_second_worker_waits_until_the_first_gives_up(store: AnyStore, clock: ManualClock) -> None:
    first, second = store.worker("one", 10.0, clock), store.worker("two", 10.0, clock)
    first.commit(_outcome(first, 5))
    with pytest.raises(Unavailable):
        second.position()
    first.close()
    assert second.position() == 5
    second.commit(_outcome(second, 6))
    second.close()


def test_a_worker_without_a_lease_cannot_commit(store: AnyStore, clock: ManualClock) -> None:
    worker = store.worker("w", 10.0, clock)
    with pytest.raises(StaleControl):
        worker.commit(Outcome(first=Position(0), last=Position(1), revision=worker.revision()))
    assert store.read.worker().position == 0


def test_asking_for_the_position_now_and_then_is_a_heartbeat(store: AnyStore, clock: ManualClock) -> None:
    worker = store.worker("w", 10.0, clock)
    worker.position()
    now = clock.advance(6.0)
    worker.position()
    assert store.read.worker().heartbeat_us == now


def test_the_same_owner_comes_back_at_once_and_fences_its_former_self(store: AnyStore, clock: ManualClock) -> None:
    former = store.worker("w", 10.0, clock)
    outcome = _outcome(former, 5)
    former.close()
    latter = store.worker("w", 10.0, clock)
    latter.commit(_outcome(latter, 7))
    with pytest.raises(StaleControl):
        former.commit(replace(outcome, first=Position(7)))
    latter.close()


def test_old_windows_are_deleted_by_the_age_of_the_newest(sql_store: Store, clock: ManualClock) -> None:
    version = _registered(sql_store)
    worker = sql_store.worker("w", 10.0, clock)
    old = [s.window(version, "1m", s.T0 + n, baseline_id="fraud-scorer-b1") for n in (0, 1, MINUTE_US)]
    hours = [s.window(version, "1h", s.T0, baseline_id="fraud-scorer-b1")]
    worker.commit(_outcome(worker, 1, windows=[*old, *hours]))
    clock.advance(61)
    newest = s.window(version, "1m", s.T0 + MINUTE_US + 48 * HOUR_US, baseline_id="fraud-scorer-b1")
    worker.commit(_outcome(worker, 2, windows=[newest]))
    left = sql_store.read.windows(version.id, "1m", s.at(0), s.at(1e6))
    assert [w.start_us for w in left] == [s.T0 + MINUTE_US, newest.start_us]
    assert len(sql_store.read.windows(version.id, "1h", s.at(0), s.at(1e6))) == 1


def test_of_a_retired_version_no_baseline_is_read_once_all_before_was_folded(
    store: AnyStore, clock: ManualClock
) -> None:
    version, other = _registered(store), _registered(store, "other")
    worker = store.worker("w", 10.0, clock)
    worker.commit(_outcome(worker, 39))
    with store.control.write() as tx:
        tx.transition(s.transition(version, Event.RETIRE), lock=0, restart=Position(40))
    assert set(worker.control().baselines) == {version.id, other.id}
    worker.commit(_outcome(worker, 40))
    assert set(worker.control().baselines) == {version.id, other.id}, "the next entry may still close a tick"
    worker.commit(_outcome(worker, 41))
    control = worker.control()
    assert set(control.baselines) == {other.id}
    assert set(control.versions) == {version.id, other.id}
    assert control.baselines[other.id][0].artefact

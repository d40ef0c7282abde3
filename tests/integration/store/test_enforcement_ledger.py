"""What is written down about quarantines being obeyed, on SQLite and on PostgreSQL."""

from collections.abc import Iterator

import pytest

from service.domain.ids import Actor, Micros, Position
from service.domain.records import Message, TransitionRecord, Version
from service.domain.states import Event, next_state
from service.store import Store, open_store
from tests.integration.store.samples import registered

ADA = Actor("ada")


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    store = open_store(store_url, timeout_seconds=5.0)
    yield store
    store.close()


@pytest.fixture
def version(store: Store) -> Version:
    with store.control.write() as tx:
        return registered(tx)


def move(store: Store, version: Version, *events: Event) -> Version:
    """Let a version go through events, one second apart by its lock."""
    for event in events:
        current = store.read.version(version.model, version.version)
        assert current is not None
        record = TransitionRecord(
            version_id=current.id,
            before=current.state,
            event=event,
            after=next_state(current.state, event),
            actor=ADA,
            reason="of a test",
            at_us=Micros(1_000_000 * (current.lock + 1)),
            position=Position(0),
        )
        with store.control.write() as tx:
            tx.transition(record, lock=current.lock, restart=None)
    found = store.read.version(version.model, version.version)
    assert found is not None
    return found


def actions(store: Store) -> list[str]:
    return [entry.action for entry in store.read.audit(100) if not entry.action.startswith("transition")]


def test_a_quarantine_waits_for_a_gateway_and_the_first_refusal_counts(store: Store, version: Version) -> None:
    assert store.enforcements.latest() == []
    move(store, version, Event.QUARANTINE)
    (waiting,) = store.enforcements.latest()
    assert (waiting.quarantined_us, waiting.enforced_us, waiting.ended_us) == (1_000_000, None, None)
    revision = store.read.revision()
    store.enforcements.acknowledge(version.id, 1, Micros(1_250_000), "d-1")
    store.enforcements.acknowledge(version.id, 1, Micros(1_900_000), "d-2")
    (obeyed,) = store.enforcements.latest(version.id)
    assert (obeyed.seconds, obeyed.decision_id) == (0.25, "d-1")
    assert actions(store).count("quarantine.enforced") == 1
    assert store.read.revision() == revision, "the worker's pass must not be thrown away for it"


def test_the_review_is_the_same_quarantine_and_a_release_ends_it(store: Store, version: Version) -> None:
    move(store, version, Event.QUARANTINE, Event.START_REVIEW)
    (one,) = store.enforcements.latest()
    assert (one.lock, one.ended_us) == (0, None)
    move(store, version, Event.RELEASE)
    (one,) = store.enforcements.latest()
    assert one.ended_us == 3_000_000
    store.enforcements.acknowledge(version.id, 2, Micros(4_000_000), "late")
    assert store.enforcements.latest() == [one], "nothing is in quarantine: nothing is obeyed"
    move(store, version, Event.QUARANTINE)
    (again,) = store.enforcements.latest()
    assert (again.lock, again.quarantined_us, again.enforced_us) == (3, 4_000_000, None)


def test_it_is_told_once_with_its_messages(store: Store, version: Version) -> None:
    move(store, version, Event.QUARANTINE)
    (one,) = store.enforcements.latest()
    message = Message(id="m1", kind="not_enforced", payload="{}", created_us=Micros(5))
    assert store.enforcements.tell(one, "not_enforced", "events still come", Micros(5), [message])
    assert not store.enforcements.tell(one, "not_enforced", "events still come", Micros(6), [message])
    assert store.desk.backlog(Micros(10)).unrouted == 1
    (told,) = store.enforcements.latest()
    assert told.overdue_us == 5
    assert store.enforcements.tell(told, "enforced_again", "they have stopped", Micros(7), [])
    assert store.enforcements.latest()[0].overdue_us is None
    assert [action for action in actions(store) if action.startswith("quarantine.")] == [
        "quarantine.enforced_again",
        "quarantine.not_enforced",
    ]


def test_a_refusal_that_is_written_down_late_counts_for_its_own_quarantine_alone(
    store: Store, version: Version
) -> None:
    move(store, version, Event.QUARANTINE, Event.START_REVIEW)
    # The gate refuses while the version is under review; before that is written down, the next quarantine stands.
    move(store, version, Event.RELEASE, Event.QUARANTINE)
    store.enforcements.acknowledge(version.id, 2, Micros(2_500_000), "of the first")
    (newest,) = store.enforcements.latest(version.id)
    assert (newest.lock, newest.enforced_us) == (3, None)
    told = [link.detail for link in store.read.audit(100) if link.action == "quarantine.enforced"]
    assert told == ["a gateway obeys: the gate kept a request from the version 1.500 s after the quarantine"]
    store.enforcements.acknowledge(version.id, 4, Micros(4_250_000), "of the second")
    (newest,) = store.enforcements.latest(version.id)
    assert (newest.seconds, newest.decision_id) == (0.25, "of the second")


def test_what_people_believe_of_an_old_quarantine_is_ended_although_there_is_a_new_one(
    store: Store, version: Version
) -> None:
    move(store, version, Event.QUARANTINE)
    (one,) = store.enforcements.waiting()
    assert store.enforcements.tell(one, "not_enforced", "events still come", Micros(1_500_000), [])
    move(store, version, Event.START_REVIEW, Event.RELEASE, Event.QUARANTINE)
    old, new = store.enforcements.waiting()
    assert (old.lock, old.overdue_us, old.ended_us) == (0, 1_500_000, 3_000_000)
    assert (new.lock, new.overdue_us, new.ended_us) == (3, None, None)
    assert store.enforcements.tell(old, "enforced_again", "the quarantine is over", Micros(4_500_000), [])
    assert store.enforcements.waiting() == [new]


def test_a_quarantine_that_is_over_by_now_is_not_told_as_disobeyed(store: Store, version: Version) -> None:
    move(store, version, Event.QUARANTINE)
    (one,) = store.enforcements.waiting()
    move(store, version, Event.START_REVIEW, Event.RELEASE)
    assert not store.enforcements.tell(one, "not_enforced", "events still come", Micros(5), [])
    assert store.enforcements.waiting() == []


def test_drills_are_found_by_their_version_newest_first(store: Store, version: Version) -> None:
    name = f"{version.model}/{version.version}"
    for number, (action, subject) in enumerate(
        [("drill.begin", name), ("drill.begin", "other/1"), ("model.register", name), ("drill.end", name)]
    ):
        store.enforcements.audit(ADA, action, subject, f"{number}", Micros(number))
    assert [link.detail for link in store.enforcements.drills(name, 10)] == ["3", "0"]
    assert [link.detail for link in store.enforcements.drills(name, 1)] == ["3"]

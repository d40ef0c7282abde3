"""Many snoozes at once: each of them has its turn, however many end before it."""

from dataclasses import replace
from pathlib import Path

import pytest

from service.domain.ids import Actor, Micros
from service.domain.incidents import Snooze
from service.domain.records import Incident, Severity, TimelineItem
from service.hushing import HushWatch
from service.ports import Outcome
from service.store import Store
from tests.fakes import ManualClock
from tests.integration.store import samples
from tests.service.notify.desk import fresh_store

ANA = Actor("ana")
MANY = 7
PAGE = 2


def snoozed(store: Store, clock: ManualClock) -> list[Incident]:
    """Return incidents that are all snoozed for a day, until they are worse."""
    with store.control.write() as tx:
        version = samples.registered(tx)
    incidents = [samples.incident(version, f"i{number}") for number in range(MANY)]
    worker = store.worker("w", 10.0, clock)
    first = worker.position()
    worker.commit(Outcome(first=first, last=first, revision=worker.revision(), incidents=incidents))
    now = clock.now_us()
    with store.incidents.write() as tx:
        for number, one in enumerate(incidents):
            until = Micros(now + (86_400 + number) * 1_000_000)
            tx.save_snooze(
                Snooze(
                    incident_id=one.id,
                    until_us=until,
                    until_worse=True,
                    severity=one.severity,
                    at_us=now,
                    actor=ANA,
                )
            )
    return incidents


def test_the_last_of_many_snoozes_ends_as_soon_as_it_is_worse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.hushing.LOOKED_AT_MAX", PAGE)
    store, clock = fresh_store(tmp_path), ManualClock()
    incidents = snoozed(store, clock)
    with store.incidents.write() as tx:
        item = TimelineItem(at_us=clock.now_us(), actor=ANA, kind="raised", body="")
        tx.save_incident(replace(incidents[-1], severity=Severity.HIGH), item)
    watch = HushWatch(desk=store.incidents, read=store.read, clock=clock)
    looks = -(-MANY // PAGE)
    for _ in range(looks):
        watch.look()
    left = {one.incident_id for one in store.incidents.snoozes(99)}
    assert left == {one.id for one in incidents[:-1]}
    # Once it is not snoozed, nothing hushes it: its turn among the hushed ones comes as well.
    for _ in range(looks):
        watch.look()
    assert {one.incident_id for one in store.incidents.hushed(99)} == left
    store.close()


def test_whatever_is_due_is_looked_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.hushing.LOOKED_AT_MAX", PAGE)
    store, clock = fresh_store(tmp_path), ManualClock()
    incidents = snoozed(store, clock)
    with store.incidents.write() as tx:
        late = store.incidents.snooze(incidents[-1].id)
        assert late is not None
        tx.save_snooze(replace(late, until_us=Micros(clock.now_us() + 5_000_000)))
    watch = HushWatch(desk=store.incidents, read=store.read, clock=clock)
    clock.advance(5)
    watch.look()
    assert store.incidents.snooze(incidents[-1].id) is None
    assert len(store.incidents.snoozes(99)) == MANY - 1
    store.close()

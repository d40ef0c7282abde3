"""Adversarial use in the store: the same for the in-memory store, SQLite and PostgreSQL."""

from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from service.domain.errors import NotFound
from service.domain.ids import Actor, Micros, Position
from service.domain.policy import Cause
from service.domain.principals import AdversarialUse, Containment, ContainmentState, Kind, PrincipalTier
from service.domain.records import Alert, Incident, IncidentStatus, Raised, Severity, Verdict, Version
from service.domain.states import Event
from service.ports import SYSTEM, Outcome, WorkerStore
from service.store import Store, open_store
from service.store import migrate as m
from service.store.containments import CONTAINMENTS_KEPT_US
from tests.fakes import ManualClock
from tests.integration.store import samples as s
from tests.integration.store.conftest import AnyStore

ANN, BOB = "a" * 32, "b" * 32


def _version(store: AnyStore) -> Version:
    with store.control.write() as tx:
        return s.registered(tx)


def _outcome(worker: WorkerStore, last: int, **written: Any) -> Outcome:
    return replace(Outcome(first=worker.position(), last=Position(last), revision=worker.revision()), **written)


def use(subject: str = ANN, kind: Kind = Kind.PROBING) -> AdversarialUse:
    return AdversarialUse(
        kind=kind,
        subject=subject,
        atlas="5.6.0",
        techniques=("AML.T0040",),
        tactics=("AML.TA0000",),
        principals=(subject, BOB),
        transcript="fingerprints:m/1",
        until_us=s.at(9),
        best_margin=-0.25,
        fidelity=None,
        queries=31,
        flips=2,
        flipped_by=(subject,),
        reasons=("'odd' \U0001f6a2",),
    )


def attack(of: Version, name: str = "i9") -> Incident:
    return replace(s.incident(of, name, Cause.ADVERSARIAL), severity=Severity.LOW)


def accusation(of: Incident, name: str = "a9", subject: str = ANN, kind: Kind = Kind.PROBING) -> Alert:
    return replace(s.alert(of, name), columns=(), adversarial=use(subject, kind))


def containment(of: Version, principal: str = ANN, **changed: Any) -> Containment:
    plain = Containment(
        version_id=of.id,
        principal=principal,
        state=ContainmentState.CONTAINED,
        tier=PrincipalTier.PROBING,
        reason="evidence 10^9",
        since_us=s.at(10),
        renewed_us=s.at(10),
        until_us=s.at(3_610),
        incident_id=None,
    )
    return replace(plain, **changed)


def test_an_attack_is_written_whole_and_read_as_it_was(store: AnyStore, clock: ManualClock) -> None:
    version = _version(store)
    worker = store.worker("w", 10.0, clock)
    incident, held = attack(version), containment(version, incident_id="i9")
    alerts = [accusation(incident), accusation(incident, "a8", ANN, Kind.INTENT), accusation(incident, "a7", BOB)]
    before = worker.revision()
    worker.commit(_outcome(worker, 5, incidents=[incident], alerts=alerts, containments=[held]))
    assert worker.revision() > before
    assert store.read.incident("i9") == incident
    assert sorted(store.read.alerts_of("i9", 9), key=lambda a: a.id, reverse=True) == alerts
    assert [a.id for a in store.read.alerts_of("i9", 1)] == ["a9"]
    assert list(store.read.containments(version_id=None, holding_us=None, limit=9)) == [held]
    control = worker.control()
    assert list(control.containments) == [held]
    assert [alert.adversarial for alert in control.open_alerts if alert.id == "a9"] == [use()]
    newest = store.read.audit(1)[0]
    subject = f"{version.model}/{version.version}/{ANN}"
    assert (newest.actor, newest.action, newest.subject) == (SYSTEM, "principal.contain", subject)


def test_containments_alone_move_the_revision_so_that_the_gate_looks(store: AnyStore, clock: ManualClock) -> None:
    version = _version(store)
    worker = store.worker("w", 10.0, clock)
    before = worker.revision()
    worker.commit(_outcome(worker, 5, containments=[containment(version)]))
    assert worker.revision() == store.read.revision() == before + 1


def test_an_incident_is_raised_under_a_new_lock_unless_people_resolved_it(store: AnyStore, clock: ManualClock) -> None:
    version = _version(store)
    worker = store.worker("w", 10.0, clock)
    worse = Raised(incident_id="i9", severity=Severity.HIGH, title="worse")
    worker.commit(_outcome(worker, 5, incidents=[attack(version)], raised=[worse]))
    raised = store.read.incident("i9")
    assert raised == replace(attack(version), severity=Severity.HIGH, title="worse", lock=1)
    with store.control.write() as tx:
        assert raised is not None
        done = {"status": IncidentStatus.RESOLVED, "verdict": Verdict.BENIGN, "resolved_us": s.at(30)}
        tx.save_incident(replace(raised, **done), s.item("resolve"))  # type: ignore[arg-type]  # fields by name
    worker.commit(_outcome(worker, 6, raised=[replace(worse, title="too late")]))
    kept = store.read.incident("i9")
    assert kept is not None
    assert (kept.title, kept.lock) == ("worse", 2)


def test_attacks_and_drift_are_listed_apart_or_together(store: AnyStore, clock: ManualClock) -> None:
    version = _version(store)
    worker = store.worker("w", 10.0, clock)
    drift, attacked = s.incident(version, "i1"), attack(version)
    alerts = [s.alert(drift, "a1"), accusation(attacked)]
    worker.commit(_outcome(worker, 5, incidents=[drift, attacked], alerts=alerts))
    for adversarial, ids in ((None, {"a1", "a9"}), (True, {"a9"}), (False, {"a1"})):
        found = store.read.alerts(version_id=version.id, status="open", limit=9, adversarial=adversarial)
        assert {alert.id for alert in found} == ids
    for adversarial, ids in ((None, {"i1", "i9"}), (True, {"i9"}), (False, {"i1"})):
        known = store.read.incidents(version_id=None, status=None, limit=9, adversarial=adversarial)
        assert {incident.id for incident in known} == ids


def test_closed_accusations_of_the_last_day_are_remembered_for_the_caps(store: AnyStore, clock: ManualClock) -> None:
    version = _version(store)
    worker = store.worker("w", 10.0, clock)
    incident, drift, day = attack(version), s.incident(version, "i1"), 24 * 3_600
    alerts = [
        replace(s.closed(accusation(incident, "old")), opened_us=s.at(10)),
        replace(s.closed(accusation(incident, "fresh")), opened_us=s.at(11)),
        replace(accusation(incident, "newest", BOB), opened_us=s.at(10 + day)),
        s.closed(s.alert(drift, "a1")),
    ]
    worker.commit(_outcome(worker, 5, incidents=[incident, drift], alerts=alerts))
    assert [alert.id for alert in worker.control().recent_alerts] == ["fresh"]


def test_a_containment_is_lifted_by_a_person_and_ends_by_itself(store: AnyStore, clock: ManualClock) -> None:
    version = _version(store)
    worker = store.worker("w", 10.0, clock)
    held, other = containment(version), containment(version, BOB, since_us=s.at(11), renewed_us=s.at(11))
    worker.commit(_outcome(worker, 5, containments=[held, other]))

    def holding(seconds: float) -> list[str]:
        at_us = s.at(seconds)
        return [one.principal for one in store.read.containments(version_id=version.id, holding_us=at_us, limit=9)]

    assert (holding(20), holding(3_609), holding(3_610)) == ([BOB, ANN], [BOB, ANN], [])
    with store.control.write() as tx:
        assert tx.containment(version.id, ANN) == held
        assert tx.containment(version.id, "0" * 32) is None
        lifted = replace(held, state=ContainmentState.LIFTED, lifted_us=s.at(20), lifted_by=Actor("ada"))
        tx.save_containment(lifted)
        with pytest.raises(NotFound):
            tx.save_containment(replace(lifted, principal="0" * 32))
    assert holding(21) == [BOB]
    assert list(store.read.containments(version_id=None, holding_us=None, limit=9)) == [other, lifted]
    assert store.read.audit(1)[0].at_us == s.at(11)
    again = containment(version, since_us=s.at(30), renewed_us=s.at(35), until_us=s.at(40))
    worker.commit(_outcome(worker, 6, containments=[again]))
    assert store.read.audit(1)[0].at_us == s.at(35)
    assert list(worker.control().containments) == [again, other]


@pytest.mark.parametrize(
    "changed",
    [
        {"principal": "client-7"},
        {"until_us": s.at(10)},
        {"state": ContainmentState.LIFTED},
        {"lifted_us": s.at(11), "lifted_by": Actor("ada")},
        {"state": ContainmentState.LIFTED, "lifted_us": s.at(11)},
        {"incident_id": "nowhere"},
    ],
)
def test_a_containment_that_makes_no_sense_is_refused(
    sql_store: Store, clock: ManualClock, changed: dict[str, Any]
) -> None:
    version = _version(sql_store)
    worker = sql_store.worker("w", 10.0, clock)
    with pytest.raises(IntegrityError):
        worker.commit(_outcome(worker, 5, containments=[containment(version, **changed)]))


def test_one_attacker_has_one_open_alert_for_each_tier(sql_store: Store, clock: ManualClock) -> None:
    version = _version(sql_store)
    worker = sql_store.worker("w", 10.0, clock)
    incident = attack(version)
    worker.commit(_outcome(worker, 5, incidents=[incident], alerts=[accusation(incident)]))
    with pytest.raises(IntegrityError):
        worker.commit(_outcome(worker, 6, alerts=[accusation(incident, "a8")]))
    with pytest.raises(IntegrityError):
        worker.commit(_outcome(worker, 6, alerts=[replace(accusation(incident, "a8", BOB), adversarial=None)]))


def test_containments_that_are_long_over_are_swept(sql_store: Store, clock: ManualClock) -> None:
    version = _version(sql_store)
    worker = sql_store.worker("w", 10.0, clock)
    now = clock.now_us()
    over = containment(version, since_us=Micros(now - 9), renewed_us=now, until_us=Micros(now + 1))
    worker.commit(_outcome(worker, 5, containments=[over, containment(version, BOB, until_us=Micros(now + 10**12))]))
    clock.advance(CONTAINMENTS_KEPT_US / 1e6)
    worker.commit(_outcome(worker, 6))
    assert len(worker.control().containments) == 2
    clock.advance(61)
    worker.commit(_outcome(worker, 7))
    assert [one.principal for one in worker.control().containments] == [BOB]


def test_attacks_need_the_newer_schema_and_everything_else_survives_both_ways(
    empty_url: str, clock: ManualClock
) -> None:
    m.upgrade(empty_url)
    with closing(open_store(empty_url, timeout_seconds=5.0)) as store:
        version = _version(store)
        worker = store.worker("w", 10.0, clock)
        drift, attacked = s.incident(version, "i1"), attack(version)
        alerts = [s.alert(drift, "a1"), accusation(attacked), accusation(attacked, "a8", kind=Kind.INTENT)]
        written = {"incidents": [drift, attacked], "alerts": alerts, "containments": [containment(version)]}
        moved = s.transition(version, Event.QUARANTINE, incident_id="i9")
        worker.commit(_outcome(worker, 5, transitions=[(moved, version.lock)], **written))
    m.downgrade(empty_url, "0003")
    m.upgrade(empty_url)
    m.differences(empty_url)
    with closing(open_store(empty_url, timeout_seconds=5.0)) as store:
        assert [i.id for i in store.read.incidents(version_id=None, status=None, limit=9)] == ["i1"]
        kept = store.read.incident("i1")
        assert kept is not None
        assert kept.severity is Severity.MEDIUM
        assert list(store.read.alerts(version_id=None, status=None, limit=9)) == [s.alert(drift, "a1")]
        assert store.read.containments(version_id=None, holding_us=None, limit=9) == []
        assert [t.incident_id for t in store.read.transitions(version.id, 9)] == [None]
        clock.advance(60)
        again = store.worker("v", 10.0, clock)
        with pytest.raises(IntegrityError):
            again.commit(_outcome(again, 6, alerts=[replace(s.alert(drift), id="a3")]))

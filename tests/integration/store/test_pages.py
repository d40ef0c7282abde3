"""What pages ask of the store: the same answers from SQLite and from PostgreSQL."""

from dataclasses import replace
from typing import Any

from service.domain.ids import Actor, Micros, Position
from service.domain.policy import Cause
from service.domain.records import IncidentStatus, Severity
from service.ports import Outcome
from service.ports_pages import AuditWanted, IncidentsWanted
from service.store import Store
from tests.fakes import ManualClock
from tests.integration.store import samples as s


def stocked(store: Store) -> None:
    with store.control.write() as tx:
        first, second = s.registered(tx), s.registered(tx, "Fraud-scorer")
        tx.audit(s.ANNA, "key.issue", "fraud-scorer", "a key whose id is a model's name", s.at(1))
    worker = store.worker("w", 1_000.0, ManualClock())
    base = s.incident(first)
    over: dict[str, Any] = {"status": IncidentStatus.RESOLVED, "resolved_us": s.at(900)}
    incidents = [
        replace(base, id="low", severity=Severity.LOW, opened_us=s.at(30)),
        replace(base, id="high", severity=Severity.HIGH, opened_us=s.at(10), assignee="anna"),
        replace(base, id="new", severity=Severity.HIGH, opened_us=s.at(20), cause=Cause.LATENCY),
        replace(base, id="over", severity=Severity.HIGH, opened_us=s.at(40), **over),
        replace(base, id="other", version_id=second.id, model=second.model, opened_us=s.at(5)),
    ]
    position = worker.position()
    worker.commit(Outcome(first=position, last=Position(position + 1), revision=worker.revision(), incidents=incidents))
    worker.close()


def test_incidents_come_worst_first_part_by_part(sql_store: Store) -> None:
    store = sql_store
    stocked(store)
    found = store.pages.incidents(IncidentsWanted(), 3, 0)
    assert [one.id for one in found.rows] == ["new", "high", "other"]
    assert found.total == 5
    assert found.by_status == {IncidentStatus.OPEN: 4, IncidentStatus.RESOLVED: 1}
    assert [one.id for one in store.pages.incidents(IncidentsWanted(), 3, 3).rows] == ["low", "over"]
    open_ones = IncidentsWanted(statuses=frozenset({IncidentStatus.OPEN}), severity=Severity.HIGH)
    found = store.pages.incidents(open_ones, 10, 0)
    assert ([one.id for one in found.rows], found.total) == (["new", "high"], 2)
    assert [one.id for one in store.pages.incidents(IncidentsWanted(assignee="anna"), 10, 0).rows] == ["high"]
    assert [one.id for one in store.pages.incidents(IncidentsWanted(cause=Cause.LATENCY), 10, 0).rows] == ["new"]
    mine = IncidentsWanted(models=frozenset({"Fraud-scorer"}))
    assert [one.id for one in store.pages.incidents(mine, 10, 0).rows] == ["other"]
    assert store.pages.incidents(IncidentsWanted(models=frozenset()), 10, 0).total == 0
    second = store.read.version("Fraud-scorer", "2026-11-02")
    assert second is not None
    found = store.pages.incidents(IncidentsWanted(versions=frozenset({second.id})), 10, 0)
    assert ([one.id for one in found.rows], found.total) == (["other"], 1)
    assert store.pages.incidents(IncidentsWanted(versions=frozenset()), 10, 0).total == 0


def test_alike_are_earlier_ones_of_the_same_cause(sql_store: Store) -> None:
    store = sql_store
    stocked(store)
    over = store.read.incident("over")
    assert over is not None
    assert [one.incident.id for one in store.pages.alike(over, None, 10)] == ["low", "high", "other"]
    assert [one.incident.id for one in store.pages.alike(over, frozenset({"fraud-scorer"}), 1)] == ["low"]


def test_alike_of_the_same_version_and_model_come_before_newer_ones_of_others(sql_store: Store) -> None:
    store = sql_store
    stocked(store)
    over, other = store.read.incident("over"), store.read.incident("other")
    assert over is not None
    assert other is not None
    with store.control.write() as tx:
        model = tx.model(over.model)
        assert model is not None
        sister = tx.add_version(s.version(model, "next"))
    newer = [replace(other, id=f"n{number:03}", opened_us=s.at(31 + number / 100)) for number in range(210)]
    newer.append(replace(over, id="sister", version_id=sister.id, opened_us=s.at(1)))
    worker = store.worker("w", 1_000.0, ManualClock())
    position = worker.position()
    worker.commit(Outcome(first=position, last=Position(position + 1), revision=worker.revision(), incidents=newer))
    worker.close()
    found = [one.incident.id for one in store.pages.alike(over, None, 200)]
    assert found[:4] == ["low", "high", "sister", "n209"]
    assert len(found) == 200


def test_audit_is_found_by_names_letter_for_letter(sql_store: Store) -> None:
    store = sql_store
    stocked(store)
    pages = store.pages
    everything = pages.audit(AuditWanted(), 100)
    assert [entry.seq for entry in everything] == sorted((entry.seq for entry in everything), reverse=True)
    about = pages.audit(AuditWanted(model="fraud-scorer"), 100)
    assert {entry.subject for entry in about} == {"low", "high", "new", "over"}
    limited = pages.audit(AuditWanted(models=frozenset({"Fraud-scorer"})), 100)
    assert {entry.subject for entry in limited} == {"other"}
    assert pages.audit(AuditWanted(models=frozenset()), 100) == []
    assert [entry.action for entry in pages.audit(AuditWanted(action="key"), 100)] == ["key.issue"]
    assert pages.audit(AuditWanted(action="ke"), 100) == []
    assert [entry.actor for entry in pages.audit(AuditWanted(actor="anna"), 100)] == [s.ANNA]
    part = pages.audit(AuditWanted(before=everything[1].seq), 2)
    assert [entry.seq for entry in part] == [entry.seq for entry in everything[2:4]]
    back = pages.audit(AuditWanted(after=everything[3].seq), 2)
    assert [entry.seq for entry in back] == [entry.seq for entry in everything[1:3]]
    since = AuditWanted(since_us=s.at(20), until_us=s.at(40))
    assert {entry.subject for entry in pages.audit(since, 100)} == {"low", "new"}
    assert "anna" in pages.audit_names(10).actors
    assert len(pages.audit_names(1).actions) == 1


def test_key_uses_never_go_back_and_know_no_strangers(sql_store: Store) -> None:
    store = sql_store
    with store.control.write() as tx:
        tx.add_key(s.key("k1"))
    store.keys.note_uses({"k1": s.at(5), "stranger": s.at(5)})
    store.keys.note_uses({"k1": s.at(3)})
    assert store.keys.uses() == {"k1": s.at(5)}
    store.keys.note_uses({"k1": Micros(s.at(9))})
    assert store.keys.uses() == {"k1": s.at(9)}


def test_approvals_count_for_the_change_that_stands(sql_store: Store) -> None:
    store = sql_store
    stocked(store)
    version = store.read.versions()[0]
    with store.control.write() as tx:
        tx.approve(version.id, Actor("ben"), s.at(1))
        tx.approve(version.id, Actor("anna"), s.at(2))
    assert store.pages.approvals() == {version.id: ["ben", "anna"]}
    assert store.pages.enforcement(version.id) is None
    assert store.pages.events_since(version.id, Micros(0)) == 0
    assert store.pages.proposals(10) == []
    assert store.pages.proposal("none") is None

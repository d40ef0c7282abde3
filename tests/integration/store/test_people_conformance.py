"""What people write and read: the same for the in-memory store, SQLite and PostgreSQL."""

from dataclasses import replace

import msgspec
import pytest

from service.domain.errors import Conflict, NotFound
from service.domain.ids import Actor, Micros, ModelId, Position, VersionId
from service.domain.policy import Policy
from service.domain.records import IncidentStatus, Verdict, Version
from service.domain.redteam import RedTeamRun, RedTeamSummary
from service.domain.states import Event, State
from service.domain.vouched import Canary, Vouched
from service.ports import Outcome
from service.store.audit import first_break
from tests.fakes import ManualClock
from tests.integration.store import samples as s
from tests.integration.store.conftest import AnyStore


def _registered(store: AnyStore, name: str = "fraud-scorer", state: State = State.ACTIVE) -> Version:
    with store.control.write() as tx:
        return s.registered(tx, name, state)


def test_a_model_comes_back_as_it_was_added_with_an_id(store: AnyStore) -> None:
    with store.control.write() as tx:
        added = tx.add_model(s.model())
        assert tx.model("fraud-scorer") == added
    assert added == replace(s.model(), id=added.id)
    assert store.read.model("fraud-scorer") == added
    assert store.read.model("other") is None


def test_the_latest_red_team_run_of_each_version_is_kept(store: AnyStore) -> None:
    first, second = _registered(store, "a"), _registered(store, "b")
    none = RedTeamSummary(
        plan="p", seed=0, complete=True, done=1, total=1, attacks=(), benign=(), skipped=(("digits", "zoo"),), errors=()
    )
    run = RedTeamRun(version_id=first.id, at_us=Micros(5), actor=Actor("ada"), summary=none)
    newer = replace(run, at_us=Micros(9), summary=msgspec.structs.replace(none, seed=7))
    other = replace(run, version_id=second.id)
    with store.control.write() as tx:
        for one in (run, newer, other):
            tx.save_redteam_run(one)
    assert list(store.read.redteam_runs()) == [newer, other]


def test_models_are_listed_by_name(store: AnyStore) -> None:
    with store.control.write() as tx:
        for name in ("b", "c", "a"):
            tx.add_model(s.model(name))
    assert [m.name for m in store.read.models()] == ["a", "b", "c"]


def test_a_name_is_taken_once(store: AnyStore) -> None:
    version = _registered(store)
    with pytest.raises(Conflict, match="fraud-scorer"), store.control.write() as tx:
        tx.add_model(s.model())
    with pytest.raises(Conflict, match="2026-11-02"), store.control.write() as tx:
        tx.add_version(replace(version, id=VersionId(0)))


def test_a_version_comes_back_with_its_schema_in_order(store: AnyStore) -> None:
    version = _registered(store)
    assert version.schema == s.SCHEMA
    assert store.read.version("fraud-scorer", "2026-11-02") == version
    assert store.read.version("fraud-scorer", "1") is None
    assert store.read.version("other", "2026-11-02") is None


def test_what_is_vouched_for_comes_back_with_its_version(store: AnyStore) -> None:
    version = _registered(store)
    assert version.vouched is None
    canary = Canary(key="c", prediction="fraud", tolerance=0.1, confidence=0.5)
    vouched = Vouched(artefact="ab" * 32, canaries=(canary,), from_position=Position(7))
    before = store.read.revision()
    with store.control.write() as tx:
        tx.set_vouched(version.id, vouched)
    assert store.read.revision() > before
    assert store.read.version("fraud-scorer", "2026-11-02") == replace(version, vouched=vouched)
    with pytest.raises(NotFound), store.control.write() as tx:
        tx.set_vouched(VersionId(99), vouched)


def test_versions_are_listed_oldest_first_and_by_model(store: AnyStore) -> None:
    first = _registered(store, "z")
    with store.control.write() as tx:
        second = s.registered(tx, "a")
        third = tx.add_version(replace(first, version="0"))
        assert list(tx.fleet()) == [first, second, third]
    assert list(store.read.versions()) == [first, second, third]
    assert list(store.read.versions("z")) == [first, third]
    assert list(store.read.versions("nobody")) == []


def test_what_belongs_to_nothing_is_refused(store: AnyStore) -> None:
    version = _registered(store)
    with pytest.raises(NotFound), store.control.write() as tx:
        tx.add_version(replace(version, version="2", model_id=ModelId(99)))
    with pytest.raises(NotFound), store.control.write() as tx:
        tx.add_baseline(replace(s.baseline(version), version_id=VersionId(99)))
    with pytest.raises(NotFound), store.control.write() as tx:
        tx.set_policy(ModelId(99), Policy())
    with pytest.raises(NotFound), store.control.write() as tx:
        tx.restart(VersionId(99), Position(1))
    with pytest.raises(NotFound), store.control.write() as tx:
        tx.save_incident(s.incident(version), s.item())
    with pytest.raises(NotFound), store.control.write() as tx:
        tx.transition(replace(s.transition(version, Event.SUSPECT), version_id=VersionId(99)), lock=0, restart=None)


def test_a_policy_is_replaced(store: AnyStore) -> None:
    with store.control.write() as tx:
        tx.set_policy(tx.add_model(s.model()).id, Policy(dry_run=True))
    model = store.read.model("fraud-scorer")
    assert model is not None
    assert model.policy == Policy(dry_run=True)


def test_the_newest_baseline_is_the_one_in_force(store: AnyStore) -> None:
    version = _registered(store)
    assert store.read.baseline(version.id) is None
    with store.control.write() as tx:
        tx.add_baseline(s.baseline(version, "b1", 7))
        tx.add_baseline(s.baseline(version, "b0", 7))
    assert store.read.baseline(version.id) == s.baseline(version, "b0", 7)
    assert store.read.version(version.model, version.version) == replace(version, baseline_id="b0")
    with pytest.raises(Conflict, match="b1"), store.control.write() as tx:
        tx.add_baseline(s.baseline(version, "b1", 9))


def test_what_a_baseline_tolerates_is_replaced_and_moves_no_revision(store: AnyStore) -> None:
    version = _registered(store)
    with store.control.write() as tx:
        tx.add_baseline(s.baseline(version, "b1", 7))
    assert store.read.calibration("b1") is None
    revision = store.read.revision()
    for budget in (10.0, 20.0):
        with store.control.write() as tx:
            tx.save_calibration("b1", s.calibration(budget))
        assert store.read.calibration("b1") == s.calibration(budget)
    assert store.read.revision() == revision
    with pytest.raises(NotFound, match="nowhere"), store.control.write() as tx:
        tx.save_calibration("nowhere", s.calibration(1.0))


def test_a_transition_moves_the_version_and_is_on_record(store: AnyStore) -> None:
    version = _registered(store)
    record = s.transition(version, Event.QUARANTINE)
    with store.control.write() as tx:
        tx.transition(record, lock=0, restart=None)
    moved = store.read.version(version.model, version.version)
    assert moved == replace(version, state=State.QUARANTINED, since_us=record.at_us, reason=record.reason, lock=1)
    assert list(store.read.transitions(version.id, 10)) == [record]
    assert [(a.action, a.subject, a.actor) for a in store.read.audit(10)] == [
        ("transition.quarantine", "fraud-scorer/2026-11-02", "anna")
    ]


def test_a_transition_under_a_stale_lock_changes_nothing(store: AnyStore) -> None:
    version = _registered(store)
    with store.control.write() as tx:
        tx.transition(s.transition(version, Event.SUSPECT), lock=0, restart=None)
    revision = store.read.revision()
    with pytest.raises(Conflict, match="suspect"), store.control.write() as tx:
        tx.transition(s.transition(version, Event.QUARANTINE), lock=0, restart=None)
    assert store.read.revision() == revision
    assert len(store.read.transitions(version.id, 10)) == 1
    assert len(store.read.audit(10)) == 1


def test_transitions_are_listed_newest_first_and_bounded(store: AnyStore) -> None:
    version = _registered(store)
    for number, event in enumerate((Event.SUSPECT, Event.CLEAR, Event.QUARANTINE)):
        with store.control.write() as tx:
            current = tx.version(version.model, version.version)
            assert current is not None
            tx.transition(s.transition(current, event), lock=number, restart=None)
    assert [t.event for t in store.read.transitions(version.id, 2)] == [Event.QUARANTINE, Event.CLEAR]


def test_a_restart_position_is_set_with_a_transition_or_alone(store: AnyStore) -> None:
    version = _registered(store, state=State.SUSPECT)
    with store.control.write() as tx:
        tx.transition(s.transition(version, Event.CLEAR), lock=0, restart=Position(41))
    cleared = store.read.version(version.model, version.version)
    assert cleared is not None
    assert cleared.restart_position == 41
    with store.control.write() as tx:
        tx.restart(version.id, Position(50))
    restarted = store.read.version(version.model, version.version)
    assert restarted == replace(cleared, restart_position=Position(50))


def test_each_person_approves_once_and_a_transition_forgets_it(store: AnyStore) -> None:
    version = _registered(store, state=State.UNDER_REVIEW)
    with store.control.write() as tx:
        assert list(tx.approve(version.id, s.BEN, s.at(1))) == ["ben"]
        assert list(tx.approve(version.id, s.ANNA, s.at(1))) == ["ben", "anna"]
        assert list(tx.approve(version.id, s.BEN, s.at(2))) == ["ben", "anna"]
    assert list(store.read.approvals(version.id)) == ["ben", "anna"]
    with store.control.write() as tx:
        tx.transition(s.transition(version, Event.RELEASE), lock=0, restart=Position(3))
    assert list(store.read.approvals(version.id)) == []


def _with_alert(store: AnyStore, version: Version) -> None:
    worker = store.worker("w", 10.0, ManualClock())
    incident = s.incident(version)
    worker.commit(
        Outcome(
            first=worker.position(),
            last=Position(40),
            revision=worker.revision(),
            incidents=[incident],
            alerts=[s.alert(incident)],
        )
    )
    worker.close()


def test_an_incident_is_saved_under_its_lock_with_a_timeline(store: AnyStore) -> None:
    version = _registered(store)
    _with_alert(store, version)
    stored = store.read.incident("i1")
    assert stored == s.incident(version)
    acknowledged = replace(
        stored, status=IncidentStatus.ACKNOWLEDGED, assignee="anna", note="ü", acknowledged_us=s.at(30)
    )
    with store.control.write() as tx:
        assert tx.incident("i1") == stored
        tx.save_incident(acknowledged, s.item("ack", "mine"))
    assert store.read.incident("i1") == replace(acknowledged, lock=1)
    assert [(t.kind, t.actor, t.body) for t in store.read.timeline("i1")] == [
        ("opened", "lazaretto", "zeta moved"),
        ("ack", "anna", "mine"),
    ]
    with pytest.raises(Conflict, match="i1"), store.control.write() as tx:
        tx.save_incident(acknowledged, s.item("ack", "mine"))
    assert len(store.read.timeline("i1")) == 2


def test_resolving_an_incident_closes_its_alerts(store: AnyStore) -> None:
    version = _registered(store)
    _with_alert(store, version)
    stored = s.incident(version)
    resolved = replace(
        stored, status=IncidentStatus.RESOLVED, verdict=Verdict.FALSE_ALARM, resolved_us=s.at(30), note=""
    )
    with store.control.write() as tx:
        tx.save_incident(resolved, s.item("resolve", seconds=30))
    assert store.read.incident("i1") == replace(resolved, lock=1)
    expected = replace(s.alert(stored), status="closed", closed_us=s.at(30))
    assert list(store.read.alerts(version_id=None, status=None, limit=9)) == [expected]


def test_a_restart_by_transition_closes_the_alerts_of_that_version_only(store: AnyStore) -> None:
    version = _registered(store, state=State.SUSPECT)
    other = _registered(store, "other", State.SUSPECT)
    _with_alert(store, version)
    with store.control.write() as tx:
        tx.transition(s.transition(other, Event.CLEAR), lock=0, restart=Position(50))
    assert len(store.read.alerts(version_id=version.id, status="open", limit=9)) == 1
    with store.control.write() as tx:
        tx.transition(s.transition(version, Event.CLEAR, incident_id="i1"), lock=0, restart=Position(50))
    assert list(store.read.alerts(version_id=version.id, status="open", limit=9)) == []
    assert [a.closed_us for a in store.read.alerts(version_id=version.id, status="closed", limit=9)] == [s.at(20)]


def test_keys_are_added_found_listed_and_revoked(store: AnyStore) -> None:
    everywhere = replace(s.key("k2"), models=None, expires_us=None, created_us=s.at(5))
    with store.control.write() as tx:
        tx.add_key(everywhere)
        tx.add_key(s.key("k1"))
    assert store.keys.key("k1") == s.key("k1")
    assert store.keys.key("k3") is None
    assert list(store.read.keys()) == [s.key("k1"), everywhere]
    with pytest.raises(Conflict, match="k1"), store.control.write() as tx:
        tx.add_key(s.key("k1"))
    with store.control.write() as tx:
        assert tx.revoke_key("k1", s.at(9))
        assert not tx.revoke_key("k3", s.at(9))
    assert store.keys.key("k1") == replace(s.key("k1"), revoked_us=s.at(9))


class _Interrupted(Exception):
    pass


def _write_and_fail(store: AnyStore) -> None:
    with store.control.write() as tx:
        s.registered(tx)
        tx.add_message(s.message())
        tx.audit(s.ANNA, "x", "y", "z", s.T0)
        raise _Interrupted


def test_a_failed_block_leaves_nothing_behind(store: AnyStore) -> None:
    with pytest.raises(_Interrupted):
        _write_and_fail(store)
    assert list(store.read.models()) == []
    assert s.waiting(store) == []
    assert list(store.read.audit(9)) == []
    assert store.read.revision() == 0


def test_the_revision_grows_with_what_the_fold_or_the_gate_depends_on_and_nothing_else(store: AnyStore) -> None:
    revisions = [store.read.revision()]
    with store.control.write() as tx:
        version = s.registered(tx, state=State.UNDER_REVIEW)
    revisions.append(store.read.revision())
    with store.control.write() as tx:
        tx.add_baseline(s.baseline(version))
    revisions.append(store.read.revision())
    with store.control.write() as tx:
        tx.add_key(s.key())
    revisions.append(store.read.revision())
    with store.control.write() as tx:
        tx.restart(version.id, Position(1))
    revisions.append(store.read.revision())
    assert revisions == sorted(set(revisions))
    with store.control.write() as tx:
        tx.approve(version.id, s.ANNA, s.T0)
        tx.add_message(s.message())
        tx.audit(s.ANNA, "x", "y", "z", s.T0)
    assert store.read.revision() == revisions[-1]


def test_the_audit_chain_holds_and_is_listed_newest_first(store: AnyStore) -> None:
    for number in range(5):
        with store.control.write() as tx:
            tx.audit(Actor("ü"), "x", f"s{number}", '{"a": 1}', s.at(number))
    newest = store.read.audit(3)
    assert [(e.seq, e.subject) for e in newest] == [(5, "s4"), (4, "s3"), (3, "s2")]
    assert first_break(reversed(store.read.audit(99))) is None

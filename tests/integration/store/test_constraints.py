"""Every rule of the schema, as the migrations make it, refuses what breaks it: on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from sqlalchemy import CheckConstraint, Connection, Table, UniqueConstraint, insert
from sqlalchemy.exc import IntegrityError

from service.domain.states import TRANSITIONS, Event, State
from service.store.engine import Database
from service.store.tables import metadata

DIGEST = "0" * 64
VALID: dict[str, dict[str, Any]] = {
    "control": {"id": 1, "revision": 1},
    "worker": {"id": 1, "position": 0, "owner": None, "epoch": 0, "lease_until_us": 0, "heartbeat_us": 0, "stats": ""},
    "models": {
        "id": 2, "name": "m2", "owner": "", "description": "", "policy": "{}", "created_us": 0, "created_by": "",
    },
    "versions": {
        "id": 2, "model_id": 1, "version": "v2", "schema": "{}", "deployed_by": "", "state": "active", "since_us": 0,
        "reason": "", "lock": 0, "restart_position": 0, "created_us": 0, "vouched": None,
    },
    "baselines": {
        "seq": 2, "id": "b2", "version_id": 1, "digest": "", "signature": "", "artefact": b"", "rows": 0,
        "from_position": 0, "columns": "[]", "warnings": "[]", "created_us": 0, "created_by": "",
    },
    "calibrations": {"baseline_id": "b", "body": "{}"},
    "approvals": {"seq": 2, "version_id": 1, "lock": 0, "actor": "a", "at_us": 0},
    "incidents": {
        "id": "i2", "version_id": 1, "cause": "latency", "title": "", "status": "open", "assignee": None,
        "verdict": None, "note": None, "opened_us": 0, "acknowledged_us": None, "resolved_us": None, "lock": 0,
        "severity": "low",
    },
    "timeline": {"seq": 2, "incident_id": "i", "at_us": 0, "actor": "", "kind": "", "body": ""},
    "alerts": {
        "id": "a2", "version_id": 1, "cause": "latency", "status": "open", "reason": "", "evidence_log": 0.0,
        "threshold_log": 0.0, "confirmations": 0, "columns": "[]", "since_us": 0, "opened_us": 0, "closed_us": None,
        "position": 0, "incident_id": "i", "subject": "", "adversarial": None,
    },
    "redteam_runs": {"version_id": 1, "at_us": 5, "actor": "ana", "summary": "{}"},
    "redteam_schedule": {
        "id": 1, "owner": None, "next_us": 0, "lease_until_us": 0, "begun_us": 0, "ended_us": 0, "good_us": 0,
        "outcome": "none", "detail": "", "done": 0, "failed": 0, "missed": 0,
    },
    "containments": {
        "version_id": 1, "principal": "a" * 32, "state": "contained", "tier": "probing", "reason": "", "since_us": 0,
        "renewed_us": 0, "until_us": 1, "incident_id": "i", "lifted_us": None, "lifted_by": None,
    },
    "transitions": {
        "seq": 2, "version_id": 1, "lock": 0, "before": "active", "event": "suspect", "after": "suspect", "actor": "",
        "reason": "", "at_us": 0, "position": 0, "incident_id": None,
    },
    "enforcements": {
        "version_id": 1, "lock": 0, "quarantined_us": 0, "incident_id": "i", "enforced_us": None, "decision_id": None,
        "overdue_us": None, "ended_us": None,
    },
    "api_keys": {
        "id": "k2", "name": "", "scopes": "[]", "models": None, "secret_hash": b"h", "created_us": 0,
        "expires_us": None, "revoked_us": None,
    },
    "key_uses": {"key_id": "k", "used_us": 0},
    "outbox": {
        "seq": 2, "id": "m2", "kind": "", "payload": "", "severity": "low", "model": "", "version": "",
        "incident_id": None, "created_us": 0, "routed_us": None,
    },
    "deliveries": {
        "seq": 1, "channel": "log", "thread": "", "status": "pending", "queued_us": 0, "attempts": 0, "next_us": 0,
        "owner": None, "lease_until_us": None, "delivered_us": None, "detail": "",
    },
    "told": {
        "fingerprint": "f", "model": "", "version": "", "incident_id": None, "group_key": "", "severity": "low",
        "labels": "{}", "annotations": "{}", "starts_us": 5, "ends_us": None, "channels": "[]",
    },
    "channel_states": {
        "name": "ops", "circuit": "closed", "failures": 0, "trips": 0, "until_us": 0, "failing_us": None,
        "succeeded_us": None, "failed_us": None, "detail": "", "resent_us": 0, "known_us": 0, "delivered_total": 0,
        "failures_total": 0, "dead_total": 0,
    },
    "audit": {"seq": 1, "at_us": 0, "actor": "", "action": "", "subject": "", "detail": "", "digest": DIGEST},
    "snapshots": {
        "version_id": 1, "baseline_id": None, "position": 0, "events_total": 0, "labels_total": 0, "leaks_total": 0,
        "evidence_log": float("-inf"), "threshold_log": 0.0, "blob": b"", "status": "{}", "updated_us": 0,
    },
    "snoozes": {
        "incident_id": "i", "until_us": 1, "until_worse": False, "severity": "low", "at_us": 0, "actor": "ana",
    },
    "maintenance": {
        "id": "w2", "model_id": 1, "start_us": 0, "end_us": 1, "quarantine": True, "reason": "", "created_us": 0,
        "created_by": "", "cancelled_us": None,
    },
    "incident_links": {"incident_id": "i", "kind": "merged", "other_id": "j", "at_us": 0},
    "hushed": {"incident_id": "i", "why": "snoozed", "until_us": 0},
    "evidence": {"incident_id": "i", "at_us": 0, "digest": DIGEST, "body": "{}"},
    "principal_states": {"version_id": 1, "content": b"x"},
    "answers": {"version_id": 1, "number": 0, "content": b"x"},
    "transcripts": {
        "alert_id": "a", "principal": "a" * 32, "incident_id": "i", "version_id": 1, "tier": "intent",
        "policy": "encrypted_sample", "position": 0, "drawn_us": 0, "until_us": 1, "body": "{}", "key_id": "k",
        "sample": b"x", "erased_us": None, "erased_by": None,
    },
    "reports": {
        "id": "r", "version_id": 1, "incident_id": "i", "status": "queued", "from_us": 0, "to_us": 1, "requested_us": 0,
        "requested_by": "ada", "until_us": 1, "started_us": None, "ended_us": None, "owner": None,
        "lease_until_us": None, "detail": "", "facts": None, "key_id": None, "rows": None, "html": None, "json": None,
    },
    "report_samples": {
        "subject": "i", "kind": "incident", "version_id": 1, "rows": 0, "at_us": 0, "until_us": 1, "key_id": "k",
        "sample": b"x", "erased_us": None, "erased_by": None,
    },
    "glasses": {
        "id": "g2", "version_id": 1, "quarantine": 0, "opened_us": 0, "until_us": 5, "actor": "ada", "reason": "",
        "ended_us": None, "ended_by": None,
    },
    "reviews": {
        "version_id": 1, "lock": 0, "reviewers": "[]", "due_us": None, "escalations": 0, "escalated_us": None,
    },
    "proposals": {
        "id": "p2", "version_id": 1, "replaces": "b", "digest": "", "signature": "", "artefact": b"", "rows": 0,
        "columns": "[]", "warnings": "[]", "calibration": None, "signed_by": "[]", "status": "proposed",
        "created_us": 0, "created_by": "ada", "settled_us": None, "settled_by": None, "reason": "",
    },
    "windows": {
        "version_id": 1, "level": "1m", "start_us": 0, "baseline_id": "b", "events": 0, "evidence_log": 0.0,
        "evidence_log_max": 0.0, "column_evidence": b"", "counts": b"",
    },
}  # fmt: skip
"""One good row of every table, given the rows of ``BEFORE``."""

BEFORE = {
    "models": VALID["models"] | {"id": 1, "name": "m"},
    "versions": VALID["versions"] | {"id": 1, "version": "v"},
    "baselines": VALID["baselines"] | {"seq": 1, "id": "b"},
    "incidents": VALID["incidents"] | {"id": "i"},
    "other incident": VALID["incidents"] | {"id": "j"},
    "outbox": VALID["outbox"] | {"seq": 1, "id": "m"},
    "alerts": VALID["alerts"] | {"id": "a", "subject": "before"},
    "api_keys": VALID["api_keys"] | {"id": "k", "secret_hash": b"k"},
}
TABLE_OF = {"other incident": "incidents"}
THERE_ALREADY = {"control", "worker"}

BREAKS: dict[str, dict[str, Any]] = {
    "ck_control_one_row": {"id": 2},
    "ck_control_revision": {"revision": -1},
    "ck_worker_one_row": {"id": 2},
    "ck_worker_position": {"position": -1},
    "ck_worker_epoch": {"epoch": -1},
    "ck_versions_state": {"state": "broken"},
    "ck_versions_lock": {"lock": -1},
    "ck_versions_restart_position": {"restart_position": -1},
    "ck_baselines_rows": {"rows": -1},
    "ck_baselines_from_position": {"from_position": -1},
    "ck_approvals_lock": {"lock": -1},
    "ck_incidents_cause": {"cause": "weather"},
    "ck_incidents_status": {"status": "lost"},
    "ck_incidents_verdict": {"verdict": "who knows"},
    "ck_incidents_resolved_when": {"status": "resolved"},
    "ck_incidents_lock": {"lock": -1},
    "ck_incidents_severity": {"severity": "grave"},
    "ck_alerts_cause": {"cause": "weather"},
    "ck_alerts_status": {"status": "lost"},
    "ck_alerts_closed_when": {"status": "closed"},
    "ck_alerts_confirmations": {"confirmations": -1},
    "ck_alerts_position": {"position": -1},
    "ck_alerts_adversarial_when": {"cause": "adversarial"},
    "ck_containments_state": {"state": "lost"},
    "ck_containments_tier": {"tier": "poisoning"},
    "ck_containments_pseudonym": {"principal": "client-7"},
    "ck_containments_ends": {"until_us": 0},
    "ck_containments_lifted_when": {"state": "lifted"},
    "ck_containments_lifted_by": {"lifted_by": "ada"},
    "ck_redteam_schedule_one_row": {"id": 2},
    "ck_redteam_schedule_outcome": {"outcome": "perhaps"},
    "ck_answers_number": {"number": -1},
    "ck_redteam_schedule_done": {"done": -1},
    "ck_redteam_schedule_failed": {"failed": -1},
    "ck_redteam_schedule_missed": {"missed": -1},
    "ck_transitions_legal": {"after": "retired"},
    "ck_transitions_lock": {"lock": -1},
    "ck_transitions_position": {"position": -1},
    "ck_enforcements_decision": {"enforced_us": 5},
    "ck_enforcements_lock": {"lock": -1},
    "ck_transcripts_tier": {"tier": "poisoning"},
    "ck_transcripts_policy": {"policy": "everything", "key_id": None, "sample": None},
    "ck_transcripts_pseudonym": {"principal": "client-7"},
    "ck_transcripts_ends": {"until_us": 0},
    "ck_transcripts_key": {"key_id": None},
    "ck_transcripts_sample_when": {"policy": "fingerprints"},
    "ck_transcripts_erased_by": {"erased_by": "ada"},
    "ck_transcripts_erased_when": {"body": ""},
    "ck_transcripts_erased_sample": {"erased_us": 5, "erased_by": "ada", "body": ""},
    "ck_transcripts_position": {"position": -1},
    "ck_reports_status": {"status": "lost"},
    "ck_reports_span": {"to_us": 0},
    "ck_reports_ends": {"until_us": 0},
    "ck_reports_owner": {"status": "running"},
    "ck_reports_lease": {"lease_until_us": 5},
    "ck_reports_ended_when": {"ended_us": 5},
    "ck_reports_detail_when": {"detail": "late"},
    "ck_reports_whole": {"status": "done", "ended_us": 5},
    "ck_reports_key": {"rows": b"x"},
    "ck_reports_from_us": {"from_us": -1},
    "ck_report_samples_kind": {"kind": "whatever"},
    "ck_report_samples_ends": {"until_us": 0},
    "ck_report_samples_key": {"key_id": None},
    "ck_report_samples_erased_when": {"erased_us": 5, "erased_by": "ada"},
    "ck_report_samples_erased_by": {"erased_by": "ada"},
    "ck_report_samples_rows": {"rows": -1},
    "ck_glasses_boxed": {"until_us": 86_400_000_001},
    "ck_glasses_ended": {"ended_us": 6, "ended_by": "ada"},
    "ck_glasses_ended_by": {"ended_us": 3},
    "ck_glasses_quarantine": {"quarantine": -1},
    "ck_reviews_escalated_when": {"escalations": 1},
    "ck_reviews_lock": {"lock": -1},
    "ck_reviews_escalations": {"escalations": -1},
    "ck_proposals_status": {"status": "lost", "settled_us": 5, "settled_by": "ben"},
    "ck_proposals_settled_when": {"status": "refused"},
    "ck_proposals_settled_by": {"status": "refused", "settled_us": 5},
    "ck_proposals_two_people": {"status": "accepted", "settled_us": 5, "settled_by": "ada"},
    "ck_proposals_rows": {"rows": -1},
    "ck_outbox_severity": {"severity": "grave"},
    "ck_deliveries_status": {"status": "lost"},
    "ck_deliveries_delivered_when": {"status": "delivered"},
    "ck_deliveries_leased_when": {"owner": "w"},
    "ck_deliveries_leased_while": {"status": "dead", "owner": "w", "lease_until_us": 1},
    "ck_deliveries_attempts": {"attempts": -1},
    "ck_told_severity": {"severity": "grave"},
    "ck_told_ends": {"ends_us": 4},
    "ck_channel_states_circuit": {"circuit": "shut"},
    "ck_channel_states_failures": {"failures": -1},
    "ck_channel_states_trips": {"trips": -1},
    "ck_channel_states_delivered_total": {"delivered_total": -1},
    "ck_channel_states_failures_total": {"failures_total": -1},
    "ck_channel_states_dead_total": {"dead_total": -1},
    "ck_audit_seq": {"seq": 0},
    "ck_audit_digest": {"digest": "short"},
    "ck_snoozes_severity": {"severity": "grave"},
    "ck_snoozes_ends": {"until_us": 0},
    "ck_maintenance_ends": {"end_us": 0},
    "ck_incident_links_kind": {"kind": "cousin"},
    "ck_incident_links_another": {"other_id": "i"},
    "ck_hushed_why": {"why": "bored"},
    "ck_evidence_digest": {"digest": "short"},
    "ck_snapshots_position": {"position": -1},
    "ck_snapshots_events_total": {"events_total": -1},
    "ck_snapshots_labels_total": {"labels_total": -1},
    "ck_snapshots_leaks_total": {"leaks_total": -1},
    "ck_windows_level": {"level": "1d"},
    "ck_windows_events": {"events": -1},
}
TABLES = sorted(metadata.tables)


@pytest.fixture
def connection(store_url: str) -> Iterator[Connection]:
    """Give a write transaction that sees the rows of ``BEFORE`` and is rolled back."""
    database = Database(store_url, timeout_seconds=5.0)
    with database._writer.connect() as opened:
        for name, row in BEFORE.items():
            opened.execute(insert(metadata.tables[TABLE_OF.get(name, name)]).values(row))
        yield opened
        opened.rollback()
    database.close()


def _refusal(connection: Connection, table: Table, row: dict[str, Any]) -> str | None:
    """Insert a row and take it back; return what the database says against it."""
    savepoint = connection.begin_nested()
    try:
        connection.execute(insert(table).values(row))
    except IntegrityError as error:
        return str(error.orig)
    finally:
        savepoint.rollback()
    return None


def test_the_good_rows_are_good(connection: Connection) -> None:
    for name in set(TABLES) - THERE_ALREADY:
        assert _refusal(connection, metadata.tables[name], VALID[name]) is None, name


def test_every_check_refuses_what_breaks_it(connection: Connection) -> None:
    checks = {
        str(constraint.name): table
        for table in metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }
    assert checks.keys() == BREAKS.keys()
    for name, table in checks.items():
        said = _refusal(connection, table, VALID[table.name] | BREAKS[name])
        assert said is not None, name
        assert name in said, said


def test_every_reference_must_exist(connection: Connection) -> None:
    for table in metadata.tables.values():
        for key in table.foreign_keys:
            nowhere = 999 if VALID[table.name][key.parent.name] == 1 else "nowhere"
            said = _refusal(connection, table, VALID[table.name] | {key.parent.name: nowhere})
            assert said is not None, key
            assert "foreign key" in said.lower(), said


def test_what_must_be_unique_is(connection: Connection) -> None:
    broken = 0
    for name in set(TABLES) - THERE_ALREADY:
        table = metadata.tables[name]
        savepoint = connection.begin_nested()
        connection.execute(insert(table).values(VALID[name]))
        primary = {c.name for c in table.primary_key}
        others = [{c.name for c in u.columns} for u in table.constraints if isinstance(u, UniqueConstraint)]
        others += [set(index.columns.keys()) for index in table.indexes if index.unique]
        for columns in (primary, *others):
            fresh = {c: 77 if isinstance(VALID[name][c], int) else "other" for c in primary - columns}
            said = _refusal(connection, table, VALID[name] | fresh)
            assert said is not None, (name, columns)
            assert "unique" in said.lower(), said
            broken += 1
        savepoint.rollback()
    assert broken == 46


def test_nothing_required_may_be_left_out(connection: Connection) -> None:
    for name in TABLES:
        table = metadata.tables[name]
        for column in table.c:
            if not column.nullable and not column.primary_key:
                said = _refusal(connection, table, VALID[name] | {column.name: None})
                assert said is not None, column
                assert "null" in said.lower(), said


def test_a_second_alert_may_open_once_the_first_is_closed(connection: Connection) -> None:
    alerts = metadata.tables["alerts"]
    connection.execute(insert(alerts).values(VALID["alerts"] | {"id": "a1", "status": "closed", "closed_us": 1}))
    connection.execute(insert(alerts).values(VALID["alerts"]))
    other_cause = VALID["alerts"] | {"id": "a3", "cause": "data_drift"}
    assert _refusal(connection, alerts, other_cause) is None
    assert _refusal(connection, alerts, other_cause | {"cause": "latency"}) is not None
    attack = VALID["alerts"] | {"id": "a4", "cause": "adversarial", "adversarial": "{}", "subject": "probing:a"}
    connection.execute(insert(alerts).values(attack))
    assert _refusal(connection, alerts, attack | {"id": "a5", "subject": "intent:a"}) is None
    assert _refusal(connection, alerts, attack | {"id": "a5"}) is not None


def test_exactly_the_transitions_of_the_table_may_be_recorded(connection: Connection) -> None:
    table = metadata.tables["transitions"]
    accepted = set()
    for before, event, after in product(State, Event, State):
        row = VALID["transitions"] | {"before": before.value, "event": event.value, "after": after.value}
        if _refusal(connection, table, row) is None:
            accepted.add((before, event, after))
    assert accepted == {(before, event, after) for (before, event), after in TRANSITIONS.items()}


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_evidence_that_is_not_a_number_cannot_hide_in_sqlite(connection: Connection) -> None:
    row = VALID["snapshots"] | {"evidence_log": float("nan")}
    assert _refusal(connection, metadata.tables["snapshots"], row) is not None

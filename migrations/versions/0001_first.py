"""The first schema of the state store.

Revision: 0001
Follows: nothing
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

LEGAL = (
    "(before || ' ' || event || ' ' || after) IN ("
    "'active suspect suspect', 'active quarantine quarantined', 'active retire retired', "
    "'suspect clear active', 'suspect quarantine quarantined', 'suspect retire retired', "
    "'quarantined start_review under_review', "
    "'under_review release active', "
    "'under_review roll_back rolled_back', "
    "'under_review retire retired', "
    "'rolled_back retire retired')"
)
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _create_api_keys()
    _create_audit()
    _create_control()
    _create_models()
    _create_outbox()
    _create_worker()
    _create_versions()
    _create_approvals()
    _create_baselines()
    _create_incidents()
    _create_alerts()
    _create_snapshots()
    _create_timeline()
    _create_transitions()
    _create_windows()
    op.execute(sa.text("INSERT INTO control (id, revision) VALUES (1, 0)"))
    op.execute(
        sa.text(
            "INSERT INTO worker (id, position, owner, epoch, lease_until_us, heartbeat_us, stats)"
            " VALUES (1, 0, NULL, 0, 0, 0, '{}')"
        )
    )


def downgrade() -> None:
    for table in (
        "windows",
        "transitions",
        "timeline",
        "snapshots",
        "alerts",
        "incidents",
        "baselines",
        "approvals",
        "versions",
        "worker",
        "outbox",
        "models",
        "control",
        "audit",
        "api_keys",
    ):
        op.drop_table(table)


def _create_api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("models", sa.Text(), nullable=True),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=True),
        sa.Column("revoked_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("secret_hash", name="uq_api_keys_secret_hash"),
    )


def _create_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.CheckConstraint("length(digest) = 64", name=op.f("ck_audit_digest")),
        sa.CheckConstraint("seq >= 1", name=op.f("ck_audit_seq")),
        sa.PrimaryKeyConstraint("seq", name="pk_audit"),
        sa.UniqueConstraint("digest", name="uq_audit_digest"),
    )


def _create_control() -> None:
    op.create_table(
        "control",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_control_one_row")),
        sa.CheckConstraint("revision >= 0", name=op.f("ck_control_revision")),
        sa.PrimaryKeyConstraint("id", name="pk_control"),
    )


def _create_models() -> None:
    op.create_table(
        "models",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("name", name="uq_models_name"),
    )


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("next_us", sa.BigInteger(), nullable=True),
        sa.Column("delivered_us", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(status = 'delivered') = (delivered_us IS NOT NULL)", name=op.f("ck_outbox_delivered_when")
        ),
        sa.CheckConstraint("status IN ('pending', 'delivered', 'dead')", name=op.f("ck_outbox_status")),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_outbox_attempts")),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )
    op.create_index("ix_outbox_status_created_us", "outbox", ["status", "created_us"])


def _create_worker() -> None:
    op.create_table(
        "worker",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("lease_until_us", sa.BigInteger(), nullable=False),
        sa.Column("heartbeat_us", sa.BigInteger(), nullable=False),
        sa.Column("stats", sa.Text(), nullable=False),
        sa.CheckConstraint("epoch >= 0", name=op.f("ck_worker_epoch")),
        sa.CheckConstraint("id = 1", name=op.f("ck_worker_one_row")),
        sa.CheckConstraint("position >= 0", name=op.f("ck_worker_position")),
        sa.PrimaryKeyConstraint("id", name="pk_worker"),
    )


def _create_versions() -> None:
    op.create_table(
        "versions",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("schema", sa.Text(), nullable=False),
        sa.Column("deployed_by", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("lock", sa.BigInteger(), nullable=False),
        sa.Column("restart_position", sa.BigInteger(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "state IN ('active', 'suspect', 'quarantined', 'under_review', 'rolled_back', 'retired')",
            name=op.f("ck_versions_state"),
        ),
        sa.CheckConstraint("lock >= 0", name=op.f("ck_versions_lock")),
        sa.CheckConstraint("restart_position >= 0", name=op.f("ck_versions_restart_position")),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_versions_model_id_models"),
        sa.PrimaryKeyConstraint("id", name="pk_versions"),
        sa.UniqueConstraint("model_id", "version", name="uq_versions_model_id_version"),
    )


def _create_approvals() -> None:
    op.create_table(
        "approvals",
        sa.Column("seq", SERIAL, nullable=False),
        sa.Column("version_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("lock", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("lock >= 0", name=op.f("ck_approvals_lock")),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_approvals_version_id_versions"),
        sa.PrimaryKeyConstraint("seq", name="pk_approvals"),
        sa.UniqueConstraint("version_id", "lock", "actor", name="uq_approvals_version_id_lock_actor"),
    )


def _create_baselines() -> None:
    op.create_table(
        "baselines",
        sa.Column("seq", SERIAL, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("artefact", sa.LargeBinary(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("from_position", sa.BigInteger(), nullable=False),
        sa.Column("columns", sa.Text(), nullable=False),
        sa.Column("warnings", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.CheckConstraint("from_position >= 0", name=op.f("ck_baselines_from_position")),
        sa.CheckConstraint("rows >= 0", name=op.f("ck_baselines_rows")),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_baselines_version_id_versions"),
        sa.PrimaryKeyConstraint("seq", name="pk_baselines"),
        sa.UniqueConstraint("id", name="uq_baselines_id"),
    )
    op.create_index("ix_baselines_version_id_seq", "baselines", ["version_id", "seq"])


def _create_incidents() -> None:
    op.create_table(
        "incidents",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("assignee", sa.Text(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("opened_us", sa.BigInteger(), nullable=False),
        sa.Column("acknowledged_us", sa.BigInteger(), nullable=True),
        sa.Column("resolved_us", sa.BigInteger(), nullable=True),
        sa.Column("lock", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(status = 'resolved') = (resolved_us IS NOT NULL)", name=op.f("ck_incidents_resolved_when")
        ),
        sa.CheckConstraint(
            "cause IN ('data_drift', 'prediction_drift', 'data_quality', 'latency')", name=op.f("ck_incidents_cause")
        ),
        sa.CheckConstraint("status IN ('open', 'acknowledged', 'resolved')", name=op.f("ck_incidents_status")),
        sa.CheckConstraint(
            "verdict IN ('real drift', 'data bug', 'attack', 'benign', 'false alarm')",
            name=op.f("ck_incidents_verdict"),
        ),
        sa.CheckConstraint("lock >= 0", name=op.f("ck_incidents_lock")),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_incidents_version_id_versions"),
        sa.PrimaryKeyConstraint("id", name="pk_incidents"),
    )
    op.create_index("ix_incidents_opened_us", "incidents", ["opened_us"])
    op.create_index("ix_incidents_version_id_opened_us", "incidents", ["version_id", "opened_us"])


def _create_alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence_log", sa.Double(), nullable=False),
        sa.Column("threshold_log", sa.Double(), nullable=False),
        sa.Column("confirmations", sa.BigInteger(), nullable=False),
        sa.Column("columns", sa.Text(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("opened_us", sa.BigInteger(), nullable=False),
        sa.Column("closed_us", sa.BigInteger(), nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("incident_id", sa.Text(), nullable=False),
        sa.CheckConstraint("(status = 'closed') = (closed_us IS NOT NULL)", name=op.f("ck_alerts_closed_when")),
        sa.CheckConstraint(
            "cause IN ('data_drift', 'prediction_drift', 'data_quality', 'latency')", name=op.f("ck_alerts_cause")
        ),
        sa.CheckConstraint("status IN ('open', 'closed')", name=op.f("ck_alerts_status")),
        sa.CheckConstraint("confirmations >= 0", name=op.f("ck_alerts_confirmations")),
        sa.CheckConstraint("position >= 0", name=op.f("ck_alerts_position")),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name="fk_alerts_incident_id_incidents"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_alerts_version_id_versions"),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
    )
    op.create_index("ix_alerts_incident_id", "alerts", ["incident_id"])
    op.create_index("ix_alerts_opened_us", "alerts", ["opened_us"])
    op.create_index("ix_alerts_version_id_opened_us", "alerts", ["version_id", "opened_us"])
    op.create_index(
        "uq_alerts_open",
        "alerts",
        ["version_id", "cause"],
        unique=True,
        sqlite_where=sa.text("status = 'open'"),
        postgresql_where=sa.text("status = 'open'"),
    )


def _create_snapshots() -> None:
    op.create_table(
        "snapshots",
        sa.Column("version_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("baseline_id", sa.Text(), nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("events_total", sa.BigInteger(), nullable=False),
        sa.Column("labels_total", sa.BigInteger(), nullable=False),
        sa.Column("leaks_total", sa.BigInteger(), nullable=False),
        sa.Column("evidence_log", sa.Double(), nullable=False),
        sa.Column("threshold_log", sa.Double(), nullable=False),
        sa.Column("blob", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("events_total >= 0", name=op.f("ck_snapshots_events_total")),
        sa.CheckConstraint("labels_total >= 0", name=op.f("ck_snapshots_labels_total")),
        sa.CheckConstraint("leaks_total >= 0", name=op.f("ck_snapshots_leaks_total")),
        sa.CheckConstraint("position >= 0", name=op.f("ck_snapshots_position")),
        sa.ForeignKeyConstraint(["baseline_id"], ["baselines.id"], name="fk_snapshots_baseline_id_baselines"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_snapshots_version_id_versions"),
        sa.PrimaryKeyConstraint("version_id", name="pk_snapshots"),
    )


def _create_timeline() -> None:
    op.create_table(
        "timeline",
        sa.Column("seq", SERIAL, nullable=False),
        sa.Column("incident_id", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name="fk_timeline_incident_id_incidents"),
        sa.PrimaryKeyConstraint("seq", name="pk_timeline"),
    )
    op.create_index("ix_timeline_incident_id_seq", "timeline", ["incident_id", "seq"])


def _create_transitions() -> None:
    op.create_table(
        "transitions",
        sa.Column("seq", SERIAL, nullable=False),
        sa.Column("version_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("lock", sa.BigInteger(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("incident_id", sa.Text(), nullable=True),
        sa.CheckConstraint(
            LEGAL,
            name=op.f("ck_transitions_legal"),
        ),
        sa.CheckConstraint("lock >= 0", name=op.f("ck_transitions_lock")),
        sa.CheckConstraint("position >= 0", name=op.f("ck_transitions_position")),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name="fk_transitions_incident_id_incidents"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_transitions_version_id_versions"),
        sa.PrimaryKeyConstraint("seq", name="pk_transitions"),
        sa.UniqueConstraint("version_id", "lock", name="uq_transitions_version_id_lock"),
    )


def _create_windows() -> None:
    op.create_table(
        "windows",
        sa.Column("version_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("start_us", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("baseline_id", sa.Text(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("evidence_log", sa.Double(), nullable=False),
        sa.Column("evidence_log_max", sa.Double(), nullable=False),
        sa.Column("column_evidence", sa.LargeBinary(), nullable=False),
        sa.Column("counts", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("level IN ('1m', '1h')", name=op.f("ck_windows_level")),
        sa.CheckConstraint("events >= 0", name=op.f("ck_windows_events")),
        sa.ForeignKeyConstraint(["baseline_id"], ["baselines.id"], name="fk_windows_baseline_id_baselines"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_windows_version_id_versions"),
        sa.PrimaryKeyConstraint("version_id", "level", "start_us", name="pk_windows"),
    )
    op.create_index("ix_windows_level_start_us", "windows", ["level", "start_us"])

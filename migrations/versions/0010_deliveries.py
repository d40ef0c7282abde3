"""Messages apart from their deliveries: one row for what is told, one for each channel that shall hear of it.

Revision: 0010
Follows: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UNROUTED = sa.text("routed_us IS NULL")
SEVERITY = "severity IN ('low', 'medium', 'high')"


def upgrade() -> None:
    op.rename_table("outbox", "outbox_before")
    _drop_names(op.f("pk_outbox"))
    _create_outbox()
    _create_deliveries()
    _create_told()
    _create_channel_states()
    # What was written for one channel goes to that channel, as it stands; it counts as routed.
    op.execute(
        "INSERT INTO outbox (id, kind, payload, severity, model, version, incident_id, created_us, routed_us)"
        " SELECT id, kind, payload, 'medium', '', '', NULL, created_us, created_us FROM outbox_before"
        " ORDER BY created_us, id"
    )
    op.execute(
        "INSERT INTO deliveries (seq, channel, thread, status, queued_us, attempts, next_us, owner, lease_until_us,"
        " delivered_us, detail)"
        " SELECT o.seq, b.channel, o.id, b.status, b.created_us, b.attempts, COALESCE(b.next_us, b.created_us), NULL,"
        " NULL, b.delivered_us, b.detail FROM outbox_before b JOIN outbox o ON o.id = b.id"
    )
    op.drop_table("outbox_before")


def downgrade() -> None:
    op.rename_table("outbox", "outbox_after")
    _drop_names(op.f("pk_outbox"))
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
        sa.CheckConstraint("status IN ('pending', 'delivered', 'dead')", name=op.f("ck_outbox_status")),
        sa.CheckConstraint(
            "(status = 'delivered') = (delivered_us IS NOT NULL)", name=op.f("ck_outbox_delivered_when")
        ),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_outbox_attempts")),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )
    op.create_index("ix_outbox_status_created_us", "outbox", ["status", "created_us"])
    # One row for each channel again; a message that nobody has routed goes to the log, which always was a channel.
    op.execute(
        "INSERT INTO outbox SELECT CASE WHEN d.channel = (SELECT MIN(e.channel) FROM deliveries e WHERE e.seq = d.seq)"
        " THEN a.id ELSE a.id || ':' || d.channel END, d.channel, a.kind, a.payload, d.status, a.created_us,"
        " d.attempts, d.next_us, d.delivered_us, d.detail FROM deliveries d JOIN outbox_after a ON a.seq = d.seq"
    )
    op.execute(
        "INSERT INTO outbox SELECT id, 'log', kind, payload, 'pending', created_us, 0, NULL, NULL, ''"
        " FROM outbox_after WHERE routed_us IS NULL"
    )
    for table in ("deliveries", "outbox_after", "told", "channel_states"):
        op.drop_table(table)


def _drop_names(primary_key: str) -> None:
    """PostgreSQL keeps the names of constraints and indices when a table is renamed; they are needed anew."""
    bind = op.get_bind()
    if bind.dialect.name == "postgresql":
        op.execute(f"ALTER INDEX IF EXISTS {primary_key} RENAME TO {primary_key}_before")
        op.execute("ALTER INDEX IF EXISTS uq_outbox_id RENAME TO uq_outbox_id_before")
    op.execute("DROP INDEX IF EXISTS ix_outbox_status_created_us")
    op.execute("DROP INDEX IF EXISTS ix_outbox_unrouted")


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("seq", SERIAL, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("incident_id", sa.Text(), nullable=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("routed_us", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(SEVERITY, name=op.f("ck_outbox_severity")),
        sa.PrimaryKeyConstraint("seq", name="pk_outbox"),
        sa.UniqueConstraint("id", name="uq_outbox_id"),
    )
    op.create_index("ix_outbox_unrouted", "outbox", ["seq"], sqlite_where=UNROUTED, postgresql_where=UNROUTED)


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("seq", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("thread", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("queued_us", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("next_us", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("lease_until_us", sa.BigInteger(), nullable=True),
        sa.Column("delivered_us", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.CheckConstraint("status IN ('pending', 'delivered', 'dead')", name=op.f("ck_deliveries_status")),
        sa.CheckConstraint(
            "(status = 'delivered') = (delivered_us IS NOT NULL)", name=op.f("ck_deliveries_delivered_when")
        ),
        sa.CheckConstraint("(owner IS NULL) = (lease_until_us IS NULL)", name=op.f("ck_deliveries_leased_when")),
        sa.CheckConstraint("status = 'pending' OR owner IS NULL", name=op.f("ck_deliveries_leased_while")),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_deliveries_attempts")),
        sa.ForeignKeyConstraint(["seq"], ["outbox.seq"], name="fk_deliveries_seq_outbox"),
        sa.PrimaryKeyConstraint("seq", "channel", name="pk_deliveries"),
    )
    op.create_index("ix_deliveries_status_channel_next_us", "deliveries", ["status", "channel", "next_us"])
    op.create_index("ix_deliveries_channel_thread_status", "deliveries", ["channel", "thread", "status"])


def _create_told() -> None:
    op.create_table(
        "told",
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("incident_id", sa.Text(), nullable=True),
        sa.Column("group_key", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("annotations", sa.Text(), nullable=False),
        sa.Column("starts_us", sa.BigInteger(), nullable=False),
        sa.Column("ends_us", sa.BigInteger(), nullable=True),
        sa.Column("channels", sa.Text(), nullable=False),
        sa.CheckConstraint(SEVERITY, name=op.f("ck_told_severity")),
        sa.CheckConstraint("ends_us IS NULL OR ends_us >= starts_us", name=op.f("ck_told_ends")),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_told"),
    )
    op.create_index("ix_told_model_version", "told", ["model", "version"])
    op.create_index("ix_told_ends_us", "told", ["ends_us"])


def _create_channel_states() -> None:
    counts = ("failures", "trips", "delivered_total", "failures_total", "dead_total")
    op.create_table(
        "channel_states",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("circuit", sa.Text(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("trips", sa.BigInteger(), nullable=False),
        sa.Column("until_us", sa.BigInteger(), nullable=False),
        sa.Column("failing_us", sa.BigInteger(), nullable=True),
        sa.Column("succeeded_us", sa.BigInteger(), nullable=True),
        sa.Column("failed_us", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("resent_us", sa.BigInteger(), nullable=False),
        sa.Column("delivered_total", sa.BigInteger(), nullable=False),
        sa.Column("failures_total", sa.BigInteger(), nullable=False),
        sa.Column("dead_total", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("circuit IN ('closed', 'open', 'half_open')", name=op.f("ck_channel_states_circuit")),
        *(sa.CheckConstraint(f"{count} >= 0", name=op.f(f"ck_channel_states_{count}")) for count in counts),
        sa.PrimaryKeyConstraint("name", name="pk_channel_states"),
    )

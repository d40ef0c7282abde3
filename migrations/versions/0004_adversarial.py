"""Adversarial use: alerts about principals, how severe incidents are, and contained principals.

Revision: 0004
Follows: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BEFORE = "'data_drift', 'prediction_drift', 'data_quality', 'latency', 'traffic', 'stale'"
NEW = "adversarial"
OPEN = sa.text("status = 'open'")


def upgrade() -> None:
    with op.batch_alter_table("incidents") as batch:
        batch.drop_constraint(op.f("ck_incidents_cause"), type_="check")
        batch.create_check_constraint(op.f("ck_incidents_cause"), f"cause IN ({BEFORE}, '{NEW}')")
        # What was there before was about whole versions; nobody had said how much it mattered.
        batch.add_column(sa.Column("severity", sa.Text(), nullable=False, server_default="medium"))
        batch.create_check_constraint(op.f("ck_incidents_severity"), "severity IN ('low', 'medium', 'high')")
    with op.batch_alter_table("incidents") as batch:
        batch.alter_column("severity", existing_type=sa.Text(), existing_nullable=False, server_default=None)
    op.drop_index("uq_alerts_open", table_name="alerts")
    with op.batch_alter_table("alerts") as batch:
        batch.drop_constraint(op.f("ck_alerts_cause"), type_="check")
        batch.create_check_constraint(op.f("ck_alerts_cause"), f"cause IN ({BEFORE}, '{NEW}')")
        batch.add_column(sa.Column("subject", sa.Text(), nullable=False, server_default=""))
        batch.add_column(sa.Column("adversarial", sa.Text(), nullable=True))
        when = f"(cause = '{NEW}') = (adversarial IS NOT NULL)"
        batch.create_check_constraint(op.f("ck_alerts_adversarial_when"), when)
    with op.batch_alter_table("alerts") as batch:
        batch.alter_column("subject", existing_type=sa.Text(), existing_nullable=False, server_default=None)
    _one_open(["version_id", "cause", "subject"])
    _create_containments()


def downgrade() -> None:
    op.drop_table("containments")
    alerts = sa.table("alerts", sa.column("cause"), sa.column("incident_id"))
    incidents = sa.table("incidents", sa.column("cause"), sa.column("id"))
    timeline = sa.table("timeline", sa.column("incident_id"))
    transitions = sa.table("transitions", sa.column("incident_id"))
    gone = sa.select(incidents.c.id).where(incidents.c.cause == NEW)
    # What only the newer schema can hold is lost; the audit chain still tells that it was.
    op.execute(sa.delete(alerts).where(alerts.c.cause == NEW))
    op.execute(sa.update(transitions).where(transitions.c.incident_id.in_(gone)).values(incident_id=None))
    op.execute(sa.delete(timeline).where(timeline.c.incident_id.in_(gone)))
    op.execute(sa.delete(incidents).where(incidents.c.cause == NEW))
    op.drop_index("uq_alerts_open", table_name="alerts")
    with op.batch_alter_table("alerts") as batch:
        batch.drop_constraint(op.f("ck_alerts_adversarial_when"), type_="check")
        batch.drop_constraint(op.f("ck_alerts_cause"), type_="check")
        batch.create_check_constraint(op.f("ck_alerts_cause"), f"cause IN ({BEFORE})")
        batch.drop_column("adversarial")
        batch.drop_column("subject")
    _one_open(["version_id", "cause"])
    with op.batch_alter_table("incidents") as batch:
        batch.drop_constraint(op.f("ck_incidents_severity"), type_="check")
        batch.drop_constraint(op.f("ck_incidents_cause"), type_="check")
        batch.create_check_constraint(op.f("ck_incidents_cause"), f"cause IN ({BEFORE})")
        batch.drop_column("severity")


def _one_open(columns: list[str]) -> None:
    """Let at most one alert be open for the same."""
    op.create_index("uq_alerts_open", "alerts", columns, unique=True, sqlite_where=OPEN, postgresql_where=OPEN)


def _create_containments() -> None:
    op.create_table(
        "containments",
        sa.Column("version_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("renewed_us", sa.BigInteger(), nullable=False),
        sa.Column("until_us", sa.BigInteger(), nullable=False),
        sa.Column("incident_id", sa.Text(), nullable=True),
        sa.Column("lifted_us", sa.BigInteger(), nullable=True),
        sa.Column("lifted_by", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('contained', 'lifted')", name=op.f("ck_containments_state")),
        sa.CheckConstraint(
            "tier IN ('probing', 'intent', 'extraction', 'membership', 'cost')", name=op.f("ck_containments_tier")
        ),
        sa.CheckConstraint("length(principal) = 32", name=op.f("ck_containments_pseudonym")),
        sa.CheckConstraint("since_us <= renewed_us AND renewed_us < until_us", name=op.f("ck_containments_ends")),
        sa.CheckConstraint("(state = 'lifted') = (lifted_us IS NOT NULL)", name=op.f("ck_containments_lifted_when")),
        sa.CheckConstraint("(lifted_us IS NULL) = (lifted_by IS NULL)", name=op.f("ck_containments_lifted_by")),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name="fk_containments_incident_id_incidents"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_containments_version_id_versions"),
        sa.PrimaryKeyConstraint("version_id", "principal", name="pk_containments"),
    )
    op.create_index("ix_containments_until_us", "containments", ["until_us"])

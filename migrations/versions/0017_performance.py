"""Alerts about wrong answers, and the latest answers that later labels are about.

Revision: 0017
Follows: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

BEFORE = "'data_drift', 'prediction_drift', 'data_quality', 'latency', 'traffic', 'stale', 'adversarial'"
NEW = "performance"


def upgrade() -> None:
    for table in ("incidents", "alerts"):
        _allow(table, f"{BEFORE}, '{NEW}'")
    op.create_table(
        "answers",
        sa.Column("version_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("number >= 0", name=op.f("ck_answers_number")),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_answers_version_id_versions"),
        sa.PrimaryKeyConstraint("version_id", "number", name="pk_answers"),
    )


def downgrade() -> None:
    op.drop_table("answers")
    alerts = sa.table("alerts", sa.column("cause"), sa.column("subject"))
    incidents = sa.table("incidents", sa.column("cause"))
    # What only the newer schema can hold is told under the nearest cause, apart from alerts that have it already.
    op.execute(sa.update(alerts).where(alerts.c.cause == NEW).values(cause="prediction_drift", subject=NEW))
    op.execute(sa.update(incidents).where(incidents.c.cause == NEW).values(cause="prediction_drift"))
    for table in ("alerts", "incidents"):
        _allow(table, BEFORE)


def _allow(table: str, causes: str) -> None:
    """Let a table hold alerts of these causes."""
    with op.batch_alter_table(table) as batch:
        batch.drop_constraint(op.f(f"ck_{table}_cause"), type_="check")
        batch.create_check_constraint(op.f(f"ck_{table}_cause"), f"cause IN ({causes})")

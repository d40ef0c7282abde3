"""Alerts about traffic: too much or too little of it, and none.

Revision: 0003
Follows: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BEFORE = "'data_drift', 'prediction_drift', 'data_quality', 'latency'"
NEW = "'traffic', 'stale'"


def upgrade() -> None:
    for table in ("incidents", "alerts"):
        _allow(table, f"{BEFORE}, {NEW}")


def downgrade() -> None:
    alerts = sa.table("alerts", sa.column("cause"), sa.column("incident_id"))
    incidents = sa.table("incidents", sa.column("cause"), sa.column("id"))
    timeline = sa.table("timeline", sa.column("incident_id"))
    causes = ("traffic", "stale")
    gone = sa.select(incidents.c.id).where(incidents.c.cause.in_(causes))
    # What only the newer schema can hold is lost; the audit chain still tells that it was.
    op.execute(sa.delete(alerts).where(alerts.c.cause.in_(causes)))
    op.execute(sa.delete(timeline).where(timeline.c.incident_id.in_(gone)))
    op.execute(sa.delete(incidents).where(incidents.c.cause.in_(causes)))
    for table in ("alerts", "incidents"):
        _allow(table, BEFORE)


def _allow(table: str, causes: str) -> None:
    """Let a table hold alerts of these causes."""
    with op.batch_alter_table(table) as batch:
        batch.drop_constraint(op.f(f"ck_{table}_cause"), type_="check")
        batch.create_check_constraint(op.f(f"ck_{table}_cause"), f"cause IN ({causes})")

"""Indexes for what delivery and the lists of incidents look for.

Revision: 0018
Follows: 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

UNRESOLVED = sa.text("resolved_us IS NULL")
PLAIN = (
    ("told", ("group_key",)),
    ("told", ("incident_id",)),
    ("outbox", ("routed_us",)),
    ("deliveries", ("status", "queued_us")),
    ("incidents", ("status", "opened_us")),
    ("alerts", ("status", "opened_us")),
    ("alerts", ("cause", "opened_us")),
)


def upgrade() -> None:
    for table, columns in PLAIN:
        op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))
    op.create_index(
        "ix_incidents_unresolved",
        "incidents",
        ["version_id"],
        sqlite_where=UNRESOLVED,
        postgresql_where=UNRESOLVED,
    )


def downgrade() -> None:
    op.drop_index("ix_incidents_unresolved", "incidents")
    for table, columns in reversed(PLAIN):
        op.drop_index(f"ix_{table}_{'_'.join(columns)}", table)

"""Whether gateways obey a quarantine, and since when.

Revision: 0009
Follows: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "enforcements",
        sa.Column("version_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("lock", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("quarantined_us", sa.BigInteger(), nullable=False),
        sa.Column("incident_id", sa.Text(), nullable=True),
        sa.Column("enforced_us", sa.BigInteger(), nullable=True),
        sa.Column("decision_id", sa.Text(), nullable=True),
        sa.Column("overdue_us", sa.BigInteger(), nullable=True),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("(enforced_us IS NULL) = (decision_id IS NULL)", name=op.f("ck_enforcements_decision")),
        sa.CheckConstraint("lock >= 0", name=op.f("ck_enforcements_lock")),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name="fk_enforcements_incident_id_incidents"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_enforcements_version_id_versions"),
        sa.PrimaryKeyConstraint("version_id", "lock", name="pk_enforcements"),
    )
    # A quarantine that stands while the store is migrated is watched from now on, too.
    versions = sa.table("versions", sa.column("id"), sa.column("lock"), sa.column("state"), sa.column("since_us"))
    held = sa.select(versions.c.id, versions.c.lock, versions.c.since_us).where(
        versions.c.state.in_(["quarantined", "under_review"])
    )
    new = sa.table("enforcements", sa.column("version_id"), sa.column("lock"), sa.column("quarantined_us"))
    op.execute(sa.insert(new).from_select(["version_id", "lock", "quarantined_us"], held))


def downgrade() -> None:
    op.drop_table("enforcements")

"""Beside incidents: snoozes, maintenance, what belongs together, what is to be told later, frozen evidence.

Revision: 0011
Follows: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLES = ("snoozes", "maintenance", "incident_links", "hushed", "evidence")


def upgrade() -> None:
    _create("snoozes", *_snooze_columns())
    _create_maintenance()
    _create_links()
    _create(
        "hushed",
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("until_us", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("why IN ('snoozed', 'maintenance', 'cooldown')", name=op.f("ck_hushed_why")),
    )
    op.create_index("ix_hushed_until_us", "hushed", ["until_us"])
    _create(
        "evidence",
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.CheckConstraint("length(digest) = 64", name=op.f("ck_evidence_digest")),
    )


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)


def _create(name: str, *columns: sa.schema.SchemaItem) -> None:
    """Create a table with one row for an incident."""
    op.create_table(
        name,
        sa.Column("incident_id", sa.Text(), nullable=False),
        *columns,
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name=f"fk_{name}_incident_id_incidents"),
        sa.PrimaryKeyConstraint("incident_id", name=f"pk_{name}"),
    )


def _snooze_columns() -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column("until_us", sa.BigInteger(), nullable=False),
        sa.Column("until_worse", sa.Boolean(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.CheckConstraint("severity IN ('low', 'medium', 'high')", name=op.f("ck_snoozes_severity")),
        sa.CheckConstraint("at_us < until_us", name=op.f("ck_snoozes_ends")),
    )


def _create_maintenance() -> None:
    op.create_table(
        "maintenance",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column("start_us", sa.BigInteger(), nullable=False),
        sa.Column("end_us", sa.BigInteger(), nullable=False),
        sa.Column("quarantine", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("cancelled_us", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("start_us < end_us", name=op.f("ck_maintenance_ends")),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_maintenance_model_id_models"),
        sa.PrimaryKeyConstraint("id", name="pk_maintenance"),
    )
    op.create_index("ix_maintenance_model_id_end_us", "maintenance", ["model_id", "end_us"])


def _create_links() -> None:
    op.create_table(
        "incident_links",
        sa.Column("incident_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("other_id", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('merged', 'regressed')", name=op.f("ck_incident_links_kind")),
        sa.CheckConstraint("incident_id <> other_id", name=op.f("ck_incident_links_another")),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name="fk_incident_links_incident_id_incidents"),
        sa.ForeignKeyConstraint(["other_id"], ["incidents.id"], name="fk_incident_links_other_id_incidents"),
        sa.PrimaryKeyConstraint("incident_id", "kind", name="pk_incident_links"),
    )
    op.create_index("ix_incident_links_other_id", "incident_links", ["other_id"])

"""What people decide together: broken glass, reviews with a deadline, proposed baselines.

Revision: 0012
Follows: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

OPEN = sa.text("ended_us IS NULL")


def upgrade() -> None:
    _create_glasses()
    _create_reviews()
    _create_proposals()


def downgrade() -> None:
    for table in ("proposals", "reviews", "glasses"):
        op.drop_table(table)


def _create_glasses() -> None:
    op.create_table(
        "glasses",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("quarantine", sa.BigInteger(), nullable=False),
        sa.Column("opened_us", sa.BigInteger(), nullable=False),
        sa.Column("until_us", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "opened_us < until_us AND until_us <= opened_us + 86400000000", name=op.f("ck_glasses_boxed")
        ),
        sa.CheckConstraint(
            "ended_us IS NULL OR (opened_us <= ended_us AND ended_us <= until_us)", name=op.f("ck_glasses_ended")
        ),
        sa.CheckConstraint("(ended_us IS NULL) = (ended_by IS NULL)", name=op.f("ck_glasses_ended_by")),
        sa.CheckConstraint("quarantine >= 0", name=op.f("ck_glasses_quarantine")),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_glasses_version_id_versions"),
        sa.PrimaryKeyConstraint("id", name="pk_glasses"),
        sa.UniqueConstraint("version_id", "quarantine", "actor", name="uq_glasses_version_id_quarantine_actor"),
    )
    op.create_index("uq_glasses_open", "glasses", ["version_id"], unique=True, sqlite_where=OPEN, postgresql_where=OPEN)


def _create_reviews() -> None:
    op.create_table(
        "reviews",
        sa.Column("version_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("lock", sa.BigInteger(), nullable=False),
        sa.Column("reviewers", sa.Text(), nullable=False),
        sa.Column("due_us", sa.BigInteger(), nullable=True),
        sa.Column("escalations", sa.BigInteger(), nullable=False),
        sa.Column("escalated_us", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("(escalations > 0) = (escalated_us IS NOT NULL)", name=op.f("ck_reviews_escalated_when")),
        sa.CheckConstraint("lock >= 0", name=op.f("ck_reviews_lock")),
        sa.CheckConstraint("escalations >= 0", name=op.f("ck_reviews_escalations")),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_reviews_version_id_versions"),
        sa.PrimaryKeyConstraint("version_id", name="pk_reviews"),
    )


def _create_proposals() -> None:
    op.create_table(
        "proposals",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("replaces", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("artefact", sa.LargeBinary(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("columns", sa.Text(), nullable=False),
        sa.Column("warnings", sa.Text(), nullable=False),
        sa.Column("calibration", sa.Text(), nullable=True),
        sa.Column("signed_by", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("settled_us", sa.BigInteger(), nullable=True),
        sa.Column("settled_by", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint("status IN ('proposed', 'accepted', 'refused')", name=op.f("ck_proposals_status")),
        sa.CheckConstraint("(status = 'proposed') = (settled_us IS NULL)", name=op.f("ck_proposals_settled_when")),
        sa.CheckConstraint("(settled_us IS NULL) = (settled_by IS NULL)", name=op.f("ck_proposals_settled_by")),
        sa.CheckConstraint("status <> 'accepted' OR settled_by <> created_by", name=op.f("ck_proposals_two_people")),
        sa.CheckConstraint("rows >= 0", name=op.f("ck_proposals_rows")),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_proposals_version_id_versions"),
        sa.PrimaryKeyConstraint("id", name="pk_proposals"),
    )
    op.create_index("ix_proposals_version_id_created_us", "proposals", ["version_id", "created_us"])

"""The requests behind alerts about principals.

Revision: 0013
Follows: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TIERS = "tier IN ('probing', 'intent', 'extraction', 'membership', 'cost')"


def upgrade() -> None:
    op.create_table(
        "transcripts",
        sa.Column("alert_id", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("incident_id", sa.Text(), nullable=False),
        sa.Column("version_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("drawn_us", sa.BigInteger(), nullable=False),
        sa.Column("until_us", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("sample", sa.LargeBinary(), nullable=True),
        sa.Column("erased_us", sa.BigInteger(), nullable=True),
        sa.Column("erased_by", sa.Text(), nullable=True),
        sa.CheckConstraint(TIERS, name=op.f("ck_transcripts_tier")),
        sa.CheckConstraint("policy IN ('fingerprints', 'encrypted_sample')", name=op.f("ck_transcripts_policy")),
        sa.CheckConstraint("length(principal) = 32", name=op.f("ck_transcripts_pseudonym")),
        sa.CheckConstraint("drawn_us < until_us", name=op.f("ck_transcripts_ends")),
        sa.CheckConstraint("(sample IS NULL) = (key_id IS NULL)", name=op.f("ck_transcripts_key")),
        sa.CheckConstraint("sample IS NULL OR policy = 'encrypted_sample'", name=op.f("ck_transcripts_sample_when")),
        sa.CheckConstraint("(erased_us IS NULL) = (erased_by IS NULL)", name=op.f("ck_transcripts_erased_by")),
        sa.CheckConstraint("(erased_us IS NULL) = (body <> '')", name=op.f("ck_transcripts_erased_when")),
        sa.CheckConstraint("erased_us IS NULL OR sample IS NULL", name=op.f("ck_transcripts_erased_sample")),
        sa.CheckConstraint("position >= 0", name=op.f("ck_transcripts_position")),
        sa.ForeignKeyConstraint(["alert_id"], ["alerts.id"], name="fk_transcripts_alert_id_alerts"),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name="fk_transcripts_incident_id_incidents"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_transcripts_version_id_versions"),
        sa.PrimaryKeyConstraint("alert_id", "principal", name="pk_transcripts"),
    )
    op.create_index("ix_transcripts_incident_id", "transcripts", ["incident_id"])
    op.create_index("ix_transcripts_until_us", "transcripts", ["until_us"])
    op.create_index("ix_transcripts_version_id_tier_drawn_us", "transcripts", ["version_id", "tier", "drawn_us"])


def downgrade() -> None:
    op.drop_table("transcripts")

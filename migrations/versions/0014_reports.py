"""Reports about drift, and the rows that are kept for them; the audit chain by what it is about.

Revision: 0014
Follows: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

WHOLE = "status <> 'done' OR (html IS NOT NULL AND json IS NOT NULL AND facts IS NOT NULL)"
KEY = "(key_id IS NOT NULL) OR (rows IS NULL AND html IS NULL AND json IS NULL)"


def upgrade() -> None:
    _reports()
    _samples()
    op.create_index("ix_audit_subject_seq", "audit", ["subject", "seq"])


def _reports() -> None:
    op.create_table(
        "reports",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("incident_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("from_us", sa.BigInteger(), nullable=False),
        sa.Column("to_us", sa.BigInteger(), nullable=False),
        sa.Column("requested_us", sa.BigInteger(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("until_us", sa.BigInteger(), nullable=False),
        sa.Column("started_us", sa.BigInteger(), nullable=True),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("lease_until_us", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=True),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("rows", sa.LargeBinary(), nullable=True),
        sa.Column("html", sa.LargeBinary(), nullable=True),
        sa.Column("json", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("status IN ('queued', 'running', 'done', 'failed')", name=op.f("ck_reports_status")),
        sa.CheckConstraint("from_us < to_us", name=op.f("ck_reports_span")),
        sa.CheckConstraint("requested_us < until_us", name=op.f("ck_reports_ends")),
        sa.CheckConstraint("(status = 'running') = (owner IS NOT NULL)", name=op.f("ck_reports_owner")),
        sa.CheckConstraint("(owner IS NULL) = (lease_until_us IS NULL)", name=op.f("ck_reports_lease")),
        sa.CheckConstraint(
            "(status IN ('done', 'failed')) = (ended_us IS NOT NULL)", name=op.f("ck_reports_ended_when")
        ),
        sa.CheckConstraint("(status = 'failed') = (detail <> '')", name=op.f("ck_reports_detail_when")),
        sa.CheckConstraint(WHOLE, name=op.f("ck_reports_whole")),
        sa.CheckConstraint(KEY, name=op.f("ck_reports_key")),
        sa.CheckConstraint("from_us >= 0", name=op.f("ck_reports_from_us")),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_reports_version_id_versions"),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name="fk_reports_incident_id_incidents"),
        sa.PrimaryKeyConstraint("id", name="pk_reports"),
    )
    for column in ("incident_id", "version_id", "status"):
        op.create_index(f"ix_reports_{column}_requested_us", "reports", [column, "requested_us"])
    op.create_index("ix_reports_until_us", "reports", ["until_us"])


def _samples() -> None:
    op.create_table(
        "report_samples",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("version_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("until_us", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("sample", sa.LargeBinary(), nullable=True),
        sa.Column("erased_us", sa.BigInteger(), nullable=True),
        sa.Column("erased_by", sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('reference', 'incident')", name=op.f("ck_report_samples_kind")),
        sa.CheckConstraint("at_us < until_us", name=op.f("ck_report_samples_ends")),
        sa.CheckConstraint("(sample IS NULL) = (key_id IS NULL)", name=op.f("ck_report_samples_key")),
        sa.CheckConstraint("(sample IS NULL) = (erased_us IS NOT NULL)", name=op.f("ck_report_samples_erased_when")),
        sa.CheckConstraint("(erased_us IS NULL) = (erased_by IS NULL)", name=op.f("ck_report_samples_erased_by")),
        sa.CheckConstraint("rows >= 0", name=op.f("ck_report_samples_rows")),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_report_samples_version_id_versions"),
        sa.PrimaryKeyConstraint("subject", name="pk_report_samples"),
    )
    op.create_index("ix_report_samples_version_id_kind_at_us", "report_samples", ["version_id", "kind", "at_us"])
    op.create_index("ix_report_samples_until_us", "report_samples", ["until_us"])


def downgrade() -> None:
    op.drop_index("ix_audit_subject_seq", table_name="audit")
    op.drop_table("report_samples")
    op.drop_table("reports")

"""What the latest red-team run found about a version.

Revision: 0005
Follows: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "redteam_runs",
        sa.Column("version_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_redteam_runs_version_id_versions"),
        sa.PrimaryKeyConstraint("version_id", name="pk_redteam_runs"),
    )


def downgrade() -> None:
    op.drop_table("redteam_runs")

"""What each baseline tolerates, in words.

Revision: 0002
Follows: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "calibrations",
        sa.Column("baseline_id", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["baseline_id"], ["baselines.id"], name="fk_calibrations_baseline_id_baselines"),
        sa.PrimaryKeyConstraint("baseline_id", name="pk_calibrations"),
    )


def downgrade() -> None:
    op.drop_table("calibrations")

"""When the red team is due, who runs it, and what became of its runs.

Revision: 0008
Follows: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NUMBERS = ("next_us", "lease_until_us", "begun_us", "ended_us", "good_us")
COUNTS = ("done", "failed", "missed")
OUTCOMES = "outcome IN ('none', 'running', 'done', 'failed', 'timed_out')"


def upgrade() -> None:
    op.create_table(
        "redteam_schedule",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("owner", sa.Text(), nullable=True),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in NUMBERS),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in COUNTS),
        sa.CheckConstraint("id = 1", name=op.f("ck_redteam_schedule_one_row")),
        sa.CheckConstraint(OUTCOMES, name=op.f("ck_redteam_schedule_outcome")),
        *(sa.CheckConstraint(f"{name} >= 0", name=op.f(f"ck_redteam_schedule_{name}")) for name in COUNTS),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redteam_schedule")),
    )


def downgrade() -> None:
    op.drop_table("redteam_schedule")

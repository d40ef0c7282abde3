"""Principals that are told of for going on, input after input.

Revision: 0020
Follows: 0019
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

BEFORE = "'probing', 'intent', 'extraction', 'membership', 'cost'"
NEW = "persistence"


def upgrade() -> None:
    for table in ("containments", "transcripts"):
        _allow(table, f"{BEFORE}, '{NEW}'")


def downgrade() -> None:
    for table in ("transcripts", "containments"):
        held = sa.table(table, sa.column("tier"))
        # What only the newer schema can hold is told under the nearest tier.
        op.execute(sa.update(held).where(held.c.tier == NEW).values(tier="probing"))
        _allow(table, BEFORE)


def _allow(table: str, tiers: str) -> None:
    """Let a table hold what is of these tiers."""
    with op.batch_alter_table(table) as batch:
        batch.drop_constraint(op.f(f"ck_{table}_tier"), type_="check")
        batch.create_check_constraint(op.f(f"ck_{table}_tier"), f"tier IN ({tiers})")

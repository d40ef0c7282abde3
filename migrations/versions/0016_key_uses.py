"""When keys were last used, and what the audit page looks for.

Revision: 0016
Follows: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "key_uses",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("used_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name="fk_key_uses_key_id_api_keys"),
        sa.PrimaryKeyConstraint("key_id", name="pk_key_uses"),
    )
    op.create_index("ix_audit_actor_seq", "audit", ["actor", "seq"])
    op.create_index("ix_audit_action_seq", "audit", ["action", "seq"])


def downgrade() -> None:
    op.drop_index("ix_audit_action_seq", "audit")
    op.drop_index("ix_audit_actor_seq", "audit")
    op.drop_table("key_uses")

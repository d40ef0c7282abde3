"""When a worker last said that it has a channel, so that another one does not give up what waits for it.

Revision: 0015
Follows: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("channel_states") as batch:
        batch.add_column(sa.Column("known_us", sa.BigInteger(), nullable=False, server_default="0"))
    with op.batch_alter_table("channel_states") as batch:
        batch.alter_column("known_us", existing_type=sa.BigInteger(), existing_nullable=False, server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("channel_states") as batch:
        batch.drop_column("known_us")

"""What is known of single principals, so that it survives a restart.

Revision: 0006
Follows: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "principal_states",
        sa.Column("version_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_principal_states_version_id_versions"),
        sa.PrimaryKeyConstraint("version_id", name="pk_principal_states"),
    )


def downgrade() -> None:
    op.drop_table("principal_states")

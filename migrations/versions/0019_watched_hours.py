"""Hours with events, to be counted without reading the rows.

Revision: 0019
Follows: 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

WATCHED = sa.text("level = '1h' AND events > 0")


def upgrade() -> None:
    op.create_index(
        "ix_windows_watched",
        "windows",
        ["version_id", "start_us", "level", "events"],
        sqlite_where=WATCHED,
        postgresql_where=WATCHED,
    )


def downgrade() -> None:
    op.drop_index("ix_windows_watched", "windows")

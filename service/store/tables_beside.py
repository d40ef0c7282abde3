"""The tables beside the path: when the red team runs, who obeys a quarantine, and what is known of principals."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Integer, LargeBinary, Table, Text

from service.domain.schedule import Outcome
from service.store.tables import big_column, metadata, not_negative, one_of, text_column, version_column

redteam_schedule = Table(
    "redteam_schedule",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    text_column("owner", nullable=True),
    big_column("next_us"),
    big_column("lease_until_us"),
    big_column("begun_us"),
    big_column("ended_us"),
    big_column("good_us"),
    text_column("outcome"),
    text_column("detail"),
    big_column("done"),
    big_column("failed"),
    big_column("missed"),
    CheckConstraint("id = 1", name="one_row"),
    one_of("outcome", Outcome),
    *not_negative("done", "failed", "missed"),
)

enforcements = Table(
    "enforcements",
    metadata,
    version_column(primary_key=True),
    Column("lock", BigInteger, primary_key=True, autoincrement=False),
    big_column("quarantined_us"),
    Column("incident_id", Text, ForeignKey("incidents.id"), nullable=True),
    big_column("enforced_us", nullable=True),
    text_column("decision_id", nullable=True),
    big_column("overdue_us", nullable=True),
    big_column("ended_us", nullable=True),
    CheckConstraint("(enforced_us IS NULL) = (decision_id IS NULL)", name="decision"),
    *not_negative("lock"),
)

principal_states = Table(
    "principal_states",
    metadata,
    version_column(primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

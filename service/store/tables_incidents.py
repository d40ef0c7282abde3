"""The tables beside incidents: snoozes, maintenance, what belongs together, what is told later, evidence."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, ForeignKey, Index, Table, Text

from service.domain.incidents import Hush, LinkKind
from service.domain.records import Severity
from service.store.tables import big_column, metadata, one_of, text_column


def _incident_column() -> Column[str]:
    return Column("incident_id", Text, ForeignKey("incidents.id"), primary_key=True)


snoozes = Table(
    "snoozes",
    metadata,
    _incident_column(),
    big_column("until_us"),
    Column("until_worse", Boolean, nullable=False),
    text_column("severity"),
    big_column("at_us"),
    text_column("actor"),
    one_of("severity", Severity),
    CheckConstraint("at_us < until_us", name="ends"),
)
"""One row for each incident that is snoozed; none once that is over."""

maintenance = Table(
    "maintenance",
    metadata,
    Column("id", Text, primary_key=True),
    Column("model_id", BigInteger, ForeignKey("models.id"), nullable=False),
    big_column("start_us"),
    big_column("end_us"),
    Column("quarantine", Boolean, nullable=False),
    text_column("reason"),
    big_column("created_us"),
    text_column("created_by"),
    big_column("cancelled_us", nullable=True),
    Index(None, "model_id", "end_us"),
    CheckConstraint("start_us < end_us", name="ends"),
)

incident_links = Table(
    "incident_links",
    metadata,
    _incident_column(),
    Column("kind", Text, primary_key=True),
    Column("other_id", Text, ForeignKey("incidents.id"), nullable=False),
    big_column("at_us"),
    Index(None, "other_id"),
    one_of("kind", LinkKind),
    CheckConstraint("incident_id <> other_id", name="another"),
)

hushed = Table(
    "hushed",
    metadata,
    _incident_column(),
    text_column("why"),
    big_column("until_us"),
    Index(None, "until_us"),
    one_of("why", Hush),
)

evidence = Table(
    "evidence",
    metadata,
    _incident_column(),
    big_column("at_us"),
    text_column("digest"),
    text_column("body"),
    CheckConstraint("length(digest) = 64", name="digest"),
)
"""Written once, with the incident."""

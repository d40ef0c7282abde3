"""The tables of what people decide together: broken glass, reviews, proposed baselines."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, LargeBinary, Table, Text, UniqueConstraint, text

from service.domain.reviews import ProposalStatus
from service.store.tables import big_column, metadata, not_negative, one_of, text_column, version_column

OPEN = text("ended_us IS NULL")

glasses = Table(
    "glasses",
    metadata,
    Column("id", Text, primary_key=True),
    version_column(),
    big_column("quarantine"),
    big_column("opened_us"),
    big_column("until_us"),
    text_column("actor"),
    text_column("reason"),
    big_column("ended_us", nullable=True),
    text_column("ended_by", nullable=True),
    # One person, once in a quarantine; and never two at a time.
    UniqueConstraint("version_id", "quarantine", "actor"),
    Index("uq_glasses_open", "version_id", unique=True, sqlite_where=OPEN, postgresql_where=OPEN),
    CheckConstraint("opened_us < until_us AND until_us <= opened_us + 86400000000", name="boxed"),
    CheckConstraint("ended_us IS NULL OR (opened_us <= ended_us AND ended_us <= until_us)", name="ended"),
    CheckConstraint("(ended_us IS NULL) = (ended_by IS NULL)", name="ended_by"),
    *not_negative("quarantine"),
)

reviews = Table(
    "reviews",
    metadata,
    version_column(primary_key=True),
    Column("lock", BigInteger, nullable=False),
    text_column("reviewers"),
    big_column("due_us", nullable=True),
    big_column("escalations"),
    big_column("escalated_us", nullable=True),
    CheckConstraint("(escalations > 0) = (escalated_us IS NOT NULL)", name="escalated_when"),
    *not_negative("lock", "escalations"),
)

proposals = Table(
    "proposals",
    metadata,
    Column("id", Text, primary_key=True),
    version_column(),
    text_column("replaces"),
    text_column("digest"),
    text_column("signature"),
    Column("artefact", LargeBinary, nullable=False),
    big_column("rows"),
    text_column("columns"),
    text_column("warnings"),
    text_column("calibration", nullable=True),
    text_column("signed_by"),
    text_column("status"),
    big_column("created_us"),
    text_column("created_by"),
    big_column("settled_us", nullable=True),
    text_column("settled_by", nullable=True),
    text_column("reason"),
    Index(None, "version_id", "created_us"),
    one_of("status", ProposalStatus),
    CheckConstraint("(status = 'proposed') = (settled_us IS NULL)", name="settled_when"),
    CheckConstraint("(settled_us IS NULL) = (settled_by IS NULL)", name="settled_by"),
    CheckConstraint("status <> 'accepted' OR settled_by <> created_by", name="two_people"),
    *not_negative("rows"),
)

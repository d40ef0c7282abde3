"""The tables beside the path: red-team runs, who obeys a quarantine, what is known of principals, transcripts."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, Table, Text

from service.domain.adversarial import Transcript
from service.domain.principals import PrincipalTier
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

answers = Table(
    "answers",
    metadata,
    version_column(primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),
    *not_negative("number"),
)
"""The latest answers of each version, in blocks: what later labels are about."""

transcripts = Table(
    "transcripts",
    metadata,
    Column("alert_id", Text, ForeignKey("alerts.id"), primary_key=True),
    Column("principal", Text, primary_key=True),
    Column("incident_id", Text, ForeignKey("incidents.id"), nullable=False),
    version_column(),
    text_column("tier"),
    text_column("policy"),
    big_column("position"),
    big_column("drawn_us"),
    big_column("until_us"),
    text_column("body"),
    text_column("key_id", nullable=True),
    Column("sample", LargeBinary, nullable=True),
    big_column("erased_us", nullable=True),
    text_column("erased_by", nullable=True),
    Index(None, "incident_id"),
    Index(None, "until_us"),
    Index(None, "version_id", "tier", "drawn_us"),
    one_of("tier", PrincipalTier),
    one_of("policy", Transcript),
    CheckConstraint("length(principal) = 32", name="pseudonym"),
    CheckConstraint("drawn_us < until_us", name="ends"),
    CheckConstraint("(sample IS NULL) = (key_id IS NULL)", name="key"),
    CheckConstraint("sample IS NULL OR policy = 'encrypted_sample'", name="sample_when"),
    CheckConstraint("(erased_us IS NULL) = (erased_by IS NULL)", name="erased_by"),
    CheckConstraint("(erased_us IS NULL) = (body <> '')", name="erased_when"),
    CheckConstraint("erased_us IS NULL OR sample IS NULL", name="erased_sample"),
    *not_negative("position"),
)

key_uses = Table(
    "key_uses",
    metadata,
    Column("key_id", Text, ForeignKey("api_keys.id"), primary_key=True),
    big_column("used_us"),
)
"""When each key was last used, to the minute."""

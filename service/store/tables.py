"""The tables of the state store: every rule that the data must keep is a named constraint here.

Times are microseconds since 1970 as integers; JSON is text; so both engines hold the same.
"""

from collections.abc import Iterable

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from service.domain.policy import Cause
from service.domain.principals import ContainmentState, PrincipalTier
from service.domain.records import IncidentStatus, Severity, Verdict
from service.domain.states import TRANSITIONS, State

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

UNRESOLVED = text("resolved_us IS NULL")

Serial = BigInteger().with_variant(Integer, "sqlite")
"""SQLite gives numbers by itself only to a column that is exactly an integer primary key."""


def one_of(column: str, values: Iterable[str], name: str | None = None) -> CheckConstraint:
    """Return the constraint that a column has one of some values."""
    allowed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({allowed})", name=name or column)


def not_negative(*columns: str) -> list[CheckConstraint]:
    """Return the constraints that columns are not negative."""
    return [CheckConstraint(f"{column} >= 0", name=column) for column in columns]


def big_column(name: str, *, nullable: bool = False) -> Column[int]:
    """Return a column of 64-bit integers."""
    return Column(name, BigInteger, nullable=nullable)


def text_column(name: str, *, nullable: bool = False) -> Column[str]:
    """Return a column of text."""
    return Column(name, Text, nullable=nullable)


def version_column(*, primary_key: bool = False) -> Column[int]:
    """Return the column of the version that a row is about."""
    # BigInteger in any case: only a table's own serial number needs to be SQLite's integer.
    return Column(
        "version_id",
        BigInteger,
        ForeignKey("versions.id"),
        nullable=False,
        primary_key=primary_key,
        autoincrement=False,
    )


control = Table(
    "control",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    big_column("revision"),
    CheckConstraint("id = 1", name="one_row"),
    *not_negative("revision"),
)

models = Table(
    "models",
    metadata,
    Column("id", Serial, primary_key=True),
    text_column("name"),
    text_column("owner"),
    text_column("description"),
    text_column("policy"),
    big_column("created_us"),
    text_column("created_by"),
    UniqueConstraint("name"),
)

versions = Table(
    "versions",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("model_id", BigInteger, ForeignKey("models.id"), nullable=False),
    text_column("version"),
    text_column("schema"),
    text_column("deployed_by"),
    text_column("state"),
    big_column("since_us"),
    text_column("reason"),
    big_column("lock"),
    big_column("restart_position"),
    big_column("created_us"),
    Column("vouched", Text, nullable=True),
    UniqueConstraint("model_id", "version"),
    one_of("state", State),
    *not_negative("lock", "restart_position"),
)

baselines = Table(
    "baselines",
    metadata,
    Column("seq", Serial, primary_key=True),
    text_column("id"),
    version_column(),
    text_column("digest"),
    text_column("signature"),
    Column("artefact", LargeBinary, nullable=False),
    big_column("rows"),
    big_column("from_position"),
    text_column("columns"),
    text_column("warnings"),
    big_column("created_us"),
    text_column("created_by"),
    UniqueConstraint("id"),
    Index(None, "version_id", "seq"),
    *not_negative("rows", "from_position"),
)

calibrations = Table(
    "calibrations",
    metadata,
    Column("baseline_id", Text, ForeignKey("baselines.id"), primary_key=True),
    text_column("body"),
)

approvals = Table(
    "approvals",
    metadata,
    Column("seq", Serial, primary_key=True),
    version_column(),
    big_column("lock"),
    text_column("actor"),
    big_column("at_us"),
    UniqueConstraint("version_id", "lock", "actor"),
    *not_negative("lock"),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", Text, primary_key=True),
    version_column(),
    text_column("cause"),
    text_column("title"),
    text_column("status"),
    text_column("assignee", nullable=True),
    text_column("verdict", nullable=True),
    text_column("note", nullable=True),
    big_column("opened_us"),
    big_column("acknowledged_us", nullable=True),
    big_column("resolved_us", nullable=True),
    big_column("lock"),
    text_column("severity"),
    Index(None, "opened_us"),
    Index(None, "version_id", "opened_us"),
    Index(None, "status", "opened_us"),
    Index("ix_incidents_unresolved", "version_id", sqlite_where=UNRESOLVED, postgresql_where=UNRESOLVED),
    one_of("cause", Cause),
    one_of("status", IncidentStatus),
    one_of("verdict", Verdict),
    one_of("severity", Severity),
    CheckConstraint("(status = 'resolved') = (resolved_us IS NOT NULL)", name="resolved_when"),
    *not_negative("lock"),
)

timeline = Table(
    "timeline",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("incident_id", Text, ForeignKey("incidents.id"), nullable=False),
    big_column("at_us"),
    text_column("actor"),
    text_column("kind"),
    text_column("body"),
    Index(None, "incident_id", "seq"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", Text, primary_key=True),
    version_column(),
    text_column("cause"),
    text_column("status"),
    text_column("reason"),
    Column("evidence_log", Double, nullable=False),
    Column("threshold_log", Double, nullable=False),
    big_column("confirmations"),
    text_column("columns"),
    big_column("since_us"),
    big_column("opened_us"),
    big_column("closed_us", nullable=True),
    big_column("position"),
    Column("incident_id", Text, ForeignKey("incidents.id"), nullable=False),
    text_column("subject"),
    text_column("adversarial", nullable=True),
    Index(
        "uq_alerts_open",
        "version_id",
        "cause",
        "subject",
        unique=True,
        sqlite_where=text("status = 'open'"),
        postgresql_where=text("status = 'open'"),
    ),
    Index(None, "opened_us"),
    Index(None, "version_id", "opened_us"),
    Index(None, "status", "opened_us"),
    Index(None, "cause", "opened_us"),
    Index(None, "incident_id"),
    one_of("cause", Cause),
    one_of("status", ("open", "closed")),
    CheckConstraint("(status = 'closed') = (closed_us IS NOT NULL)", name="closed_when"),
    CheckConstraint("(cause = 'adversarial') = (adversarial IS NOT NULL)", name="adversarial_when"),
    *not_negative("confirmations", "position"),
)

containments = Table(
    "containments",
    metadata,
    version_column(primary_key=True),
    Column("principal", Text, primary_key=True),
    text_column("state"),
    text_column("tier"),
    text_column("reason"),
    big_column("since_us"),
    big_column("renewed_us"),
    big_column("until_us"),
    Column("incident_id", Text, ForeignKey("incidents.id"), nullable=True),
    big_column("lifted_us", nullable=True),
    text_column("lifted_by", nullable=True),
    Index(None, "until_us"),
    one_of("state", ContainmentState),
    one_of("tier", PrincipalTier),
    CheckConstraint("length(principal) = 32", name="pseudonym"),
    CheckConstraint("since_us <= renewed_us AND renewed_us < until_us", name="ends"),
    CheckConstraint("(state = 'lifted') = (lifted_us IS NOT NULL)", name="lifted_when"),
    CheckConstraint("(lifted_us IS NULL) = (lifted_by IS NULL)", name="lifted_by"),
)

redteam_runs = Table(
    "redteam_runs",
    metadata,
    version_column(primary_key=True),
    big_column("at_us"),
    text_column("actor"),
    text_column("summary"),
)

transitions = Table(
    "transitions",
    metadata,
    Column("seq", Serial, primary_key=True),
    version_column(),
    big_column("lock"),
    text_column("before"),
    text_column("event"),
    text_column("after"),
    text_column("actor"),
    text_column("reason"),
    big_column("at_us"),
    big_column("position"),
    Column("incident_id", Text, ForeignKey("incidents.id"), nullable=True),
    UniqueConstraint("version_id", "lock"),
    one_of(
        "(before || ' ' || event || ' ' || after)",
        (f"{before} {event} {after}" for (before, event), after in TRANSITIONS.items()),
        name="legal",
    ),
    *not_negative("lock", "position"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    text_column("name"),
    text_column("scopes"),
    text_column("models", nullable=True),
    Column("secret_hash", LargeBinary, nullable=False),
    big_column("created_us"),
    big_column("expires_us", nullable=True),
    big_column("revoked_us", nullable=True),
    UniqueConstraint("secret_hash"),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    big_column("at_us"),
    text_column("actor"),
    text_column("action"),
    text_column("subject"),
    text_column("detail"),
    text_column("digest"),
    UniqueConstraint("digest"),
    Index(None, "actor", "seq"),
    Index(None, "action", "seq"),
    Index(None, "subject", "seq"),
    CheckConstraint("seq >= 1", name="seq"),
    CheckConstraint("length(digest) = 64", name="digest"),
)

snapshots = Table(
    "snapshots",
    metadata,
    version_column(primary_key=True),
    Column("baseline_id", Text, ForeignKey("baselines.id"), nullable=True),
    big_column("position"),
    big_column("events_total"),
    big_column("labels_total"),
    big_column("leaks_total"),
    Column("evidence_log", Double, nullable=False),
    Column("threshold_log", Double, nullable=False),
    Column("blob", LargeBinary, nullable=False),
    text_column("status"),
    big_column("updated_us"),
    *not_negative("position", "events_total", "labels_total", "leaks_total"),
)

WATCHED = text("level = '1h' AND events > 0")
"""Hours that count as watched. Their index has all that counting them asks for: the rows themselves are large."""

windows = Table(
    "windows",
    metadata,
    version_column(primary_key=True),
    Column("level", Text, primary_key=True),
    Column("start_us", BigInteger, primary_key=True, autoincrement=False),
    Column("baseline_id", Text, ForeignKey("baselines.id"), nullable=False),
    big_column("events"),
    Column("evidence_log", Double, nullable=False),
    Column("evidence_log_max", Double, nullable=False),
    Column("column_evidence", LargeBinary, nullable=False),
    Column("counts", LargeBinary, nullable=False),
    Index(None, "level", "start_us"),
    Index(
        "ix_windows_watched",
        *("version_id", "start_us", "level", "events"),
        sqlite_where=WATCHED,
        postgresql_where=WATCHED,
    ),
    one_of("level", ("1m", "1h")),
    *not_negative("events"),
)

worker = Table(
    "worker",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    big_column("position"),
    text_column("owner", nullable=True),
    big_column("epoch"),
    big_column("lease_until_us"),
    big_column("heartbeat_us"),
    text_column("stats"),
    CheckConstraint("id = 1", name="one_row"),
    *not_negative("position", "epoch"),
)

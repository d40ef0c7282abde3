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
from service.domain.schedule import Outcome
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

Serial = BigInteger().with_variant(Integer, "sqlite")
"""SQLite gives numbers by itself only to a column that is exactly an integer primary key."""


def _one_of(column: str, values: Iterable[str], name: str | None = None) -> CheckConstraint:
    allowed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({allowed})", name=name or column)


def _not_negative(*columns: str) -> list[CheckConstraint]:
    return [CheckConstraint(f"{column} >= 0", name=column) for column in columns]


def _big(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Text, nullable=nullable)


def _version_id(*, primary_key: bool = False) -> Column[int]:
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
    _big("revision"),
    CheckConstraint("id = 1", name="one_row"),
    *_not_negative("revision"),
)

models = Table(
    "models",
    metadata,
    Column("id", Serial, primary_key=True),
    _text("name"),
    _text("owner"),
    _text("description"),
    _text("policy"),
    _big("created_us"),
    _text("created_by"),
    UniqueConstraint("name"),
)

versions = Table(
    "versions",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("model_id", BigInteger, ForeignKey("models.id"), nullable=False),
    _text("version"),
    _text("schema"),
    _text("deployed_by"),
    _text("state"),
    _big("since_us"),
    _text("reason"),
    _big("lock"),
    _big("restart_position"),
    _big("created_us"),
    Column("vouched", Text, nullable=True),
    UniqueConstraint("model_id", "version"),
    _one_of("state", State),
    *_not_negative("lock", "restart_position"),
)

baselines = Table(
    "baselines",
    metadata,
    Column("seq", Serial, primary_key=True),
    _text("id"),
    _version_id(),
    _text("digest"),
    _text("signature"),
    Column("artefact", LargeBinary, nullable=False),
    _big("rows"),
    _big("from_position"),
    _text("columns"),
    _text("warnings"),
    _big("created_us"),
    _text("created_by"),
    UniqueConstraint("id"),
    Index(None, "version_id", "seq"),
    *_not_negative("rows", "from_position"),
)

calibrations = Table(
    "calibrations",
    metadata,
    Column("baseline_id", Text, ForeignKey("baselines.id"), primary_key=True),
    _text("body"),
)

approvals = Table(
    "approvals",
    metadata,
    Column("seq", Serial, primary_key=True),
    _version_id(),
    _big("lock"),
    _text("actor"),
    _big("at_us"),
    UniqueConstraint("version_id", "lock", "actor"),
    *_not_negative("lock"),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", Text, primary_key=True),
    _version_id(),
    _text("cause"),
    _text("title"),
    _text("status"),
    _text("assignee", nullable=True),
    _text("verdict", nullable=True),
    _text("note", nullable=True),
    _big("opened_us"),
    _big("acknowledged_us", nullable=True),
    _big("resolved_us", nullable=True),
    _big("lock"),
    _text("severity"),
    Index(None, "opened_us"),
    Index(None, "version_id", "opened_us"),
    _one_of("cause", Cause),
    _one_of("status", IncidentStatus),
    _one_of("verdict", Verdict),
    _one_of("severity", Severity),
    CheckConstraint("(status = 'resolved') = (resolved_us IS NOT NULL)", name="resolved_when"),
    *_not_negative("lock"),
)

timeline = Table(
    "timeline",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("incident_id", Text, ForeignKey("incidents.id"), nullable=False),
    _big("at_us"),
    _text("actor"),
    _text("kind"),
    _text("body"),
    Index(None, "incident_id", "seq"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", Text, primary_key=True),
    _version_id(),
    _text("cause"),
    _text("status"),
    _text("reason"),
    Column("evidence_log", Double, nullable=False),
    Column("threshold_log", Double, nullable=False),
    _big("confirmations"),
    _text("columns"),
    _big("since_us"),
    _big("opened_us"),
    _big("closed_us", nullable=True),
    _big("position"),
    Column("incident_id", Text, ForeignKey("incidents.id"), nullable=False),
    _text("subject"),
    _text("adversarial", nullable=True),
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
    Index(None, "incident_id"),
    _one_of("cause", Cause),
    _one_of("status", ("open", "closed")),
    CheckConstraint("(status = 'closed') = (closed_us IS NOT NULL)", name="closed_when"),
    CheckConstraint("(cause = 'adversarial') = (adversarial IS NOT NULL)", name="adversarial_when"),
    *_not_negative("confirmations", "position"),
)

containments = Table(
    "containments",
    metadata,
    _version_id(primary_key=True),
    Column("principal", Text, primary_key=True),
    _text("state"),
    _text("tier"),
    _text("reason"),
    _big("since_us"),
    _big("renewed_us"),
    _big("until_us"),
    Column("incident_id", Text, ForeignKey("incidents.id"), nullable=True),
    _big("lifted_us", nullable=True),
    _text("lifted_by", nullable=True),
    Index(None, "until_us"),
    _one_of("state", ContainmentState),
    _one_of("tier", PrincipalTier),
    CheckConstraint("length(principal) = 32", name="pseudonym"),
    CheckConstraint("since_us <= renewed_us AND renewed_us < until_us", name="ends"),
    CheckConstraint("(state = 'lifted') = (lifted_us IS NOT NULL)", name="lifted_when"),
    CheckConstraint("(lifted_us IS NULL) = (lifted_by IS NULL)", name="lifted_by"),
)

redteam_runs = Table(
    "redteam_runs",
    metadata,
    _version_id(primary_key=True),
    _big("at_us"),
    _text("actor"),
    _text("summary"),
)

redteam_schedule = Table(
    "redteam_schedule",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    _text("owner", nullable=True),
    _big("next_us"),
    _big("lease_until_us"),
    _big("begun_us"),
    _big("ended_us"),
    _big("good_us"),
    _text("outcome"),
    _text("detail"),
    _big("done"),
    _big("failed"),
    _big("missed"),
    CheckConstraint("id = 1", name="one_row"),
    _one_of("outcome", Outcome),
    *_not_negative("done", "failed", "missed"),
)

transitions = Table(
    "transitions",
    metadata,
    Column("seq", Serial, primary_key=True),
    _version_id(),
    _big("lock"),
    _text("before"),
    _text("event"),
    _text("after"),
    _text("actor"),
    _text("reason"),
    _big("at_us"),
    _big("position"),
    Column("incident_id", Text, ForeignKey("incidents.id"), nullable=True),
    UniqueConstraint("version_id", "lock"),
    _one_of(
        "(before || ' ' || event || ' ' || after)",
        (f"{before} {event} {after}" for (before, event), after in TRANSITIONS.items()),
        name="legal",
    ),
    *_not_negative("lock", "position"),
)

enforcements = Table(
    "enforcements",
    metadata,
    _version_id(primary_key=True),
    Column("lock", BigInteger, primary_key=True, autoincrement=False),
    _big("quarantined_us"),
    Column("incident_id", Text, ForeignKey("incidents.id"), nullable=True),
    _big("enforced_us", nullable=True),
    _text("decision_id", nullable=True),
    _big("overdue_us", nullable=True),
    _big("ended_us", nullable=True),
    CheckConstraint("(enforced_us IS NULL) = (decision_id IS NULL)", name="decision"),
    *_not_negative("lock"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    _text("name"),
    _text("scopes"),
    _text("models", nullable=True),
    Column("secret_hash", LargeBinary, nullable=False),
    _big("created_us"),
    _big("expires_us", nullable=True),
    _big("revoked_us", nullable=True),
    UniqueConstraint("secret_hash"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Text, primary_key=True),
    _text("channel"),
    _text("kind"),
    _text("payload"),
    _text("status"),
    _big("created_us"),
    _big("attempts"),
    _big("next_us", nullable=True),
    _big("delivered_us", nullable=True),
    _text("detail"),
    Index(None, "status", "created_us"),
    _one_of("status", ("pending", "delivered", "dead")),
    CheckConstraint("(status = 'delivered') = (delivered_us IS NOT NULL)", name="delivered_when"),
    *_not_negative("attempts"),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    _big("at_us"),
    _text("actor"),
    _text("action"),
    _text("subject"),
    _text("detail"),
    _text("digest"),
    UniqueConstraint("digest"),
    CheckConstraint("seq >= 1", name="seq"),
    CheckConstraint("length(digest) = 64", name="digest"),
)

snapshots = Table(
    "snapshots",
    metadata,
    _version_id(primary_key=True),
    Column("baseline_id", Text, ForeignKey("baselines.id"), nullable=True),
    _big("position"),
    _big("events_total"),
    _big("labels_total"),
    _big("leaks_total"),
    Column("evidence_log", Double, nullable=False),
    Column("threshold_log", Double, nullable=False),
    Column("blob", LargeBinary, nullable=False),
    _text("status"),
    _big("updated_us"),
    *_not_negative("position", "events_total", "labels_total", "leaks_total"),
)

principal_states = Table(
    "principal_states",
    metadata,
    _version_id(primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

windows = Table(
    "windows",
    metadata,
    _version_id(primary_key=True),
    Column("level", Text, primary_key=True),
    Column("start_us", BigInteger, primary_key=True, autoincrement=False),
    Column("baseline_id", Text, ForeignKey("baselines.id"), nullable=False),
    _big("events"),
    Column("evidence_log", Double, nullable=False),
    Column("evidence_log_max", Double, nullable=False),
    Column("column_evidence", LargeBinary, nullable=False),
    Column("counts", LargeBinary, nullable=False),
    Index(None, "level", "start_us"),
    _one_of("level", ("1m", "1h")),
    *_not_negative("events"),
)

worker = Table(
    "worker",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    _big("position"),
    _text("owner", nullable=True),
    _big("epoch"),
    _big("lease_until_us"),
    _big("heartbeat_us"),
    _text("stats"),
    CheckConstraint("id = 1", name="one_row"),
    *_not_negative("position", "epoch"),
)

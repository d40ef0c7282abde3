"""The tables of notifications: what is told, to whom it is on its way, who was told, and how each channel is."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Table, Text, UniqueConstraint, text

from service.domain.notices import Circuit, DeliveryStatus
from service.domain.records import Severity
from service.store.tables import Serial, big_column, metadata, not_negative, one_of, text_column

UNROUTED = text("routed_us IS NULL")

outbox = Table(
    "outbox",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("id", Text, nullable=False),
    text_column("kind"),
    text_column("payload"),
    text_column("severity"),
    text_column("model"),
    text_column("version"),
    text_column("incident_id", nullable=True),
    big_column("created_us"),
    big_column("routed_us", nullable=True),
    UniqueConstraint("id"),
    Index("ix_outbox_unrouted", "seq", sqlite_where=UNROUTED, postgresql_where=UNROUTED),
    Index(None, "routed_us"),
    one_of("severity", Severity),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("seq", BigInteger, ForeignKey("outbox.seq"), primary_key=True, autoincrement=False),
    Column("channel", Text, primary_key=True),
    text_column("thread"),
    text_column("status"),
    big_column("queued_us"),
    big_column("attempts"),
    big_column("next_us"),
    text_column("owner", nullable=True),
    big_column("lease_until_us", nullable=True),
    big_column("delivered_us", nullable=True),
    text_column("detail"),
    Index(None, "status", "channel", "next_us"),
    Index(None, "status", "queued_us"),
    Index(None, "channel", "thread", "status"),
    one_of("status", DeliveryStatus),
    CheckConstraint("(status = 'delivered') = (delivered_us IS NOT NULL)", name="delivered_when"),
    CheckConstraint("(owner IS NULL) = (lease_until_us IS NULL)", name="leased_when"),
    CheckConstraint("status = 'pending' OR owner IS NULL", name="leased_while"),
    *not_negative("attempts"),
)

told = Table(
    "told",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    text_column("model"),
    text_column("version"),
    text_column("incident_id", nullable=True),
    text_column("group_key"),
    text_column("severity"),
    text_column("labels"),
    text_column("annotations"),
    big_column("starts_us"),
    big_column("ends_us", nullable=True),
    text_column("channels"),
    Index(None, "model", "version"),
    Index(None, "incident_id"),
    Index(None, "group_key"),
    Index(None, "ends_us"),
    one_of("severity", Severity),
    CheckConstraint("ends_us IS NULL OR ends_us >= starts_us", name="ends"),
)

channel_states = Table(
    "channel_states",
    metadata,
    Column("name", Text, primary_key=True),
    text_column("circuit"),
    big_column("failures"),
    big_column("trips"),
    big_column("until_us"),
    big_column("failing_us", nullable=True),
    big_column("succeeded_us", nullable=True),
    big_column("failed_us", nullable=True),
    text_column("detail"),
    big_column("resent_us"),
    big_column("known_us"),
    big_column("delivered_total"),
    big_column("failures_total"),
    big_column("dead_total"),
    one_of("circuit", Circuit),
    *not_negative("failures", "trips", "delivered_total", "failures_total", "dead_total"),
)

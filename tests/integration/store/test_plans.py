"""What delivery, routing and the lists of incidents ask is found by an index, on SQLite and PostgreSQL.

Every statement that the store sends is caught and explained: none may look at all rows of a table that grows.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, insert, text

from service.domain.breaker import succeeded
from service.domain.ids import Micros
from service.domain.incidents import LinkKind
from service.domain.notices import ChannelState, Conclusion, DeliveryStatus, Routed, Told
from service.domain.records import IncidentStatus, Message, Severity, Version
from service.ports_pages import IncidentsWanted
from service.store import Store
from service.store.engine import parse_url
from service.store.notified import new_delivery, save_told
from service.store.opened import _over_since
from service.store.rows import alert_values, incident_values, message_values
from service.store.tables import alerts, incidents, timeline
from service.store.tables_incidents import incident_links
from service.store.tables_notify import deliveries, outbox
from tests.fakes import ManualClock
from tests.integration.store import samples as s

GROWING = {"told", "mates", "deliveries", "earlier", "outbox", "incidents", "alerts", "timeline", "incident_links"}
"""``mates`` and ``earlier`` are told and deliveries by other names."""
FEW = ("ix_outbox_unrouted", "ix_incidents_unresolved", "uq_alerts_open")
"""Indexes of the few rows that wait: to go through them is as good as to look something up."""
ROWS = 300
YEAR_US = 365 * 86_400_000_000
Statement = tuple[str, Any]


@pytest.fixture
def filled(sql_store: Store) -> Store:
    """Give a store with what a year leaves behind, in small: nearly all of it is over."""
    with sql_store.control.write() as tx:
        version = s.registered(tx)
    with sql_store._database.write() as connection:
        for number in range(ROWS):
            over = number % 50 != 0
            incident = replace(s.incident(version), id=f"i{number}", opened_us=s.at(number))
            if over:
                incident = replace(incident, status=IncidentStatus.RESOLVED, resolved_us=s.at(number + 1))
            connection.execute(insert(incidents).values(incident_values(incident)))
            alert = s.closed(replace(s.alert(incident), id=f"a{number}"))
            connection.execute(insert(alerts).values(alert_values(alert)))
            line = {"incident_id": incident.id, "at_us": 0, "actor": "", "kind": "", "body": ""}
            connection.execute(insert(timeline).values(line))
            if number % 10 == 1:
                merged = {"incident_id": incident.id, "kind": LinkKind.MERGED.value, "other_id": "i0", "at_us": 0}
                connection.execute(insert(incident_links).values(merged))
            message = _message(number, version)
            row = message_values(message) | {"seq": number + 1, "routed_us": s.at(number)}
            connection.execute(insert(outbox).values(row))
            _deliver(connection, number, over=over)
            save_told(connection, [_told(message, number, over=over)])
        if connection.dialect.name == "postgresql":
            connection.execute(text("ANALYZE"))
            connection.execute(text("SELECT setval(pg_get_serial_sequence('outbox', 'seq'), 10000)"))
    return sql_store


def _message(number: int, version: Version) -> Message:
    named = replace(s.message(f"m{number}", number), model=version.model, version=version.version)
    return replace(named, incident_id=f"i{number}")


def _deliver(connection: Any, number: int, *, over: bool) -> None:
    for channel in ("log", "ops"):
        row = new_delivery(number + 1, channel, "fraud-scorer/1", s.at(number), s.at(number))
        if over:
            row |= {"status": DeliveryStatus.DELIVERED.value, "delivered_us": s.at(number)}
        connection.execute(insert(deliveries).values(row))


def _told(message: Message, number: int, *, over: bool) -> Told:
    return Told(
        fingerprint=f"{number:016x}",
        model=message.model,
        version=message.version,
        incident_id=message.incident_id,
        group_key=f"incident/{message.incident_id}",
        severity=Severity.LOW,
        labels={"alertname": "A"},
        annotations={},
        starts_us=message.created_us,
        ends_us=Micros(message.created_us + 1) if over else None,
        channels=frozenset({"ops"}),
    )


@contextmanager
def caught(store: Store) -> Iterator[list[Statement]]:
    """Give the list of what is sent meanwhile."""
    engines: tuple[Engine, ...] = (store._database._reader, store._database._writer)
    found: list[Statement] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_more: object) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            found.append((statement, parameters))

    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


def looked_through(url: str, statements: list[Statement]) -> dict[str, str]:
    """Return the plans that look at every row of a table that grows, by statement."""
    engine = create_engine(parse_url(url))
    found: dict[str, str] = {}
    with engine.connect() as connection:
        for statement, parameters in statements:
            if engine.dialect.name == "sqlite":
                plan = [
                    str(row[-1]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                ]
                whole = {line.split()[1] for line in plan if line.startswith("SCAN") and not line.endswith(FEW)}
            else:
                # Of so few rows all are soon seen: what goes through them is left to those that no index can spare it.
                for way in ("seqscan", "hashjoin", "mergejoin"):
                    connection.exec_driver_sql(f"SET enable_{way} = off")
                plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
                whole = set(_unconditional(plan[0]["Plan"]))
            if whole & GROWING:
                found[statement] = str(plan)
    engine.dispose()
    return found


def _unconditional(node: dict[str, Any], table: str = "") -> Iterator[str]:
    """Yield the tables that a plan of PostgreSQL goes through from one end to the other, by an index or without one."""
    table = node.get("Relation Name", table)
    goes = node["Node Type"] in {"Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Index Scan"}
    if goes and "Index Cond" not in node and node.get("Index Name") not in FEW:
        yield table
    for part in node.get("Plans", ()):
        yield from _unconditional(part, table)


def _route(store: Store) -> None:
    def decide(message: Message, known: object, _owner: str, now_us: Micros) -> Routed:
        assert known
        return Routed(payload="{}", severity=message.severity, told=(), deliveries={"log": now_us, "ops": now_us})

    version = s.at(ROWS)
    named = replace(s.message("new", ROWS), model="fraud-scorer", version="2026-11-02", incident_id="i7")
    with store.control.write() as tx:
        tx.add_message(named)
    assert store.outbox.route(decide, 64, version) == 1


def _claim_and_conclude(store: Store) -> None:
    def ended(state: ChannelState) -> Conclusion:
        after = succeeded(state, s.at(ROWS))
        return Conclusion(
            status=DeliveryStatus.DELIVERED, attempts=1, next_us=s.at(ROWS), detail="", channel=after, wake=True
        )

    claimed = store.outbox.claim("me", {"log": 4, "ops": 4}, s.at(ROWS), 1_000_000)
    assert [one.seq for one in claimed] == [1, 1], "of one version the first message alone"
    assert store.outbox.conclude(claimed[0], "me", ended)
    store.outbox.release("me")


def _sweep(store: Store) -> None:
    late = Micros(s.T0 + YEAR_US)
    assert store.outbox.expire(("log", "ops"), s.T0, late, late) == []
    assert store.outbox.expire(("log", "ops"), late, late, late)


def _repeat(store: Store) -> None:
    assert len(store.outbox.firing("ops", s.at(ROWS), 100)) >= ROWS // 50
    store.outbox.resend_due("ops", s.at(ROWS), 1)


def _people_at_notifications(store: Store) -> None:
    assert store.desk.backlog(s.at(ROWS)).channels["ops"].pending == ROWS // 50
    for status in DeliveryStatus:
        store.desk.deliveries(status=status, channel="ops", message_id=None, limit=10)
        store.desk.deliveries(status=status, channel=None, message_id=None, limit=10)
    assert store.desk.deliveries(status=None, channel=None, message_id="m7", limit=10)
    store.desk.replay(s.ANNA, None, "ops", s.at(ROWS), 10)


def _incident_lists(store: Store) -> None:
    version = store.read.version("fraud-scorer", "2026-11-02")
    assert version is not None
    for status in IncidentStatus:
        store.read.incidents(version_id=None, status=status.value, limit=10)
        store.read.incidents(version_id=version.id, status=status.value, limit=10)
    store.read.alerts(version_id=None, status="open", limit=10)
    store.read.alerts(version_id=version.id, status="closed", limit=10)
    store.read.timeline("i7")
    store.read.alerts_of("i7", 10)
    store.incidents.since(s.at(ROWS - 5), 10)
    store.incidents.links("i0")
    store.looking.incidents_within(version.id, s.at(3), s.at(9), 10)
    assert [one.incidents for one in store.looking.unresolved()] == [ROWS // 50]
    assert store.pages.incidents(IncidentsWanted(versions=frozenset({version.id})), 10, 0).total == ROWS


def _worker(store: Store) -> None:
    """Ask what the worker asks when it begins, and when an incident is new."""
    unresolved = store.worker("w", 10.0, ManualClock()).control().unresolved
    assert len(unresolved) == ROWS // 50 + ROWS // 10, "with the causes of those that were merged"
    incident = store.read.incident("i7")
    assert incident is not None
    with store._database.write() as connection:
        assert _over_since(connection, incident, [""], s.at(0))
    bearing = store.incidents.bearing(replace(s.message(), model="fraud-scorer", incident_id="i7"))
    assert bearing.over_us is not None


def _merge(store: Store) -> None:
    with store.incidents.write() as tx:
        tx.move_alerts("i50", "i0")
        assert tx.open_alerts("i0") == []


WHATEVER_THE_FIGURES = (_route, _claim_and_conclude, _repeat, _worker, _merge)
"""What PostgreSQL must look up however few rows there are; lists it may rather read in their order to the end."""


@pytest.mark.parametrize(
    "ask",
    [*WHATEVER_THE_FIGURES, _sweep, _people_at_notifications, _incident_lists],
    ids=lambda ask: ask.__name__.lstrip("_"),
)
def test_no_question_looks_at_every_row(filled: Store, store_url: str, ask: Callable[[Store], None]) -> None:
    if ask not in WHATEVER_THE_FIGURES and not store_url.startswith("sqlite"):
        ask(filled)
        return
    with caught(filled) as statements:
        ask(filled)
    assert statements
    plans = looked_through(store_url, statements)
    assert plans == {}, "\n\n".join(f"{statement}\n{plan}" for statement, plan in plans.items())


def test_the_test_sees_when_an_index_is_missing(filled: Store, store_url: str) -> None:
    with filled._database.write() as connection:
        for name in ("group_key", "ends_us"):
            connection.execute(text(f"DROP INDEX ix_told_{name}"))
    with caught(filled) as statements:
        _route(filled)
    assert len(looked_through(store_url, statements)) == 1

"""Migrations go up, down and up again, and a store that does not fit is refused: on SQLite and PostgreSQL."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import IntegrityError

from service.domain.ids import Position
from service.domain.policy import Cause
from service.domain.records import AnswerBlock
from service.domain.states import State
from service.ports import Outcome
from service.store import StoreRefused, open_store
from service.store import migrate as m
from service.store.engine import parse_url
from service.store.tables import metadata
from tests.fakes import ManualClock
from tests.integration.store import samples as s

NEXT = '''
"""A migration of the future."""
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "0020"

def upgrade() -> None:
    with op.batch_alter_table("models") as models:
        models.add_column(sa.Column("colour", sa.Text(), nullable=True))

def downgrade() -> None:
    with op.batch_alter_table("models") as models:
        models.drop_column("colour")
'''


@pytest.fixture
def future(tmp_path: Path) -> Path:
    """Return the migrations of a version that knows one more."""
    folder = tmp_path / "migrations"
    shutil.copytree(m.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "9999_colour.py").write_text(NEXT)
    return folder


def test_migrations_go_up_and_down_and_up_again(empty_url: str) -> None:
    assert m.status(empty_url) is m.SchemaStatus.EMPTY
    for _ in range(2):
        m.upgrade(empty_url)
        assert m.status(empty_url) is m.SchemaStatus.CURRENT
        m.differences(empty_url)
        m.downgrade(empty_url, "base")
        assert m.status(empty_url) is m.SchemaStatus.EMPTY
    with m._connected(parse_url(empty_url)) as connection:
        assert not set(metadata.tables) & set(inspect(connection).get_table_names())


def test_a_quarantine_that_stands_is_watched_after_the_migration(empty_url: str) -> None:
    m.upgrade(empty_url)
    with closing(open_store(empty_url, timeout_seconds=5.0)) as store, store.control.write() as tx:
        held = s.registered(tx, "held", State.QUARANTINED)
        s.registered(tx, "free", State.ACTIVE)
    m.downgrade(empty_url, "0005")
    m.upgrade(empty_url)
    with closing(open_store(empty_url, timeout_seconds=5.0)) as store:
        (one,) = store.enforcements.latest()
        assert (one.version_id, one.lock, one.enforced_us, one.ended_us) == (held.id, held.lock, None, None)


def test_alerts_about_traffic_need_the_newer_schema_and_the_others_survive_both_ways(
    empty_url: str, clock: ManualClock
) -> None:
    m.upgrade(empty_url)
    with closing(open_store(empty_url, timeout_seconds=5.0)) as store:
        with store.control.write() as tx:
            version = s.registered(tx)
        worker = store.worker("w", 10.0, clock)
        incidents = [s.incident(version, "i1"), s.incident(version, "i2", Cause.STALE)]
        alerts = [s.alert(incidents[0], "a1"), s.alert(incidents[1], "a2")]
        outcome = Outcome(first=worker.position(), last=Position(5), revision=worker.revision())
        worker.commit(replace(outcome, incidents=incidents, alerts=alerts))
    m.downgrade(empty_url, "0002")
    m.upgrade(empty_url)
    with closing(open_store(empty_url, timeout_seconds=5.0)) as store:
        assert [incident.id for incident in store.read.incidents(version_id=None, status=None, limit=9)] == ["i1"]
        assert [alert.id for alert in store.read.alerts(version_id=None, status=None, limit=9)] == ["a1"]
        assert [item.kind for item in store.read.timeline("i1")] == ["opened"]
        again = store.worker("v", 10.0, clock)
        clock.advance(60)
        outcome = Outcome(first=again.position(), last=Position(6), revision=again.revision())
        second = replace(alerts[0], id="a3")
        with pytest.raises(IntegrityError):
            again.commit(replace(outcome, alerts=[second]))


def test_alerts_about_wrong_answers_are_told_under_another_cause_by_an_older_schema(
    empty_url: str, clock: ManualClock
) -> None:
    m.upgrade(empty_url)
    with closing(open_store(empty_url, timeout_seconds=5.0)) as store:
        with store.control.write() as tx:
            version = s.registered(tx)
        worker = store.worker("w", 10.0, clock)
        incidents = [s.incident(version, "i1", Cause.PREDICTION_DRIFT), s.incident(version, "i2", Cause.PERFORMANCE)]
        alerts = [s.alert(incidents[0], "a1"), s.alert(incidents[1], "a2")]
        outcome = Outcome(first=worker.position(), last=Position(5), revision=worker.revision())
        kept = replace(s.snapshot(version, 5), answers=(AnswerBlock(number=0, content=b"x"),))
        worker.commit(replace(outcome, incidents=incidents, alerts=alerts, snapshots=[kept]))
    m.downgrade(empty_url, "0016")
    m.upgrade(empty_url)
    with closing(open_store(empty_url, timeout_seconds=5.0)) as store:
        found = store.read.alerts(version_id=None, status="open", limit=9)
        assert {alert.id: alert.cause for alert in found} == dict.fromkeys(("a1", "a2"), Cause.PREDICTION_DRIFT)
        assert {one.cause for one in store.read.incidents(version_id=None, status=None, limit=9)} == {
            Cause.PREDICTION_DRIFT
        }


def test_opening_an_empty_store_gives_it_its_tables(empty_url: str) -> None:
    store = open_store(empty_url, timeout_seconds=5.0)
    assert store.read.revision() == 0
    assert store.worker("w", 10.0, ManualClock()).position() == 0
    store.close()


def test_several_processes_may_open_an_empty_store_at_once(empty_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(m.make_ready, [empty_url] * 4))
    assert m.status(empty_url) is m.SchemaStatus.CURRENT


def test_an_older_store_is_refused_until_it_is_migrated(
    empty_url: str, future: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    m.upgrade(empty_url)
    monkeypatch.setattr(m, "MIGRATIONS", future)
    assert m.status(empty_url) is m.SchemaStatus.OLDER
    with pytest.raises(StoreRefused, match="lazaretto migrate"):
        open_store(empty_url, timeout_seconds=5.0)
    m.upgrade(empty_url)
    assert m.status(empty_url) is m.SchemaStatus.CURRENT


def test_a_newer_store_is_refused(empty_url: str, future: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(m, "MIGRATIONS", future)
        m.upgrade(empty_url)
    assert m.status(empty_url) is m.SchemaStatus.NEWER
    with pytest.raises(StoreRefused, match="newer"):
        open_store(empty_url, timeout_seconds=5.0)
    with pytest.raises(StoreRefused, match="newer"):
        m.upgrade(empty_url)


def test_a_failed_migration_leaves_the_store_as_it_was(
    empty_url: str, future: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    m.upgrade(empty_url)
    script = future / "versions" / "9999_colour.py"
    script.write_text(NEXT.replace("def downgrade", "    raise ArithmeticError\n\ndef downgrade"))
    with monkeypatch.context() as patched:
        patched.setattr(m, "MIGRATIONS", future)
        with pytest.raises(ArithmeticError):
            m.upgrade(empty_url)
    assert m.status(empty_url) is m.SchemaStatus.CURRENT
    m.differences(empty_url)


def test_a_database_of_another_program_is_refused(empty_url: str) -> None:
    if empty_url.startswith("sqlite"):
        Path(empty_url.removeprefix("sqlite:///")).parent.mkdir()
    with m._connected(parse_url(empty_url)) as connection:
        connection.execute(text("CREATE TABLE models (id integer)"))
        connection.commit()
    with pytest.raises(StoreRefused, match="another program: models"):
        open_store(empty_url, timeout_seconds=5.0)


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "sqlite:///:memory:"])
def test_a_store_that_cannot_be_one_is_refused(url: str) -> None:
    with pytest.raises(StoreRefused):
        open_store(url, timeout_seconds=5.0)


def test_missing_migration_scripts_are_named(empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    m.upgrade(empty_url)
    monkeypatch.setattr(m, "MIGRATIONS", tmp_path / "gone")
    with pytest.raises(StoreRefused, match="gone"):
        open_store(empty_url, timeout_seconds=5.0)


def test_messages_of_before_keep_their_channel_and_their_fate_there_and_back(empty_url: str) -> None:
    m.upgrade(empty_url)
    m.downgrade(empty_url, "0005")
    engine = create_engine(parse_url(empty_url))
    row = "INSERT INTO outbox VALUES ('{}', '{}', 'alert_opened', '{{}}', '{}', {}, {}, NULL, {}, '')"
    with engine.begin() as connection:
        connection.execute(text(row.format("m1", "log", "delivered", 10, 0, 11)))
        connection.execute(text(row.format("m2", "webhook", "pending", 10, 2, "NULL")))
        connection.execute(text(row.format("m3", "webhook", "dead", 9, 9, "NULL")))
    m.upgrade(empty_url)
    with engine.begin() as connection:
        rows = connection.execute(
            text(
                "SELECT o.id, d.channel, d.status, d.attempts, d.next_us FROM deliveries d"
                " JOIN outbox o ON o.seq = d.seq ORDER BY o.seq"
            )
        ).all()
        waiting = connection.execute(text("SELECT COUNT(*) FROM outbox WHERE routed_us IS NULL")).scalar_one()
    assert [tuple(one) for one in rows] == [
        ("m3", "webhook", "dead", 9, 9),
        ("m1", "log", "delivered", 0, 10),
        ("m2", "webhook", "pending", 2, 10),
    ]
    assert waiting == 0
    m.downgrade(empty_url, "0005")
    with engine.begin() as connection:
        back = connection.execute(text("SELECT id, channel, status, attempts FROM outbox ORDER BY id")).all()
    assert [tuple(one) for one in back] == [
        ("m1", "log", "delivered", 0),
        ("m2", "webhook", "pending", 2),
        ("m3", "webhook", "dead", 9),
    ]
    engine.dispose()
    m.upgrade(empty_url)

"""What alert quality is counted from: the same incidents as ever, and hours of watching without reading their rows."""

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import create_engine, text

from service.domain.ids import Micros, Position
from service.domain.incidents import Link, LinkKind
from service.domain.policy import Budget
from service.domain.records import IncidentStatus, Verdict
from service.ports import Outcome
from service.store import Store, judged, open_store
from service.store.judged import Watched, _hours
from tests.fakes import ManualClock
from tests.integration.store import samples as s

HOUR_US = 3_600_000_000
FIRST = Micros(s.T0 // HOUR_US * HOUR_US)


def stocked(store: Store, hours: int = 30) -> None:
    """Give two models hours with and without events, and incidents, one of them part of another."""
    with store.control.write() as tx:
        first, second = s.registered(tx), s.registered(tx, "other")
        tx.add_baseline(s.baseline(first))
    worker = store.worker("w", 1_000.0, ManualClock())
    windows = [s.window(first, "1h", FIRST + n * HOUR_US, events=0 if n % 3 == 0 else 5) for n in range(hours)]
    windows += [s.window(first, "1m", FIRST + n * 60_000_000) for n in range(30)]
    base = s.incident(first)
    over: dict[str, Any] = {"status": IncidentStatus.RESOLVED, "resolved_us": s.at(900), "verdict": Verdict.DATA_BUG}
    incidents = [
        replace(base, id="a", opened_us=s.at(10)),
        replace(base, id="b", opened_us=s.at(20), **over),
        replace(base, id="part", opened_us=s.at(30)),
        replace(base, id="other", version_id=second.id, model=second.model, opened_us=s.at(5)),
    ]
    position = worker.position()
    outcome = Outcome(first=position, last=Position(position + 1), revision=worker.revision(), incidents=incidents)
    worker.commit(replace(outcome, windows=windows))
    worker.close()
    with store.incidents.write() as tx:
        tx.link(Link(incident_id="part", kind=LinkKind.MERGED, other_id="a", at_us=s.at(40)))


def test_what_is_judged_are_the_incidents_that_are_counted(sql_store: Store) -> None:
    stocked(sql_store)
    for since in (0, 10, 15):
        whole, light = sql_store.incidents.since(s.at(since), 9), sql_store.incidents.judged(s.at(since), 9)
        assert [(one.model, one.cause, one.verdict, one.opened_us, one.resolved_us) for one in whole] == [
            (one.model, one.cause, one.verdict, one.opened_us, one.resolved_us) for one in light
        ]
    assert len(sql_store.incidents.judged(s.at(0), 9)) == 3
    assert len(sql_store.incidents.judged(s.at(0), 2)) == 2


def test_a_limit_is_of_the_models_that_are_asked_about(sql_store: Store) -> None:
    stocked(sql_store)

    def found(limit: int, *models: str) -> list[tuple[str, int]]:
        return [(one.model, one.opened_us) for one in sql_store.incidents.judged(s.at(0), limit, models)]

    assert found(1, "other") == [("other", s.at(5))], "two newer ones are of another model"
    assert found(9, "fraud-scorer") == [("fraud-scorer", s.at(20)), ("fraud-scorer", s.at(10))]
    assert found(2, "fraud-scorer", "other", "no such") == found(2, "fraud-scorer")
    assert found(9) == found(9, "no such") == []


def test_hours_with_events_count_from_the_first_whole_hour_on(sql_store: Store) -> None:
    stocked(sql_store)
    (whole,) = sql_store.incidents.exposures(Micros(0))
    assert (whole.model, whole.hours) == ("fraud-scorer", 20)
    assert [one.hours for one in sql_store.incidents.exposures(Micros(FIRST + 15 * HOUR_US))] == [10]
    assert [one.hours for one in sql_store.incidents.exposures(Micros(FIRST + 16 * HOUR_US + 1))] == [9]
    assert sql_store.incidents.exposures(Micros(FIRST + 99 * HOUR_US)) == []


def test_a_count_stands_for_a_while_and_a_policy_does_not(sql_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    stocked(sql_store)
    now = 0.0
    monkeypatch.setattr("service.store.judged.time.monotonic", lambda: now)
    watched = Watched(sql_store.incidents._database)
    assert [one.hours for one in watched.since(FIRST)] == [20]
    with sql_store.control.write() as tx:
        owner = tx.model("fraud-scorer")
        assert owner is not None
        tx.set_policy(owner.id, msgspec.structs.replace(owner.policy, budget=Budget(per_days=7.0)))
    worker = sql_store.worker("w", 1_000.0, ManualClock())
    version = sql_store.read.version("fraud-scorer", "2026-11-02")
    assert version is not None
    position = worker.position()
    more = [s.window(version, "1h", FIRST + 40 * HOUR_US)]
    worker.commit(Outcome(first=position, last=Position(position + 1), revision=worker.revision(), windows=more))
    worker.close()
    (again,) = watched.since(Micros(FIRST - 5))
    assert (again.hours, again.policy.budget.per_days) == (20, 7.0)
    now = judged.KEPT_SECONDS
    assert [one.hours for one in watched.since(FIRST)] == [21]
    for number in range(3 * judged.KEPT_MAX):
        watched.since(Micros(FIRST + number * HOUR_US))
    assert len(watched._known) <= judged.KEPT_MAX


def test_counting_hours_reads_an_index_and_no_rows(sqlite_template: Path, tmp_path: Path) -> None:
    store_url = f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'state.db')}"
    with closing(open_store(store_url, timeout_seconds=5.0)) as store:
        stocked(store)
    engine = create_engine(store_url)
    with engine.connect() as connection:
        wanted = str(_hours(FIRST).compile(engine, compile_kwargs={"literal_binds": True}))
        plan = [row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {wanted}"))]
    engine.dispose()
    assert [line for line in plan if "windows" in line] == [
        "SEARCH windows USING COVERING INDEX ix_windows_watched (version_id=? AND start_us>?)"
    ]

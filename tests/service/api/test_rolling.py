"""The status over a rolling window of choice."""

from dataclasses import replace

import numpy as np
import pytest

from service.api.rolling import columns_over
from service.api.status import Moment, Status, status_of
from service.api.views import iso
from service.api.watch import NO_EFFECTS, NO_INTERVALS
from service.detect.baselines import describe, sized
from service.detect.windows import ROLLING, WIDTHS
from service.domain.ids import Micros, Position
from tests.service.console.seeding import MINUTE_US, Fleet, busy_fleet


def status(fleet: Fleet, window: str, model: str = "digits", version: str = "1") -> Status:
    read = fleet.store.read
    found, owner = read.version(model, version), read.model(model)
    assert found is not None
    assert owner is not None
    snapshot, over = columns_over(read, found, window)
    moment = Moment(now_us=fleet.clock.now_us(), stale_seconds=300.0, lag_seconds=0.0)
    return status_of(found, owner.policy, snapshot, moment, over=over)


@pytest.mark.parametrize("window", list(ROLLING))
def test_effects_and_intervals_are_those_of_the_events_in_the_window(window: str) -> None:
    fleet = busy_fleet()
    answer = status(fleet, window)
    assert (answer.window, list(answer.windows)) == (window, ["1m", "5m", "1h", "1d"])
    level, earlier = ROLLING[window]
    end_us = fleet.clock.now_us()
    first_us = end_us // WIDTHS[level] * WIDTHS[level] - earlier * WIDTHS[level]
    extent = answer.windows[window]
    assert (extent.start, extent.end) == (iso(Micros(first_us)), iso(end_us))
    # 45 minutes with 300 events each: the newest one ends now.
    minutes = min(45, {"1m": 2, "5m": 6, "1h": 61, "1d": 1_500}[window])
    assert extent.events == 300 * minutes
    (baseline,) = [b for b in fleet.store.tables.baselines if b.id == answer.baseline_id]
    rows = [w for (_, own, _), w in fleet.store.tables.windows.items() if own == "1m" and w.baseline_id == baseline.id]
    counts = np.sum([np.frombuffer(row.counts, np.int64) for row in rows[-minutes:]], axis=0)
    effects, intervals = sized(describe(baseline.artefact).baseline, counts)
    by_name = {column.name: column for column in answer.columns}
    for name, own, limits in zip(baseline.columns, effects, intervals, strict=True):
        assert (by_name[name].effects, by_name[name].intervals) == (own, limits)


def test_a_short_window_shows_a_late_change_larger_than_a_long_one() -> None:
    fleet = busy_fleet()
    psi = [status(fleet, window).columns[0].effects["psi"] or 0.0 for window in ("1m", "5m", "1h")]
    assert psi == sorted(psi, reverse=True)
    assert psi[0] > 3 * psi[2]


def test_the_hour_comes_from_the_snapshot_and_reads_no_rows() -> None:
    fleet = busy_fleet()
    fleet.store.tables.windows.clear()
    assert status(fleet, "1h").columns[0].effects["psi"] is not None


@pytest.mark.parametrize("version", ["2026-08-01", "7"])
def test_without_a_baseline_there_are_no_effects(version: str) -> None:
    answer = status(busy_fleet(), "5m", "churn" if version == "7" else "fraud-scorer", version)
    assert (answer.window, answer.windows) == ("5m", {})
    assert all((c.effects, c.intervals) == (NO_EFFECTS, NO_INTERVALS) for c in answer.columns)


def test_until_the_worker_has_seen_a_new_baseline_there_are_no_effects_over_it() -> None:
    fleet = busy_fleet()
    tables = fleet.store.tables
    (put,) = [b for b in tables.baselines if b.version_id == 1]
    tables.baselines.append(replace(put, id="b-new", from_position=Position(99)))
    tables.versions[put.version_id] = replace(tables.versions[put.version_id], baseline_id="b-new")
    answer = status(fleet, "1m")
    assert all(c.effects == NO_EFFECTS for c in answer.columns)
    assert answer.evidence_log10 is not None


def test_a_window_is_counted_in_minutes_and_hours() -> None:
    assert {window: WIDTHS[level] * number for window, (level, number) in ROLLING.items()} == {
        "1m": MINUTE_US,
        "5m": 5 * MINUTE_US,
        "1h": 60 * MINUTE_US,
        "1d": 1_440 * MINUTE_US,
    }

"""What knowing the hour is worth: delays with a seasonal profile and without; and how often one is chosen in vain.

Run ``python -m bench.detection_season``, or with ``--null 500``. One row every five minutes, a season of a day, noise
with deviation 1.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.detection.engine import first_alarms
from bench.detection.streams import DAY_ROWS, DAY_US, Floats, Table, autoregressive, specs
from detectors.baseline import Baseline, compile_baseline
from detectors.baseline.season import calendar_of, chosen
from detectors.evidence import EvidenceEngine

PROMISE = 1e4
QUIET = 2 * DAY_ROWS
ROWS = 30 * DAY_ROWS
DAYS = 70
COLUMNS = 5
NULL_DAYS = 30
HELD = {"half a day": 150, "a day": 288, "five days": 1440}


@dataclass(frozen=True, kw_only=True)
class Change:
    """What happens to the level of the first column, given the place of rows and the size of the season."""

    name: str
    level: Callable[[NDArray[np.int64], float], Floats]


def season(rows: NDArray[np.int64], size: float) -> Floats:
    """Return the level that the hour of the day gives: low at midnight."""
    return np.asarray(-size * np.cos(2 * np.pi * rows / DAY_ROWS))


def _at_night(rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    return (rows % DAY_ROWS < DAY_ROWS // 4) | (rows % DAY_ROWS >= DAY_ROWS * 5 // 6)


CHANGES = (
    Change(name="mean + 0.5 at all hours", level=lambda rows, size: season(rows, size) + 0.5),
    Change(name="mean + 1 at all hours", level=lambda rows, size: season(rows, size) + 1.0),
    Change(name="mean + 1 from 20 to 6 o'clock", level=lambda rows, size: season(rows, size) + _at_night(rows)),
    Change(name="the season six hours later", level=lambda rows, size: season(rows - DAY_ROWS // 4, size)),
    Change(name="the season gone, same mean", level=lambda rows, size: 0.0 * season(rows, size)),
)


def made(rng: np.random.Generator, rows: NDArray[np.int64], size: float) -> Table:
    """Return columns with a season, and one in five without."""
    return {f"x{j}": (j < COLUMNS - 1) * season(rows, size) + rng.normal(size=len(rows)) for j in range(COLUMNS)}


def baselines(size: float) -> tuple[Baseline, Baseline]:
    """Compile a reference with its times and without."""
    rows = np.arange(DAYS * DAY_ROWS)
    table = specs(made(np.random.default_rng(0), rows, size))
    return compile_baseline(table, times=rows * (DAY_US // DAY_ROWS)).baseline, compile_baseline(table).baseline


def delays(engine: EvidenceEngine, change: Change, size: float, runs: int) -> list[float]:
    """Return after how many rows each run alarmed; infinite for one that did not within 28 days."""
    found = []
    for run in range(runs):
        rng = np.random.default_rng([run, 1])
        rows = DAYS * DAY_ROWS + np.arange(ROWS)
        stream = made(rng, rows, size)
        level = np.where(np.arange(ROWS) < QUIET, season(rows, size), change.level(rows, size))
        stream["x0"] = np.asarray(stream["x0"]) - season(rows, size) + level
        (row,) = first_alarms(engine, stream, [PROMISE], rows * (DAY_US // DAY_ROWS))
        found.append(math.inf if row is None or row < QUIET else row + 1.0 - QUIET)
    return found


def without_season(rng: np.random.Generator, kind: str, bins: int) -> NDArray[np.int64]:
    """Return the bins of a column that follows no hours."""
    rows = NULL_DAYS * DAY_ROWS
    if kind in HELD:
        values = np.repeat(rng.normal(size=rows // HELD[kind] + 1), HELD[kind])[:rows]
    else:
        values = autoregressive(rng, rows, float(kind))
    return np.searchsorted(np.quantile(values, np.linspace(0.0, 1.0, bins + 1)[1:-1]), values)


def profiles_without_season(columns: int) -> None:
    """Print how many columns without a season get a profile."""
    calendar = calendar_of(np.arange(NULL_DAYS * DAY_ROWS) * (DAY_US // DAY_ROWS))
    if calendar is None:
        raise ValueError("the span is too short")
    for kind in ("0", "0.95", "0.999", *HELD):
        for bins in (2, 3, 32):
            rng = np.random.default_rng([bins, len(kind)])
            found = sum(chosen(without_season(rng, kind, bins), bins, calendar)[0] > 0 for _ in range(columns))
            what = f"held for {kind}" if kind in HELD else f"autoregression {kind}"
            print(f"{what}, {bins} bins: {found} of {columns} columns without a season got a profile", flush=True)


def main() -> None:
    """Print the table, or with ``--null`` how often a profile is chosen without a season."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--null", type=int, default=0, help="so many columns without a season of each kind")
    given = parser.parse_args()
    if given.null:
        profiles_without_season(given.null)
        return
    runs = given.runs
    print(f"| change of one column among {COLUMNS} | season | with a profile | without |\n|---|---|---|---|")
    for size in (1.0, 3.0):
        engines = [EvidenceEngine(baseline, seasons_bytes=100_000_000) for baseline in baselines(size)]
        for change in CHANGES:
            medians = [float(np.median(delays(engine, change, size, runs))) for engine in engines]
            told = " | ".join(f"{m:,.0f}" if math.isfinite(m) else "not in 28 days" for m in medians)
            print(f"| {change.name} | {size:g} | {told} |", flush=True)


if __name__ == "__main__":
    main()

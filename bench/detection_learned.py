"""What the bet that learns which way an embedding moves is worth, beside fixed directions and other ways to learn.

Run ``python -m bench.detection_learned``. Components are normal; from some row on their mean lies elsewhere, along a
random line. One row a tick, A = 10^4; every bet has the share of the budget that fixed directions have in the engine.

* *engine*: as it is, with its learned line, four other columns and all that it pays for: tolerance, standard errors,
  other scores.
* *fixed*: the same without the learned line.
* *told*: learns the mean from past rows, and is told what nobody knows: that rows are normal with unit covariance, and
  that the reference has no error. Not honest: what a learned bet could reach at most.
* *bounded*: the same, divided by the largest mean that its odds can have while the mean along any line stays within the
  tolerance and the variance within the error of the reference. The worst distribution has two points (Bennett). Its
  odds are cut off along a line that changes from row to row, so it needs rows, where the engine's needs sums.
"""

import argparse
import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.detection.engine import MINIMUM_EFFECT, engine_of, first_alarms
from bench.detection.joint import components_of
from bench.detection.streams import Floats, Table
from detectors.baseline import Baseline
from detectors.evidence import EvidenceEngine
from detectors.evidence.tilted import TILT_SHARE

PROMISE = 1e4
REFERENCE = 20_000
OTHERS = 4
QUIET = 300
WAITED_LIMITS, WAIT_MAX = 60.0, 2_000.0
"""How long it is waited for an alarm: so many limits, at most so many rows."""
DIRECTION = "score.direction.embedding"
STANDARD_ERRORS = 3.0
SIZES = (0.25, 0.5, 0.75, 1.0)
"""Of the learned mean, the share that a bounded bet stakes: the best one for what it has learned."""
CLIPS = (2.0, 3.0)
"""A bounded bet takes rows that lie further along its line, in deviations, for so many."""


@dataclass(frozen=True, kw_only=True)
class Learner:
    """How cautiously it learns."""

    prior: float
    """So many rows without a change are mixed in."""
    kept: float
    """A past row weighs 1/e after so many rows."""


LEARNERS = tuple(Learner(prior=prior, kept=kept) for prior in (10.0, 30.0, 100.0) for kept in (100.0, 300.0))


def tolerance(dimensions: int) -> float:
    """Return how far the mean along the worst line may be off, in deviations: minimum effect or standard errors."""
    level = stats.norm.cdf(STANDARD_ERRORS)
    return max(MINIMUM_EFFECT, math.sqrt(stats.chi2.ppf(level, dimensions) / REFERENCE))


def variance_error(dimensions: int) -> float:
    """Return how large the variance along the worst line may be, where the reference says 1."""
    return float((1.0 + math.sqrt(dimensions / REFERENCE) + STANDARD_ERRORS / math.sqrt(REFERENCE)) ** 2)


def bound(spread: Floats, clip: Floats | float, dimensions: int) -> Floats:
    """Return the logarithm of the largest mean of ``exp(min(y, clip))``.

    ``y`` has a mean of at most ``spread * tolerance`` and a deviation of at most ``spread`` and the reference's error.
    """
    off, variance = spread * tolerance(dimensions), spread**2 * variance_error(dimensions)
    room = np.maximum(clip - off, 1e-9)
    upper = variance / (variance + room**2)
    return np.asarray(off + np.log(upper * np.exp(room) + (1.0 - upper) * np.exp(-variance / room)))


def bounded_logs(means: Floats, along: Floats, dimensions: int) -> Floats:
    """Return the log bets of rows that lie at ``along``, shape (runs,), on the lines to ``means``, shape (runs, d)."""
    length = np.sqrt((means**2).sum(axis=1))
    best, chosen = np.zeros(len(means)), np.zeros((len(means), 2))
    for size in SIZES:
        for clip in CLIPS:
            spread = size * length
            growth = size * length**2 - bound(spread, clip * spread, dimensions)
            better = growth > best
            best[better] = growth[better]
            chosen[better] = size, clip
    spread = chosen[:, 0] * length
    logs = np.minimum(chosen[:, 0] * along, chosen[:, 1] * spread) - bound(spread, chosen[:, 1] * spread, dimensions)
    return np.where(best > 0.0, logs, 0.0)


def delays(rows: Floats, learner: Learner, threshold: float, *, told: bool) -> NDArray[np.int64]:
    """Return the row of the first alarm of each run, or the number of rows: ``rows`` has shape (n_rows, runs, d)."""
    _, runs, dimensions = rows.shape
    kept = math.exp(-1.0 / learner.kept)
    total, events = np.zeros((runs, dimensions)), 0.0
    log_sum = np.full(runs, -np.inf)
    found = np.full(runs, len(rows))
    for place, row in enumerate(rows):
        means = total / (events + learner.prior)
        along = (means * row).sum(axis=1)
        own = along - (means**2).sum(axis=1) / 2.0 if told else bounded_logs(means, along, dimensions)
        log_sum = np.logaddexp(log_sum, 0.0) + own
        found = np.where((found == len(rows)) & (log_sum >= math.log(threshold)), place, found)
        total, events = total * kept + row, events * kept + 1.0
    return found


def moved(rng: np.random.Generator, shape: tuple[int, int, int], size: float) -> Floats:
    """Return normal rows of several runs, moved after ``QUIET`` rows, each run along its own line."""
    found = rng.normal(size=shape)
    lines = rng.normal(size=shape[1:])
    found[QUIET:] += size * lines / np.sqrt((lines**2).sum(axis=1, keepdims=True))
    return found


def table_of(rng: np.random.Generator, vectors: Floats) -> Table:
    """Return an embedding beside columns that never change."""
    return {f"x{j}": rng.normal(size=len(vectors)) for j in range(OTHERS)} | components_of(vectors)


def without_line(baseline: Baseline) -> Baseline:
    """Return the baseline as it would be without learned lines."""
    return replace(baseline, spaces=tuple(replace(space, line=None) for space in baseline.spaces))


def row_of(dimensions: int, size: float, runs: int) -> str:
    """Return a row of the table, for one change."""
    limit = math.log(PROMISE) / (size**2 / 2.0)
    wait = round(min(WAITED_LIMITS * limit, WAIT_MAX))
    rng = np.random.default_rng([dimensions, round(100 * size)])
    streams = moved(rng, (QUIET + wait, runs, dimensions), size)
    engine = engine_of(table_of(rng, rng.normal(size=(REFERENCE, dimensions))))
    share = float(engine.shares[engine.baseline.index[DIRECTION]]) * TILT_SHARE
    tables = [table_of(rng, streams[:, run]) for run in range(runs)]
    parts = [f"{dimensions}", f"{size:g}", f"{limit:.0f}"]
    for each in (engine, EvidenceEngine(without_line(engine.baseline), engine.options)):
        first = [first_alarms(each, table, [PROMISE])[0] for table in tables]
        parts.append(_shown(np.array([QUIET + wait if at is None else at for at in first]), wait))
    for told in (True, False):
        every = [(delays(streams, learner, PROMISE / share, told=told), learner) for learner in LEARNERS]
        medians = [float(np.median(found)) for found, _ in every]
        found, learner = every[int(np.argmin(medians))]
        worst = every[int(np.argmax(medians))][0]
        parts.append(f"{_shown(found, wait)} to {_shown(worst, wait)} (best: {learner.prior:g}, {learner.kept:g})")
    return f"| {' | '.join(parts)} |"


def _shown(found: NDArray[np.int64], wait: int) -> str:
    after = found[found >= QUIET] - QUIET + 1
    median = float(np.median(after)) if len(after) else math.nan
    early = f", {len(found) - len(after)} early" if len(after) < len(found) else ""
    return f"> {wait:,}{early}" if median > wait else f"{median:,.0f}{early}"


def null_alarms(dimensions: int, runs: int, rows: int) -> dict[str, int]:
    """Return how many runs without a change alarm at A = 10^4, of each kind, with the learner in the middle."""
    streams = np.random.default_rng(dimensions).normal(size=(rows, runs, dimensions))
    middle = LEARNERS[len(LEARNERS) // 2]
    return {
        name: int((delays(streams, middle, PROMISE, told=told) < rows).sum())
        for name, told in (("told", True), ("bounded", False))
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dimensions", default="4,16,64,128")
    parser.add_argument("--sizes", default="1,0.5")
    parser.add_argument("--runs", type=int, default=21)
    given = parser.parse_args()
    print("| components | moved by | limit | engine | fixed | told, best to worst (prior, kept) | bounded |")
    print("|---|---|---|---|---|---|---|")
    for dimensions in map(int, given.dimensions.split(",")):
        for size in map(float, given.sizes.split(",")):
            print(row_of(dimensions, size, given.runs), flush=True)
    print("alarms of 21 runs of 5,000 rows without a change, 16 components:", null_alarms(16, 21, 5_000))


if __name__ == "__main__":
    main()

"""How soon another rate of events is seen, how often one is seen that is none, and what real counts give.

Run ``python -m bench.detection_traffic [DIRECTORY]``, where the directory holds ``changepoint/nab_series.parquet``.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyarrow import parquet

from detectors.traffic import TrafficMonitor, TrafficOptions

HOUR_US = 3_600_000_000
WEEK_US = 7 * 24 * HOUR_US
NULL_TICKS = 20_000
SEEDS = 6
NULL_A = 1e4
MONTH = 30 * 86_400.0
COUNTED = {"realKnownCause/nyc_taxi": 1_800, "realAWSCloudwatch/elb_request_count_8c0756": 300} | {
    f"realTweets/Twitter_volume_{name}": 300 for name in ("AAPL", "CRM", "FB", "IBM", "PFE")
}
"""Series that are counts of something that comes, and the seconds between their points."""
Stream = Callable[[np.random.Generator, int], NDArray[np.int64]]


def poisson(mean: float) -> Stream:
    """Return events that come independently of one another."""
    return lambda rng, ticks: rng.poisson(mean, ticks)


def bursts(rng: np.random.Generator, ticks: int) -> NDArray[np.int64]:
    """One tick in a hundred brings a batch of 200 on average."""
    return np.asarray(rng.poisson(1, ticks) + (rng.random(ticks) < 0.01) * rng.geometric(1 / 200, ticks))


def waves(coefficient: float, deviation: float) -> Stream:
    """Return traffic whose logarithmic rate is an autoregression."""

    def draw(rng: np.random.Generator, ticks: int) -> NDArray[np.int64]:
        level, levels = 0.0, np.empty(ticks)
        for i, noise in enumerate(rng.normal(0, deviation * math.sqrt(1 - coefficient**2), ticks)):
            level = coefficient * level + noise
            levels[i] = level
        return rng.poisson(20 * np.exp(levels))

    return draw


STREAMS: dict[str, Stream] = {
    "20 a tick, Poisson": poisson(20),
    "one in five ticks, Poisson": poisson(0.2),
    "bursts": bursts,
    "waves, 10 ticks long (AR 0.9, deviation 0.5)": waves(0.9, 0.5),
    "waves, 100 ticks long (AR 0.99, deviation 0.5)": waves(0.99, 0.5),
    "waves, 1,000 ticks long (AR 0.999, deviation 0.5)": waves(0.999, 0.5),
}


def alarms(monitor: TrafficMonitor, counts: NDArray[np.int64], threshold: float, first: int = 0) -> Iterator[int]:
    """Yield the ticks of alarms; after each one the evidence starts from zero."""
    for tick, count in enumerate(counts.tolist(), first):
        if count > 0:
            monitor.step(tick, [count])
        if monitor.log_model >= math.log(threshold):
            yield tick
            monitor.pause()


def null_table() -> None:
    """Print false alarms on traffic that does not change, an hour of seconds learnt."""
    print("| traffic | false alarms | allowed |\n|---|---|---|")
    for name, stream in STREAMS.items():
        found = 0
        for seed in range(SEEDS):
            monitor = TrafficMonitor(TrafficOptions(tick_us=1_000_000, learn_us=HOUR_US))
            found += len(list(alarms(monitor, stream(np.random.default_rng(seed), 3_600 + NULL_TICKS), NULL_A)))
        print(f"| {name} | {found} | {SEEDS * NULL_TICKS / NULL_A:.0f} |")


def delay_table() -> None:
    """Print the median ticks until another rate is seen, at one false alarm in 30 days of seconds and a tenth of it."""
    factors = (1.6, 2.0, 4.0, 0.6, 0.5, 0.25)
    print(
        "\n| traffic |" + "".join(f" x {factor:g} |" for factor in factors) + "\n" + "|---" * (1 + len(factors)) + "|"
    )
    for name in list(STREAMS)[:5]:
        row = []
        for factor in factors:
            delays = []
            for seed in range(SEEDS - 1):
                rng = np.random.default_rng(seed)
                usual, after = STREAMS[name](rng, 4_000), STREAMS[name](rng, 8_000)
                counts = np.concatenate([usual, rng.poisson(after * factor)])
                monitor = TrafficMonitor(TrafficOptions(tick_us=1_000_000, learn_us=HOUR_US))
                late = [tick - 4_000 for tick in alarms(monitor, counts, MONTH / 0.1) if tick >= 4_000]
                delays.append(late[0] if late else 8_000)
            middle = float(np.median(delays))
            row.append(f"{middle:.0f}" if middle < 8_000 else "> 8,000")
        print(f"| {name} | " + " | ".join(row) + " |")


def real_table(folder: Path) -> None:
    """Print alarms on real counts, their first week learnt, at one false alarm in 30 days and a tenth of it."""
    print("\n| series | points | alarms | hours of the day, tolerance |\n|---|---|---|---|")
    table = parquet.read_table(folder / "changepoint" / "nab_series.parquet").to_pydict()
    for name, seconds in COUNTED.items():
        rows = [i for i, series in enumerate(table["series"]) if series == name]
        monitor = TrafficMonitor(TrafficOptions(tick_us=seconds * 1_000_000, learn_us=WEEK_US))
        seen = []
        for i in rows:
            at = datetime.fromisoformat(str(table["timestamp"][i])).replace(tzinfo=UTC)
            tick = int(at.timestamp()) // seconds
            count = np.array([round(table["value"][i])])
            seen += [f"{at:%Y-%m-%d %H:%M} {monitor_says}" for monitor_says in _said(monitor, count, tick, seconds)]
        (usual,) = monitor.usual
        words = "no rate is usual" if usual is None else f"{len(usual.level) > 1}, {usual.ratio:.2f}"
        print(f"| {name} | {len(rows)} | {'; '.join(seen) or 'none'} | {words} |")


def _said(monitor: TrafficMonitor, count: NDArray[np.int64], tick: int, seconds: int) -> Iterator[str]:
    if count[0] > 0:
        monitor.step(tick, count.tolist())
    if monitor.log_model >= math.log(MONTH / seconds / 0.1):
        (moved,) = monitor.moved()
        yield f"({moved.direction}, {moved.times:.2g} times)"
        monitor.pause()


def cost() -> None:
    """Print what a tick and the end of a beat cost."""
    counts = np.random.default_rng(0).poisson(20, 3_620 + 40_000).tolist()
    for name, ticks in (("each tick is a beat", 1), ("300 ticks a beat", 300)):
        options = TrafficOptions(tick_us=1_000_000 if ticks == 1 else 3_333, learn_us=2_400_000_000)
        monitor = TrafficMonitor(options)
        for tick, count in enumerate(counts[:3_620]):
            monitor.step(tick, [count])
        started = time.perf_counter()
        for tick, count in enumerate(counts[3_620:], 3_620):
            monitor.step(tick, [count])
        spent = (time.perf_counter() - started) / 40_000
        print(f"{name}: {spent * 1e6:.1f} us a tick, learnt: {monitor.learnt}, {len(monitor.to_bytes())} bytes")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path)
    directory = parser.parse_args().directory
    cost()
    if directory is not None:
        real_table(directory)
    null_table()
    delay_table()


if __name__ == "__main__":
    main()

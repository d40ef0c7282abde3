"""False alarms: streams in which nothing changes. Reference and stream are one run of the same process."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bench.detection import engine
from bench.detection.peers import Peer
from bench.detection.results import NullCell, PeerNull
from bench.detection.streams import null_table, rows_of, times_of

PROMISE = 1e4
SEASON_NOTE = "the baseline knows the hour of the day of each row; 70 days of reference"


@dataclass(frozen=True, kw_only=True)
class NullCase:
    """One kind of stream."""

    stream: str
    columns: int
    reference: int
    rows: int
    seeds: int
    note: str = ""
    peers: bool = False
    """Whether the peers run on it."""


FULL = (
    NullCase(stream="independent", columns=1, reference=20_000, rows=150_000, seeds=4),
    NullCase(stream="independent", columns=20, reference=20_000, rows=125_000, seeds=4, peers=True),
    NullCase(stream="independent", columns=500, reference=20_000, rows=30_000, seeds=2),
    NullCase(stream="AR(1) 0.8", columns=20, reference=20_000, rows=80_000, seeds=4, peers=True),
    NullCase(stream="AR(1) 0.8", columns=20, reference=2_000, rows=40_000, seeds=4),
    NullCase(stream="sessions", columns=20, reference=20_000, rows=80_000, seeds=4, peers=True),
    NullCase(stream="daily season", columns=20, reference=20_160, rows=80_000, seeds=3, note=SEASON_NOTE, peers=True),
    NullCase(stream="independent", columns=20, reference=1_000, rows=50_000, seeds=6, peers=True),
)
QUICK = (
    NullCase(stream="independent", columns=20, reference=20_000, rows=20_000, seeds=2, peers=True),
    NullCase(stream="AR(1) 0.8", columns=20, reference=20_000, rows=20_000, seeds=2),
    NullCase(stream="sessions", columns=20, reference=20_000, rows=20_000, seeds=2),
    NullCase(stream="daily season", columns=20, reference=20_160, rows=20_000, seeds=1, note=SEASON_NOTE),
    NullCase(stream="independent", columns=20, reference=1_000, rows=20_000, seeds=2),
)


def title(case: NullCase) -> str:
    """Return how tables name a stream."""
    return f"{case.stream}, {case.reference:,} reference rows"


def measure(case: NullCase) -> NullCell:
    """Run the engine over all seeds of a stream."""
    start, alarms = time.perf_counter(), 0
    for seed in range(case.seeds):
        rng = np.random.default_rng([seed, case.columns, case.reference])
        table = null_table(case.stream, case.columns, rng, case.reference + case.rows)
        times = times_of(case.stream, case.reference + case.rows)
        before, after = (None, None) if times is None else (times[: case.reference], times[case.reference :])
        detector = engine.engine_of(rows_of(table, slice(0, case.reference)), times=before)
        alarms += len(engine.alarms(detector, rows_of(table, slice(case.reference, None)), PROMISE, after))
    return NullCell(
        stream=case.stream,
        columns=case.columns,
        reference=case.reference,
        promise=PROMISE,
        events=case.rows * case.seeds,
        alarms=alarms,
        seconds=time.perf_counter() - start,
        note=case.note,
    )


def measure_peers(case: NullCase, peers: list[Peer], say: Callable[[str], None]) -> Iterator[PeerNull]:
    """Run each peer, as it comes, on as many rows of the first seed as it can take."""
    rng = np.random.default_rng([0, case.columns, case.reference])
    table = null_table(case.stream, case.columns, rng, case.reference + case.rows)
    reference = rows_of(table, slice(0, case.reference))
    for peer in peers:
        rows = min(peer.effort.null_rows, case.rows)
        start = time.perf_counter()
        alarms = peer.alarms(reference, rows_of(table, slice(case.reference, case.reference + rows)))
        seconds = time.perf_counter() - start
        for setting, rows_alarmed in alarms.items():
            # Several columns that alarm at one row are one page.
            found = set(rows_alarmed)
            name = f"{peer.name}: {setting}"
            say(f"{title(case)}: {name}, {len(found)} in {rows:,} rows ({seconds:.0f} s)")
            yield PeerNull(peer=name, stream=title(case), columns=case.columns, events=rows, alarms=len(found))

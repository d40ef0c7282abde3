"""Real streams: the engine and the peers that are fast enough, each as it comes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from bench.detection import engine
from bench.detection.data import RealStream, real_streams
from bench.detection.peers import ENGINE, length
from bench.detection.results import RealCell
from bench.detection.roster import for_real_data

NAMED = 3
"""So many blamed columns are shown."""
APART = 1_000
"""Rows: alarms that follow each other within a window of the peers as they come are one page, whoever raises them."""


def pages(rows: Sequence[int]) -> int:
    """Return how many pages alarms at these rows, in order, are: one that soon follows another is no news."""
    return sum(row - before > APART for before, row in pairwise((-APART - 1, *rows)))


def score(stream: RealStream, detector: str, alarms: Sequence[int], blamed: str = "") -> RealCell:
    """Judge alarms, whose rows count from the end of the reference."""
    rows = sorted({row + stream.reference for row in alarms})
    total = length(stream.table)
    cell = RealCell(
        stream=stream.name,
        detector=detector,
        rows=total - stream.reference,
        change=stream.change,
        kind=stream.kind,
        false_alarms=0,
        quiet_rows=0,
        delay=None,
        blamed=blamed,
        tick_rows=stream.tick_rows,
    )
    if stream.kind == "change" and stream.change is not None:
        after = [row for row in rows if row >= stream.change]
        cell.false_alarms, cell.quiet_rows = len(rows) - len(after), stream.change - stream.reference
        cell.pages = pages(rows[: cell.false_alarms])
        cell.delay, cell.later = after[0] - stream.change + 1 if after else None, len(after)
    elif stream.kind == "windows":
        inside = [[row for row in rows if first <= row <= last] for first, last in stream.windows]
        cell.hits, cell.targets = sum(bool(found) for found in inside), len(inside)
        outside = sorted(set(rows) - {row for found in inside for row in found})
        cell.false_alarms, cell.pages = len(outside), pages(outside)
        cell.quiet_rows = cell.rows - sum(last - first + 1 for first, last in stream.windows)
    elif stream.kind == "none":
        cell.false_alarms, cell.quiet_rows, cell.pages = len(rows), cell.rows, pages(rows)
    else:
        cell.later = len(rows)
    return cell


def _first_blamed(stream: RealStream, found: Sequence[tuple[int, tuple[str, ...]]]) -> str:
    if len(stream.table) == 1 or not found:
        return ""
    after = [names for row, names in found if stream.change is None or row + stream.reference >= stream.change]
    if not after:
        return ""
    names, more = after[0][:NAMED], len(after[0]) - NAMED
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True, kw_only=True)
class Only:
    """Which streams and peers take part, by the beginning of their names; empty means all."""

    streams: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()


def measure(folder: Path, versions: dict[str, str], only: Only, say: Callable[[str], None]) -> list[RealCell]:
    """Run everything on every stream."""
    found: list[RealCell] = []
    for stream in real_streams(folder):
        if only.streams and not stream.name.startswith(only.streams):
            continue
        start = time.perf_counter()
        reference, rest = stream.parts
        before, after = (None, None) if stream.times is None else np.split(stream.times, [stream.reference])
        detector = engine.engine_of(reference, stream.tick_rows, before)
        alarms = engine.all_alarms(detector, rest, stream.promise, stream.tick_rows, after)
        blamed = _first_blamed(stream, [(alarm.row, alarm.blamed) for alarm in alarms])
        found.append(score(stream, f"**{ENGINE}**", [alarm.row for alarm in alarms], blamed))
        found[-1].again = sum(alarm.again for alarm in alarms)
        say(f"{stream.name}: {found[-1]} ({time.perf_counter() - start:.0f} s)")
        for peer in for_real_data(versions, len(stream.table), (length(reference), length(rest))):
            if only.peers and not peer.name.startswith(only.peers):
                continue
            start = time.perf_counter()
            for setting, rows in peer.alarms(reference, rest).items():
                found.append(score(stream, f"{peer.name}: {setting}", rows))
                say(f"   {found[-1]}")
            say(f"   {peer.name} ({time.perf_counter() - start:.0f} s)")
    return found

"""Windows merged from stored rows are exactly the histograms of the events in them."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.binning import count
from service.detect.baselines import BaselineView, describe
from service.detect.columns import columns_of
from service.detect.reference import CompiledReference
from service.detect.rolling import TRIES, Sliding, extents_of, rolled_now
from service.detect.windows import HOUR_US, MINUTE_US, ROLLING, WIDTHS
from service.domain.ids import Micros, VersionId
from service.domain.records import Snapshot, Window
from service.ports import LogEntry
from tests.service.detect.test_watch import Disk, mark
from tests.service.worker.world import baseline_record, batch_entry, compiled, make_control, make_frame, make_version

START_US = 1_795_428_000_000_000
ONE = VersionId(1)


@cache
def reference() -> CompiledReference:
    return compiled()


@cache
def view() -> BaselineView:
    return describe(reference().artefact)


class Rows:
    """The two questions that are asked of a store, answered from what a watch has written."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.asked = 0

    def snapshot(self, version_id: VersionId) -> Snapshot | None:
        return self.disk.snapshots.get(version_id)

    def windows(self, version_id: VersionId, level: str, first_us: Micros, last_us: Micros) -> Sequence[Window]:
        self.asked += 1
        rows = [
            row
            for (owner, own_level, start), row in self.disk.windows.items()
            if owner == version_id and own_level == level and first_us <= start <= last_us
        ]
        return sorted(rows, key=lambda row: row.start_us)


def counted(entries: Sequence[LogEntry], seeds: Sequence[int], since_us: int, until_us: int) -> NDArray[np.int64]:
    """Count the events that arrived within [since, until) anew, all at once."""
    total = np.zeros(view().total, np.int64)
    baseline = view().baseline
    for entry, seed in zip(entries, seeds, strict=True):
        if since_us <= entry.arrival_us < until_us:
            frame = make_frame(seed, entry.rows)
            total += count(baseline, columns_of(frame, baseline.names, baseline.spaces))
    return total


def folded(seconds: Sequence[float], passes: int = 1) -> tuple[Disk, list[LogEntry]]:
    """Fold a batch at each second, in a number of passes; the last tick is closed by a mark."""
    entries = [batch_entry(i + 1, at, 1, make_frame(i, 1 + i % 3)) for i, at in enumerate(seconds)]
    disk = Disk(make_control([make_version(1)], {1: [baseline_record(1, reference())]}))
    everything = [*entries, mark(len(entries) + 1, seconds[-1] + 2.0)]
    for part in np.array_split(np.arange(len(everything)), passes):
        if len(part):
            # A new watch each time: windows come back from the store.
            disk.fold(disk.watch(), [everything[i] for i in part])
    return disk, entries


PAUSES = st.lists(
    st.sampled_from([0.0, 0.4, 1.0, 7.0, 59.0, 60.0, 61.0, 300.0, 1_700.0, 3_600.0, 30_000.0, 90_000.0]), max_size=12
)


@settings(max_examples=40, deadline=None)
@given(pauses=PAUSES, offset=st.sampled_from([0.0, 30.0, 59.5, 3_599.0]), passes=st.integers(1, 3))
def test_every_rolling_window_is_the_histogram_of_the_events_in_it(
    pauses: list[float], offset: float, passes: int
) -> None:
    disk, entries = folded((offset + np.cumsum([0.0, *pauses])).tolist(), passes)
    extents = extents_of(disk.snapshots[ONE])
    assert set(extents) == set(ROLLING)
    last_tick_us = entries[-1].arrival_us // 1_000_000 * 1_000_000
    for name, extent in extents.items():
        level, earlier = ROLLING[name]
        snapshot, rolled = rolled_now(Rows(disk), ONE, name, "b1", view().total)
        assert rolled is not None
        assert snapshot == disk.snapshots[ONE]
        assert rolled.extent == extent
        direct = counted(entries, range(len(entries)), extent.start_us, extent.end_us)
        assert rolled.counts.tobytes() == direct.tobytes()
        within = [entry.rows for entry in entries if extent.start_us <= entry.arrival_us < extent.end_us]
        assert extent.events == rolled.events == sum(within)
        # It ends with the newest tick, and reaches back at least as far as it says and less than a bucket further.
        assert extent.end_us == last_tick_us + 1_000_000
        assert earlier * WIDTHS[level] < extent.end_us - extent.start_us <= (earlier + 1) * WIDTHS[level] + 1_000_000


def test_it_does_not_matter_into_how_many_passes_the_log_was_cut() -> None:
    seconds = np.cumsum([0.0, 20.0, 50.0, 200.0, 3_000.0, 4_000.0, 70_000.0]).tolist()
    whole, cut = folded(seconds)[0], folded(seconds, passes=7)[0]
    assert extents_of(whole.snapshots[ONE]) == extents_of(cut.snapshots[ONE])
    for name in ROLLING:
        (_, a), (_, b) = (rolled_now(Rows(disk), ONE, name, "b1", view().total) for disk in (whole, cut))
        assert a is not None
        assert b is not None
        assert a.counts.tobytes() == b.counts.tobytes()


def test_before_the_first_tick_and_under_another_baseline_there_is_no_window() -> None:
    disk, _ = folded([0.0])
    assert rolled_now(Rows(disk), VersionId(2), "1h", "b1", view().total) == (None, None)
    snapshot, rolled = rolled_now(Rows(disk), ONE, "1h", "b2", view().total)
    assert (snapshot, rolled) == (disk.snapshots[ONE], None)
    open_only = Disk(make_control([make_version(1)], {1: [baseline_record(1, reference())]}))
    open_only.fold(open_only.watch(), [batch_entry(1, 0.0, 1, make_frame(0, 3))])
    assert extents_of(open_only.snapshots[ONE]) == {}
    assert rolled_now(Rows(open_only), ONE, "1m", "b1", view().total)[1] is None
    assert extents_of(None) == {}


def test_a_snapshot_of_an_earlier_release_has_no_window_yet() -> None:
    disk, _ = folded([0.0, 5.0])
    status = msgspec.json.decode(disk.snapshots[ONE].status)
    del status["windows"]
    disk.snapshots[ONE] = replace(disk.snapshots[ONE], status=msgspec.json.encode(status).decode())
    assert rolled_now(Rows(disk), ONE, "1m", "b1", view().total) == (disk.snapshots[ONE], None)


class Committing(Rows):
    """A store to which the worker commits between the two questions, a number of times."""

    def __init__(self, disks: Sequence[Disk]) -> None:
        super().__init__(disks[0])
        self.disks = list(disks)

    def windows(self, version_id: VersionId, level: str, first_us: Micros, last_us: Micros) -> Sequence[Window]:
        if len(self.disks) > 1:
            self.disk = self.disks.pop(1)
        return super().windows(version_id, level, first_us, last_us)


@pytest.mark.parametrize("commits", [0, 1, 2])
def test_snapshot_and_rows_are_of_the_same_moment_though_the_worker_commits_in_between(commits: int) -> None:
    disks = [folded([0.0, 5.0, *(6.0 + i for i in range(n))])[0] for n in range(commits + 1)]
    read = Committing(disks)
    snapshot, rolled = rolled_now(read, ONE, "5m", "b1", view().total)
    assert read.asked == commits + 1 <= TRIES
    assert rolled is not None
    assert snapshot == disks[-1].snapshots[ONE]
    assert rolled.events == rolled.extent.events


def test_where_the_worker_never_stops_the_rows_of_the_last_look_are_taken() -> None:
    disks = [folded([0.0, 5.0, *(6.0 + i for i in range(n))])[0] for n in range(TRIES + 1)]
    read = Committing(disks)
    _, rolled = rolled_now(read, ONE, "5m", "b1", view().total)
    assert read.asked == TRIES
    assert rolled is not None
    assert rolled.events > rolled.extent.events


ROWS = st.lists(
    st.tuples(st.integers(1, 9), st.floats(-5, 5), st.sampled_from(["b1", "b1", "b1", "b0"]), st.integers(0, 2**31)),
    min_size=1,
    max_size=40,
)


def row(minute: int, log: float, baseline_id: str, seed: int) -> Window:
    counts = np.random.default_rng(seed).integers(0, 2**40, 6)
    return Window(
        version_id=ONE,
        level="1m",
        start_us=Micros(minute * MINUTE_US),
        baseline_id=baseline_id,
        events=int(counts[0] % 1_000),
        evidence_log=log,
        evidence_log_max=log,
        column_evidence=b"",
        counts=counts.tobytes(),
    )


@given(gaps=ROWS, width=st.integers(1, 30), place=st.sampled_from([None, slice(2, 5)]))
def test_a_window_that_moves_holds_what_counting_anew_would_give(
    gaps: list[tuple[int, float, str, int]], width: int, place: slice | None
) -> None:
    minutes = np.cumsum([gap for gap, *_ in gaps]).tolist()
    rows = [row(m, log, name, seed) for m, (_, log, name, seed) in zip(minutes, gaps, strict=True)]
    sliding, waiting = Sliding("b1", 6, place), list(rows)
    for end in range(1, minutes[-1] + width + 2):
        start_us, end_us = (end - width) * MINUTE_US, end * MINUTE_US
        left = sliding.drop_before(start_us)
        while waiting and waiting[0].start_us < end_us:
            sliding.push(waiting.pop(0))
        inside = [one for one in rows if start_us <= one.start_us < end_us]
        own = [one for one in inside if one.baseline_id == "b1"]
        anew = np.zeros(6, np.int64)
        for one in own:
            anew += np.frombuffer(one.counts, np.int64)
        assert sliding.counts.tobytes() == anew[place or slice(None)].tobytes()
        assert (sliding.events, sliding.fitting_events) == (sum(o.events for o in inside), sum(o.events for o in own))
        assert sliding.fits == bool(own)
        assert sliding.last is (inside[-1] if inside else None)
        assert not inside or sliding.highest_log == max(one.evidence_log_max for one in inside)
        gone = [one for one in rows if start_us - MINUTE_US <= one.start_us < start_us]
        assert left == bool(gone)


def test_rows_with_another_number_of_bins_have_no_counts() -> None:
    sliding = Sliding("b1", 7)
    sliding.push(row(1, 0.0, "b1", 3))
    assert not sliding.fits
    assert not sliding.counts.any()


def test_a_day_is_read_from_hours() -> None:
    disk, entries = folded([0.0, 3_600.0, 23 * 3_600.0 + 10, 23 * 3_600.0 + 20])
    extent = extents_of(disk.snapshots[ONE])["1d"]
    assert extent.start_us == START_US + 23 * HOUR_US - 24 * HOUR_US
    read = Rows(disk)
    assert rolled_now(read, ONE, "1d", "b1", view().total)[1] is not None
    assert {key[1] for key in disk.windows} == {"1m", "1h"}
    assert extent.events == sum(entry.rows for entry in entries)

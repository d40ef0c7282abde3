"""The events since a change began: exact where it matters, in bounded memory."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.errors import StateError
from service.detect.changes import STRETCHES_MAX, Changes
from service.detect.fold import FORMAT, Stored
from service.detect.reading import changed_since
from service.domain.ids import Micros, Position, VersionId
from service.domain.policy import Tuning
from service.domain.records import Snapshot


def filled(ticks: int, changed: int) -> Changes:
    """One event a tick, in the bin of the tick's last digit."""
    changes = Changes(10)
    for tick in range(ticks):
        changes.add(tick, 1, np.eye(10, dtype=np.int64)[tick % 10], min(changed, tick))
    return changes


@given(st.integers(1, 400), st.data())
def test_the_strongest_change_is_counted_exactly_however_long_ago_it_began(ticks: int, data: st.DataObject) -> None:
    changed = data.draw(st.integers(0, ticks - 1))
    found = filled(ticks, changed).since(changed)
    # What began longer ago than the stretches reach may be counted from a later tick on, never from an earlier one.
    assert found.start_tick >= changed
    assert found.events == int(found.counts.sum()) == ticks - found.start_tick
    if ticks - changed <= 2 * STRETCHES_MAX:
        assert found.start_tick == changed


def test_the_newest_ticks_are_told_apart_and_older_ones_by_half_their_age() -> None:
    changes = filled(500, 0)
    for age in (1, 2, 4, 8, 16, 32):
        found = changes.since(500 - age)
        assert age / 2 <= found.events <= age


def test_after_the_alarm_the_beginning_stays_where_it_was() -> None:
    changes = filled(40, 33)
    changes.settle()
    for tick in range(40, 2_000):
        changes.add(tick, 1, np.ones(10, np.int64), tick)
    assert changes.since(33).start_tick == 33
    assert changes.since(33).events == 2_000 - 33
    assert changes.since(1_990).start_tick <= 39, "the newest stretch holds all that came after the alarm"


@given(st.integers(0, 100), st.integers(0, 100), st.booleans())
def test_bytes_bring_back_the_same(ticks: int, changed: int, settled: bool) -> None:
    changes = filled(ticks, changed)
    if settled:
        changes.settle()
    again = Changes.from_bytes(changes.to_bytes(), 10)
    for one in (changes, again):
        one.add(200, 70_000, np.full(10, 7_000), changed)
    assert again.to_bytes() == changes.to_bytes()


def test_counts_of_another_number_of_bins_are_refused() -> None:
    with pytest.raises(StateError, match="not of 11 bins"):
        Changes.from_bytes(filled(3, 0).to_bytes(), 11)


def snapshot(blob: bytes) -> Snapshot:
    return Snapshot(
        version_id=VersionId(1),
        baseline_id="b",
        position=Position(1),
        events_total=0,
        labels_total=0,
        leaks_total=0,
        evidence_log=0.0,
        threshold_log=1.0,
        blob=blob,
        status="{}",
        updated_us=Micros(0),
    )


def stored(version: int, changes: bytes) -> bytes:
    return msgspec.msgpack.encode(
        Stored(
            format=version,
            last_arrival_us=0,
            restart_position=0,
            tick_us=1_000,
            tuning=Tuning(),
            entered=True,
            changes=changes,
        )
    )


def test_a_change_is_read_off_a_snapshot() -> None:
    found = changed_since(snapshot(stored(FORMAT, filled(20, 13).to_bytes())), Micros(13_000), 10)
    assert found is not None
    assert (found.since_us, found.events) == (13_000, 7)


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\xff",
        stored(FORMAT + 1, filled(20, 13).to_bytes()),
        stored(FORMAT, b""),
        stored(FORMAT, b"\xff"),
        stored(FORMAT, filled(0, 0).to_bytes()),
        stored(FORMAT, Changes(11).to_bytes()),
    ],
)
def test_of_a_snapshot_that_does_not_say_it_nothing_is_read(blob: bytes) -> None:
    assert changed_since(snapshot(blob), Micros(13_000), 10) is None

"""Evidence that starts again from zero at an alarm: back when the change lasts, and not otherwise."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.detect.fold import Stored
from service.domain.evaluation import Evaluation
from service.domain.ids import VersionId
from service.domain.policy import Traffic
from service.ports import Control, LogEntry
from tests.service.detect.segmented import POLICY, control_of, shifted
from tests.service.detect.test_watch import Disk, folded, mark, reference, status, steady, watched_control
from tests.service.worker.world import (
    SMALL_BUDGET,
    baseline_record,
    batch_entry,
    compiled,
    make_control,
    make_frame,
    make_version,
)

THRESHOLD = math.log(86_400)


def broken(entries: int, *, start: int) -> list[LogEntry]:
    """One batch a second whose ages are missing."""
    return [batch_entry(start + i + 1, start + i, 1, make_frame(start + i, 20, missing=1.0)) for i in range(entries)]


def burst(quiet: int) -> list[LogEntry]:
    """Ten bad seconds among good ones."""
    return [*steady(5, rows=20), *broken(10, start=5), *steady(quiet, rows=20, start=15)]


def rebuild_of(disk: Disk) -> dict[str, object] | None:
    return cast("dict[str, object] | None", status(disk)["rebuild"])


def told(disk: Disk) -> list[Evaluation]:
    return [evaluation for evaluation in disk.evaluations if evaluation.rebuilt]


def stored(disk: Disk) -> Stored:
    return msgspec.msgpack.decode(disk.snapshots[VersionId(1)].blob, type=Stored)


def test_while_nothing_alarms_there_is_none() -> None:
    disk = folded(watched_control(), steady(20))
    assert not any(evaluation.above for evaluation in disk.evaluations)
    assert (rebuild_of(disk), stored(disk).rebuild, told(disk)) == (None, None, [])


def test_after_a_burst_the_first_evidence_stands_and_the_second_stays_low() -> None:
    disk = folded(watched_control(), burst(120))
    ended_us = 1_795_428_000_000_000 + 16_000_000
    assert disk.evaluations[-1].above
    shown = rebuild_of(disk)
    assert shown is not None
    # Of ten bad seconds it came back for as long as they lasted, and never since.
    assert cast("int", shown["last_us"]) <= ended_us
    assert cast("int", shown["ticks"]) >= 115
    assert cast("float", shown["log_evidence"]) < THRESHOLD / 2
    assert status(disk)["log_evidence"] == pytest.approx(disk.evaluations[-1].evidence_log, abs=1e-5)
    assert disk.evaluations[-1].evidence_log > 20 * THRESHOLD


def test_a_burst_that_only_raises_the_alarm_does_not_come_back() -> None:
    entries = [*steady(5, rows=20), *broken(1, start=5), *steady(60, rows=20, start=6)]
    disk = folded(watched_control(), entries)
    alarm = next(evaluation for evaluation in disk.evaluations if evaluation.above)
    shown = rebuild_of(disk)
    assert shown is not None
    assert (shown["since_us"], shown["times"], shown["last_us"], shown["ticks"]) == (alarm.at_us, 0, None, 59)
    assert told(disk) == []


def test_a_lasting_change_comes_back_again_and_again_and_is_told_once() -> None:
    disk = folded(watched_control(), [*steady(10), *steady(40, shift=1.5, start=10)])
    first, *_ = (evaluation for evaluation in disk.evaluations if evaluation.above)
    (back,) = told(disk)
    assert back.position > first.position
    assert "age" in {finding.name for finding in back.rebuilt}
    assert {finding.direction for finding in back.rebuilt if finding.name == "age"} == {"mean up"}
    # What it dates the change to lies after the alarm: it knows nothing from before.
    assert all(finding.since_us >= first.at_us - 1_000_000 for finding in back.rebuilt)
    shown = rebuild_of(disk)
    assert shown is not None
    assert shown["since_us"] == first.at_us
    assert cast("int", shown["times"]) > 3
    assert cast("int", shown["last_us"]) >= disk.evaluations[-1].at_us - 5_000_000


def test_it_is_what_an_engine_that_starts_at_the_alarm_says() -> None:
    entries = [*steady(5, rows=20), *broken(1, start=5), *steady(30, rows=20, start=6)]
    alarm = next(e for e in folded(watched_control(), entries).evaluations if e.above)
    shown = rebuild_of(folded(watched_control(), entries))
    later = folded(watched_control(restart=alarm.position - 1), entries)
    assert shown is not None
    assert (shown["log_evidence"], shown["ticks"]) == (status(later)["log_evidence"], status(later)["ticks"])


def test_the_first_evidence_is_what_it_would_be_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [*burst(5), *steady(20, shift=1.0, start=20)]
    disk = folded(watched_control(), entries)
    monkeypatch.setattr("service.detect.watched.Watched.judge_rebuild", lambda *_: ())
    without = folded(watched_control(), entries)
    assert told(disk)
    assert not told(without)
    assert [replace(e, rebuilt=()) for e in disk.evaluations] == without.evaluations
    assert disk.windows == without.windows
    kept = stored(disk)
    assert kept.rebuild is not None
    kept.rebuild = None
    assert kept == stored(without)


def test_it_ends_with_what_raised_it() -> None:
    disk, above = Disk(watched_control()), []
    watch = disk.watch()
    for entry in [*steady(3), *steady(1, shift=1.2, start=3), *steady(20, start=4)]:
        disk.fold(watch, [entry])
        above.append(bool(disk.evaluations) and disk.evaluations[-1].above)
        assert (rebuild_of(disk) is not None) is above[-1]
    assert True in above
    assert above[-1] is False


def test_what_people_settle_ends_it() -> None:
    entries = [*steady(8, shift=2.0), *steady(6, start=8)]
    disk = Disk(watched_control())
    disk.fold(disk.watch(), entries[:8])
    assert rebuild_of(disk) is not None
    disk.control = watched_control(restart=8)
    disk.fold(disk.watch(), entries[8:])
    assert rebuild_of(disk) is None
    assert stored(disk).rebuild is None


def test_a_baseline_that_promises_nothing_has_none() -> None:
    control = make_control([make_version(1)], {1: [baseline_record(1, compiled(rows=40))]})
    disk = folded(control, steady(20, shift=4.0))
    assert not any(evaluation.sufficient for evaluation in disk.evaluations)
    assert rebuild_of(disk) is None


def test_a_segment_comes_back_by_itself() -> None:
    disk = folded(control_of(), shifted(10, 40, 1.5, "jp"))
    (back,) = told(disk)
    assert back.rebuilt[0].segment == "region=jp"
    assert back.rebuilt[0].name == "age"
    shown = rebuild_of(disk)
    assert shown is not None
    assert cast("int", shown["times"]) >= 2


def test_where_the_traffic_raises_the_alarm_nothing_starts_again() -> None:
    policy = msgspec.structs.replace(SMALL_BUDGET, traffic=Traffic(learn_days=0.002))
    control = make_control([make_version(1)], {1: [baseline_record(1, reference())]}, policy)
    usual = [batch_entry(i + 1, i, 1, make_frame(i, 10)) for i in range(400)]
    busy = [batch_entry(401 + i, 400 + i, 1, make_frame(400 + i, 150)) for i in range(200)]
    disk = folded(control, [*usual, *busy])
    last = disk.evaluations[-1]
    assert last.above
    assert {finding.group for finding in last.findings} == {"traffic"}
    assert rebuild_of(disk) is None


def test_a_stored_one_of_another_engine_starts_evidence_from_zero(caplog: pytest.LogCaptureFixture) -> None:
    disk = folded(watched_control(), steady(10, shift=2.0))
    other = folded(control_of(), shifted(3, 12, 2.0, "eu"))
    kept = stored(disk)
    kept.rebuild = stored(other).rebuild
    assert kept.rebuild is not None
    blob = msgspec.msgpack.encode(kept)
    disk.snapshots = {v: replace(s, blob=blob) for v, s in disk.snapshots.items()}
    disk.fold(disk.watch(), steady(2, start=10))
    assert (status(disk)["ticks"], rebuild_of(disk)) == (1, None)
    assert any("starts from zero" in message for message in caplog.messages)


@st.composite
def changing(draw: st.DrawFn) -> list[LogEntry]:
    """Batches of one version that are good for a while, then bad, and good again, with pauses and marks."""
    entries: list[LogEntry] = []
    seconds = 0.0
    for shift in draw(st.lists(st.sampled_from([0.0, 1.0, 2.0]), min_size=2, max_size=4)):
        for _ in range(draw(st.integers(1, 8))):
            position = len(entries) + 1
            seconds += draw(st.sampled_from([0.3, 1.0, 1.0, 61.0]))
            if draw(st.integers(0, 9)) == 0:
                entries.append(mark(position, seconds))
                continue
            frame = make_frame(position, draw(st.sampled_from([2, 60])), shift=shift)
            entries.append(batch_entry(position, seconds, 1, frame))
    return entries


def assert_cuts_and_restarts_change_nothing(control: Control, entries: Sequence[LogEntry], data: st.DataObject) -> None:
    whole, cut = folded(control, entries), Disk(control)
    watch, rest = cut.watch(), entries
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        cut.fold(watch, rest[:size])
        rest = rest[size:]
        if data.draw(st.booleans()):
            watch = cut.watch()
    assert cut.evaluations == whole.evaluations
    assert cut.snapshots == whole.snapshots
    alarms = [above for above, _ in groupby(whole.evaluations, lambda evaluation: evaluation.above) if above]
    assert len(told(whole)) <= len(alarms)


@settings(max_examples=20, deadline=None)
@given(changing(), st.data(), st.integers(0, 12))
def test_cuts_and_restarts_change_nothing(entries: list[LogEntry], data: st.DataObject, restart: int) -> None:
    assert_cuts_and_restarts_change_nothing(watched_control(restart=min(restart, len(entries))), entries, data)


@settings(max_examples=5, deadline=None)
@given(st.data(), st.integers(3, 6))
def test_cuts_and_restarts_change_nothing_with_segments(data: st.DataObject, quiet: int) -> None:
    entries = [*shifted(quiet, 12, 1.5, "us"), *shifted(quiet + 20, 0, 0.0, "us")[quiet + 12 :]]
    assert_cuts_and_restarts_change_nothing(control_of(POLICY), entries, data)

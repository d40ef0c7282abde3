"""The fold over the log: exact under every way to cut it, and after every restart."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from unittest.mock import patch

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.detect.reading import changed_since
from service.detect.reference import CompiledReference
from service.detect.watch import Watch
from service.domain.evaluation import Evaluation
from service.domain.ids import Micros, Position, VersionId
from service.domain.records import Snapshot, Window
from service.ports import Control, EntryKind, LogEntry
from tests.service.worker.world import (
    KEY,
    SMALL_BUDGET,
    baseline_record,
    batch_entry,
    compiled,
    make_control,
    make_frame,
    make_version,
)

THRESHOLD = math.log(86_400)


@cache
def reference(rows: int = 4_000, seed: int = 99) -> CompiledReference:
    return compiled(rows, seed)


class Disk:
    """What a store would keep between the passes of a watch."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.snapshots: dict[VersionId, Snapshot] = {}
        self.windows: dict[tuple[VersionId, str, int], Window] = {}
        self.evaluations: list[Evaluation] = []
        self.log: dict[Position, LogEntry] = {}

    def watch(self, read_at: Micros | None = None) -> Watch:
        watch = Watch(
            KEY,
            self.snapshots,
            lambda version_id, level, start: self.windows.get((version_id, level, start)),
            read_log=self.read_log,
            read_at=read_at,
        )
        watch.heed(self.control)
        return watch

    def read_log(self, after: Position, *, max_entries: int, max_bytes: int) -> list[LogEntry]:
        """Return entries that were folded, or are being so."""
        assert max_bytes
        return [self.log[position] for position in sorted(self.log) if position > after][:max_entries]

    def fold(self, watch: Watch, entries: Sequence[LogEntry], *, serving: bool = True) -> None:
        """Do one pass."""
        self.log |= {entry.position: entry for entry in entries}
        for entry in entries:
            self.evaluations += watch.close_due(entry)
            watch.take(entry, serving=serving)
        watch.settle(entries[-1].position)
        for snapshot in watch.take_snapshots():
            before = self.snapshots.get(snapshot.version_id)
            blocks = {b.number: b for b in (*(() if before is None else before.answers), *snapshot.answers)}
            kept = tuple(blocks[number] for number in sorted(blocks) if number >= snapshot.answers_first)
            self.snapshots[snapshot.version_id] = replace(snapshot, answers=kept)
        self.windows |= {(row.version_id, row.level, row.start_us): row for row in watch.take_rows()}


def mark(position: int, seconds: float) -> LogEntry:
    return LogEntry(
        position=Position(position),
        arrival_us=Micros(1_795_428_000_000_000 + round(seconds * 1e6)),
        kind=EntryKind.MARK,
        version_id=VersionId(0),
        rows=0,
        body=b"",
    )


def watched_control(restart: int = 0) -> Control:
    return make_control([make_version(1, restart=restart)], {1: [baseline_record(1, reference())]})


def steady(entries: int, *, rows: int = 50, shift: float = 0.0, start: int = 0) -> list[LogEntry]:
    """One batch a second."""
    return [batch_entry(start + i + 1, start + i, 1, make_frame(start + i, rows, shift=shift)) for i in range(entries)]


def status(disk: Disk, version_id: int = 1) -> dict[str, object]:
    decoded: dict[str, object] = msgspec.json.decode(disk.snapshots[VersionId(version_id)].status)
    return decoded


def folded(control: Control, entries: Sequence[LogEntry], *, serving: bool = True) -> Disk:
    disk = Disk(control)
    disk.fold(disk.watch(), entries, serving=serving)
    return disk


def test_a_tick_is_evaluated_once_a_later_entry_has_come() -> None:
    disk = folded(watched_control(), steady(3))
    assert [e.position for e in disk.evaluations] == [2, 3]
    assert status(disk)["ticks"] == 2


def test_entries_of_other_versions_and_marks_close_a_tick_too() -> None:
    control = make_control([make_version(1), make_version(2)], {1: [baseline_record(1, reference())]})
    other = batch_entry(2, 1.0, 2, make_frame(5, 3))
    assert [e.position for e in folded(control, [*steady(1), other]).evaluations] == [2]
    assert [e.position for e in folded(control, [*steady(1), mark(2, 1.5)]).evaluations] == [2]


def test_an_entry_within_the_tick_does_not_close_it() -> None:
    entries = [batch_entry(1, 0.0, 1, make_frame(1, 5)), batch_entry(2, 0.9, 1, make_frame(2, 5))]
    assert folded(watched_control(), entries).evaluations == []


def test_without_a_baseline_events_are_counted_and_nothing_else() -> None:
    disk = folded(make_control([make_version(1)], {}), steady(3, rows=7))
    assert (status(disk)["monitoring"], status(disk)["events_total"]) == ("warming", 21)
    assert disk.evaluations == []
    assert disk.windows == {}
    assert disk.snapshots[VersionId(1)].evidence_log == -math.inf


def test_steady_traffic_stays_below_the_threshold_and_a_shift_does_not() -> None:
    disk = folded(watched_control(), steady(20))
    assert max(e.evidence_log for e in disk.evaluations) < THRESHOLD
    drifted = folded(watched_control(), [*steady(20), *steady(6, shift=1.5, start=20)])
    last = drifted.evaluations[-1]
    assert last.above
    assert last.findings[0].name in {"age", "prediction", "probabilities.fraud", "probabilities.ok"}
    assert all(abs(f.since_us - 1_795_428_020_000_000) <= 3_000_000 for f in last.findings)


def test_missing_values_are_blamed_by_name_however_long_they_last() -> None:
    entries = [batch_entry(i + 1, i, 1, make_frame(i, 200, missing=0.0 if i < 5 else 0.6)) for i in range(20)]
    ages = [f for e in folded(watched_control(), entries).evaluations for f in e.findings if f.name == "age"]
    assert len(ages) > 5
    assert {f.direction for f in ages} == {"missing up"}


def test_a_tiny_baseline_is_insufficient() -> None:
    control = make_control([make_version(1)], {1: [baseline_record(1, reference(rows=40))]})
    disk = folded(control, steady(3))
    assert status(disk)["monitoring"] == "insufficient"
    assert str(status(disk)["insufficient"]).startswith("the reference has 40 rows; a promise")
    assert not any(e.sufficient for e in disk.evaluations)


def test_a_tampered_baseline_is_refused_and_events_are_still_counted(caplog: pytest.LogCaptureFixture) -> None:
    record = baseline_record(1, reference())
    tampered = baseline_record(1, reference(seed=98))
    control = make_control([make_version(1)], {1: [replace(record, artefact=tampered.artefact)]})
    disk = folded(control, steady(3, rows=5))
    assert (status(disk)["monitoring"], status(disk)["events_total"]) == ("insufficient", 15)
    assert "signature" in str(status(disk)["insufficient"])
    assert disk.evaluations == []
    assert "baseline refused" in caplog.messages


def test_events_of_a_version_that_serves_no_traffic_are_leaks() -> None:
    disk = folded(watched_control(), steady(3, rows=4), serving=False)
    assert disk.snapshots[VersionId(1)].leaks_total == 12
    assert disk.snapshots[VersionId(1)].events_total == 12


def test_labels_are_counted_apart() -> None:
    label = LogEntry(
        position=Position(1), arrival_us=Micros(1), kind=EntryKind.LABELS, version_id=VersionId(1), rows=9, body=b""
    )
    disk = folded(watched_control(), [label])
    assert (disk.snapshots[VersionId(1)].labels_total, disk.snapshots[VersionId(1)].events_total) == (9, 0)


def test_windows_add_up_to_all_events_of_closed_ticks() -> None:
    entries = [batch_entry(i + 1, 7.0 * i, 1, make_frame(i, 10)) for i in range(30)]
    disk = folded(watched_control(), entries)
    minutes = [w for w in disk.windows.values() if w.level == "1m"]
    hours = [w for w in disk.windows.values() if w.level == "1h"]
    assert sum(w.events for w in minutes) == sum(w.events for w in hours) == 290
    assert len(minutes) == 4
    total = sum(np.frombuffer(w.counts, np.int64) for w in minutes)
    assert np.array_equal(total, np.frombuffer(hours[0].counts, np.int64))
    assert np.frombuffer(minutes[0].column_evidence, np.float32).shape == (16,)
    assert all(w.evidence_log <= w.evidence_log_max for w in minutes)


def test_after_a_restart_position_evidence_counts_from_zero_and_windows_go_on() -> None:
    entries = [*steady(8, shift=2.0), *steady(4, start=8)]
    plain, restarted = folded(watched_control(), entries), folded(watched_control(restart=8), entries)
    assert plain.evaluations[-1].above
    assert not any(e.above for e in restarted.evaluations)
    assert [e.position for e in restarted.evaluations] == [10, 11, 12]
    assert status(restarted)["ticks"] == 3
    minute = next(w for w in restarted.windows.values() if w.level == "1m")
    assert minute.events == 11 * 50


def test_a_new_baseline_applies_to_entries_after_its_position() -> None:
    first = baseline_record(1, reference())
    second = baseline_record(1, reference(seed=98), from_position=6, name="b2")
    disk = folded(make_control([make_version(1)], {1: [first, second]}), steady(10))
    snapshot = disk.snapshots[VersionId(1)]
    assert snapshot.baseline_id == "b2"
    assert status(disk)["ticks"] == 3
    minute = next(w for w in disk.windows.values() if w.level == "1m")
    assert (minute.baseline_id, minute.events) == ("b2", 9 * 50)


def test_a_baseline_is_watched_as_soon_as_the_worker_has_seen_it() -> None:
    disk = folded(make_control([make_version(1)], {}), steady(2))
    disk.control = make_control([make_version(1)], {1: [baseline_record(1, reference(), from_position=2)]})
    watch = disk.watch()
    watch.settle(Position(2))
    disk.snapshots |= {s.version_id: s for s in watch.take_snapshots()}
    assert status(disk)["monitoring"] == "watching"
    assert status(disk)["events_total"] == 100


def test_the_status_shows_every_column_with_its_effects() -> None:
    shown = status(folded(watched_control(), steady(5)))["columns"]
    assert isinstance(shown, list)
    assert [c["name"] for c in shown] == [
        "age",
        "income",
        "country",
        "score.norm.face",
        "prediction",
        "probabilities.fraud",
        "probabilities.ok",
        "latency_ms",
        "score.margin",
        "score.entropy",
        "score.mahalanobis",
        "score.typicality",
        "score.pairs",
        "score.mahalanobis.face",
        "score.typicality.face",
        "score.direction.face",
    ]
    assert {c["group"] for c in shown[10:]} == {"multivariate"}
    assert set(shown[0]["effects"]) == {"1h"}
    assert set(shown[0]["effects"]["1h"]) == {"psi", "js", "ks", "wasserstein", "hellinger", "chi2"}
    assert shown[2]["effects"]["1h"]["ks"] is None
    limits = shown[0]["intervals"]["1h"]
    assert set(limits) == {"psi", "js", "ks", "wasserstein", "hellinger"}
    assert all(low <= high for low, high in limits.values())
    assert shown[2]["intervals"]["1h"]["ks"] is None


def test_a_frame_that_was_damaged_on_disk_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    broken = batch_entry(2, 0.5, 1, make_frame(1, 5))
    broken = replace(broken, body=broken.body[:40])
    disk = folded(watched_control(), [*steady(1), broken, *steady(1, start=2)])
    assert len(disk.evaluations) == 1
    assert "frame not readable" in caplog.messages


def test_a_snapshot_of_another_format_keeps_its_counters(caplog: pytest.LogCaptureFixture) -> None:
    disk = folded(watched_control(), steady(5))
    disk.snapshots = {v: replace(s, blob=b"\x93other") for v, s in disk.snapshots.items()}
    disk.fold(disk.watch(), steady(2, start=5))
    assert status(disk)["events_total"] == 350
    assert status(disk)["ticks"] == 1
    assert any("starts from zero" in message for message in caplog.messages)


MIXED = settings(max_examples=30, deadline=None)


@st.composite
def logs(draw: st.DrawFn) -> list[LogEntry]:
    """Batches of two versions at odd times, some without optional columns, with marks and labels between them."""
    entries: list[LogEntry] = []
    seconds = 0.0
    for position in range(1, draw(st.integers(2, 25)) + 1):
        seconds += draw(st.sampled_from([0.0, 0.001, 0.3, 1.0, 2.5, 61.0, 3_700.0]))
        if draw(st.integers(0, 9)) == 0:
            entries.append(mark(position, seconds))
            continue
        frame = make_frame(
            position,
            draw(st.sampled_from([1, 1, 2, 60])),
            shift=draw(st.sampled_from([0.0, 2.0])),
            missing=draw(st.sampled_from([0.0, 0.3])),
            extras=draw(st.booleans()),
        )
        entries.append(batch_entry(position, seconds, draw(st.sampled_from([1, 1, 2])), frame))
    return entries


@MIXED
@given(logs(), st.data(), st.sampled_from([3, 2_000]))
def test_cuts_and_restarts_change_nothing(entries: list[LogEntry], data: st.DataObject, joint_events: int) -> None:
    middle = len(entries) // 2
    versions = [make_version(1, restart=data.draw(st.sampled_from([0, middle]))), make_version(2)]
    records = {
        1: [baseline_record(1, reference())],
        2: [
            baseline_record(2, reference(), name="c1"),
            baseline_record(2, reference(seed=98), from_position=middle, name="c2"),
        ],
    }
    control = make_control(versions, records, SMALL_BUDGET)
    with patch("service.detect.watched.JOINT_EVENTS", joint_events), patch("service.detect.watched.JOINT_BLOCK", 7):
        cuts_and_restarts_change_nothing(entries, data, control)


def cuts_and_restarts_change_nothing(entries: list[LogEntry], data: st.DataObject, control: Control) -> None:
    whole = folded(control, entries)

    cut = Disk(control)
    watch, rest = cut.watch(), entries
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        cut.fold(watch, rest[:size])
        rest = rest[size:]
        if data.draw(st.booleans()):
            watch = cut.watch()
    assert cut.evaluations == whole.evaluations
    assert cut.windows == whole.windows
    assert cut.snapshots == whole.snapshots


@pytest.mark.parametrize("tick_seconds", [0.25, 7.0, 90.0, 3_600.0])
def test_a_restart_after_another_length_of_ticks_changes_nothing(tick_seconds: float) -> None:
    # A longer tick may start before the minute that was being filled when it was set.
    before = [batch_entry(i + 1, 20.0 * i, 1, make_frame(i, 20)) for i in range(30)]
    after = [batch_entry(31 + i, 600.0 + 1_300.0 * i, 1, make_frame(30 + i, 20)) for i in range(8)]
    shown = []
    for restarts in (False, True):
        disk = Disk(watched_control())
        watch = disk.watch()
        disk.fold(watch, before)
        disk.control = make_control(
            [make_version(1)],
            {1: [baseline_record(1, reference())]},
            msgspec.structs.replace(SMALL_BUDGET, tick_seconds=tick_seconds),
        )
        watch.heed(disk.control)
        for entry in after:
            watch = disk.watch() if restarts else watch
            disk.fold(watch, [entry])
            shown.append((restarts, entry.position, status(disk), disk.windows.copy()))
    whole, restarted = ([rest for at, *rest in shown if at is restarts] for restarts in (False, True))
    assert restarted == whole


@pytest.mark.parametrize("later", [0, 5, 300])
def test_what_is_counted_since_a_change_begins_where_the_alarm_dates_it(later: int) -> None:
    entries = [*steady(30, rows=20), *steady(15 + later, rows=20, shift=1.0, start=30)]
    disk = folded(watched_control(), entries)
    alarm = next(e for e in disk.evaluations if e.above)
    since_us = min(f.since_us for f in alarm.findings)
    bins = len(np.frombuffer(next(iter(disk.windows.values())).counts, np.int64))
    change = changed_since(disk.snapshots[VersionId(1)], since_us, bins)
    assert change is not None
    assert change.since_us == since_us
    ticks = (entries[-2].arrival_us - since_us) // 1_000_000 + 1
    assert change.events == 20 * ticks
    within = folded(watched_control(), [entry for entry in entries if entry.arrival_us >= since_us])
    counted = [np.frombuffer(w.counts, np.int64) for w in within.windows.values() if w.level == "1m"]
    assert np.array_equal(change.counts, np.sum(counted, axis=0))

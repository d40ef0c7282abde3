"""Answers from before the first label: of a version without labels nothing is kept, of one with them nothing missed."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest

from service.detect import answers_before
from service.detect.answers_before import LookBack
from service.detect.watch import Watch
from service.domain.ids import Micros, Position, VersionId
from service.domain.performance import Performance
from service.domain.policy import Policy, Traffic
from service.ports import EntryKind, LogEntry
from tests.service.detect.labelling import BEGUN_US, control_of, labelled_reference, labels_entry, named
from tests.service.detect.test_outcomes import performance, story
from tests.service.detect.test_watch import Disk, folded, mark, status
from tests.service.worker.world import SMALL_BUDGET, baseline_record, batch_entry, make_frame

ROWS = 40


class Log:
    """Entries that are read in pages."""

    def __init__(self, entries: Sequence[LogEntry], at_once: int = 10**9) -> None:
        self.entries, self.at_once, self.reads = entries, at_once, 0

    def read(self, after: Position, *, max_entries: int, max_bytes: int) -> list[LogEntry]:
        assert max_bytes > 0
        self.reads += 1
        found = [entry for entry in self.entries if entry.position > after]
        return found[: min(max_entries, self.at_once)]


def log_of(number: int) -> list[LogEntry]:
    """Return batches of two versions in turn, with a mark now and then."""
    entries = [batch_entry(i + 1, i, 1 + i % 2, make_frame(i, 3)) for i in range(number)]
    return [replace(e, kind=EntryKind.MARK) if e.position % 10 == 0 else e for e in entries]


def label_at(position: int) -> LogEntry:
    return labels_entry(position, 5_000.0, [("event-1", "ok")])


@pytest.mark.parametrize("at_once", [1, 7, 10**9])
def test_batches_of_the_version_come_in_order_whatever_a_read_returns(at_once: int) -> None:
    entries = log_of(300)
    found = LookBack(Log(entries, at_once).read).batches(label_at(251), 10_000)
    assert [e.position for e in found] == [p for p in range(1, 251) if p % 2 == 1]


def test_no_more_is_read_than_holds_the_events_that_are_wanted() -> None:
    log = Log(log_of(3_000))
    found = LookBack(log.read).batches(label_at(2_501), 30)
    assert 30 <= sum(e.rows for e in found) <= 30 + answers_before.PAGE_ENTRIES * 3
    assert found[-1].position == 2_499
    assert log.reads <= 2


def test_versions_that_get_their_first_labels_together_read_the_log_once() -> None:
    entries = [replace(e, version_id=VersionId(1 + e.position % 50)) for e in log_of(2_000)]
    labels = [replace(label_at(2_001 + place), version_id=VersionId(1 + place)) for place in range(50)]
    log = Log([*entries, *labels])
    look = LookBack(log.read)
    for label in labels:
        found = look.batches(label, 10_000)
        assert found == [e for e in entries if e.version_id == label.version_id and e.kind is EntryKind.BATCH]
    pages = 2_000 // answers_before.PAGE_ENTRIES
    assert log.reads <= pages + 2 * 50 + 2
    look.forget()
    look.batches(label_at(2_001), 10_000)
    assert log.reads > 2 * pages


def test_large_bodies_are_held_no_further_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers_before, "BYTES_MAX", 100_000)
    large = [replace(e, body=bytes(20_000)) for e in log_of(300)]
    assert len(LookBack(Log(large).read).batches(label_at(290), 10_000)) <= 2 * 5
    # Whatever came after the label, and however the log was cut into reads: the same.
    for stop in range(257, 290):
        one = LookBack(Log(large, 3).read).batches(label_at(stop), 10_000)
        assert one == LookBack(Log(large[: stop - 1]).read).batches(label_at(stop), 10_000)
    look = LookBack(Log(large).read)
    for stop in range(257, 300):
        again = LookBack(Log(large).read).batches(label_at(stop), 10_000)
        assert look.batches(label_at(stop), 10_000) == again


def test_where_the_log_is_gone_nothing_more_is_read() -> None:
    log = Log([entry for entry in log_of(3_000) if entry.position > 2_900])
    LookBack(log.read).batches(label_at(3_001), 10_000)
    assert log.reads <= 100 // answers_before.PAGE_ENTRIES + 3


def test_a_search_ends_after_so_many_entries_of_others_and_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers_before, "ENTRIES_MAX", 400)
    entries = log_of(1_000)
    of_one = [replace(e, version_id=VersionId(1 if e.position < 300 else 2)) for e in entries]
    assert LookBack(Log(of_one).read).batches(label_at(1_001), 10_000) == []
    monkeypatch.setattr(answers_before, "BYTES_MAX", 2_000)
    found = LookBack(Log(entries).read).batches(label_at(1_001), 10_000)
    assert found[0].position > 1_001 - 2 * answers_before.PAGE_ENTRIES


def test_a_log_that_has_lost_its_beginning_gives_the_rest() -> None:
    entries = [entry for entry in log_of(300) if entry.position > 200]
    found = LookBack(Log(entries).read).batches(label_at(301), 10_000)
    assert [e.position for e in found] == [p for p in range(201, 301) if p % 2 == 1]
    assert LookBack(Log([]).read).batches(label_at(301), 10_000) == []
    assert LookBack(Log([]).read).batches(label_at(1), 10_000) == []


def test_nothing_is_kept_of_a_version_without_labels_and_the_first_one_meets_what_was_before_it() -> None:
    entries = story(30, wrong=0.3, delay=100)
    events = [entry for entry in entries if entry.kind is EntryKind.BATCH]
    disk = Disk(control_of(labelled_reference()))
    disk.fold(disk.watch(), events)
    assert disk.snapshots[VersionId(1)].answers == ()
    assert (performance(disk)["remembered"], performance(disk)["baseline"]["wrong"][0] > 0) == (0, True)
    assert status(folded(control_of(), events))["performance"] is None
    # Another process, which has seen none of the answers itself.
    disk.fold(disk.watch(), [entry for entry in entries if entry.kind is EntryKind.LABELS])
    assert performance(disk)["joined"] == performance(disk)["bet"] == 30 * ROWS
    assert disk.snapshots[VersionId(1)].answers


def test_of_answers_from_before_a_release_the_first_labels_are_shown_alone() -> None:
    entries = story(40, wrong=0.6, delay=100)
    half = next(e.position for e in entries if e.kind is EntryKind.BATCH and e.position > 20)
    for cuts in ((), (30,), (15, 35)):
        disk = Disk(control_of(labelled_reference(), restart=half))
        for start, end in zip((0, *cuts), (*cuts, len(entries)), strict=True):
            disk.fold(disk.watch(), entries[start:end])
        told = performance(disk)
        assert told["joined"] == 40 * ROWS
        assert told["joined"] - told["bet"] == half * ROWS


def test_labels_that_come_before_any_event_wait_for_it() -> None:
    entries = story(10, wrong=0.0, delay=-20)
    told = performance(folded(control_of(labelled_reference()), entries))
    assert told["joined"] == 10 * ROWS


# -- which of them are evidence --------------------------------------------------------------------------------------


def answers_kept(number: int) -> Policy:
    return msgspec.structs.replace(SMALL_BUDGET, performance=Performance(answers=number))


def test_what_was_before_a_release_stays_no_evidence_while_people_want_no_answers_remembered() -> None:
    entries = story(40, wrong=0.6, delay=100)
    events = [entry for entry in entries if entry.kind is EntryKind.BATCH]
    for restarted in (False, True):
        disk = Disk(control_of(labelled_reference(), answers_kept(0), restart=20))
        watch = disk.watch()
        disk.fold(watch, events)
        assert status(disk)["performance"] is None
        disk.control = control_of(labelled_reference(), answers_kept(50_000), restart=20)
        watch.heed(disk.control)
        disk.fold(disk.watch() if restarted else watch, entries[len(events) :])
        told = performance(disk)
        assert (told["joined"], told["bet"]) == (40 * ROWS, 20 * ROWS)


def test_a_label_is_not_bet_twice_when_answers_are_forgotten_and_remembered_again() -> None:
    entries = story(20, wrong=0.3, delay=100)
    disk = Disk(control_of(labelled_reference()))
    watch = disk.watch()
    disk.fold(watch, entries)
    assert performance(disk)["bet"] == 20 * ROWS
    for number in (0, 50_000):
        watch.heed(control_of(labelled_reference(), answers_kept(number)))
    again = [replace(e, position=Position(e.position + len(entries))) for e in entries if e.kind is EntryKind.LABELS]
    disk.fold(watch, again)
    assert performance(disk)["bet"] == 20 * ROWS
    assert performance(disk)["late"] == 20 * ROWS


def test_what_was_before_a_snapshot_with_damaged_answers_is_read_again_and_no_evidence() -> None:
    entries = story(20, wrong=0.3, delay=100)
    events = [entry for entry in entries if entry.kind is EntryKind.BATCH]
    disk = Disk(control_of(labelled_reference()))
    disk.fold(disk.watch(), [*events, *entries[len(events) : -10]])
    assert performance(disk)["bet"] == 10 * ROWS
    disk.snapshots[VersionId(1)] = replace(disk.snapshots[VersionId(1)], answers=())
    disk.fold(disk.watch(), entries[-10:])
    assert (performance(disk)["joined"], performance(disk)["bet"]) == (10 * ROWS, 0)


@pytest.mark.parametrize("apart", [False, True])
def test_the_entry_that_ends_a_silence_is_evidence_under_the_baseline_put_meanwhile(*, apart: bool) -> None:
    policy = msgspec.structs.replace(SMALL_BUDGET, traffic=Traffic(stale_after_seconds=60.0))
    first, later = control_of(labelled_reference(), policy), control_of(labelled_reference(), policy)
    put = replace(baseline_record(1, labelled_reference()), id="another", from_position=Position(6))
    later = replace(later, baselines={VersionId(1): [*first.baselines[VersionId(1)], put]})
    frames = [named(make_frame(place, ROWS), place * ROWS) for place in range(2)]
    label = [(f"event-{ROWS + row}", "ok") for row in range(ROWS)]
    disk = Disk(first)
    watch = disk.watch()
    for entry in (batch_entry(1, 0, 1, frames[0]), *(mark(2 + place, 20 + 20 * place) for place in range(5))):
        take(disk, watch, entry)
    watch.settle(Position(6))
    disk.snapshots |= {one.version_id: one for one in watch.take_snapshots()}
    assert status(disk)["monitoring"] == "stale"
    watch.heed(later)
    if apart:
        # A pass without an entry, before the silence ends.
        watch.settle(Position(6))
    for entry in (batch_entry(7, 110, 1, frames[1]), labels_entry(8, 120, label)):
        take(disk, watch, entry)
    watch.settle(Position(8))
    disk.snapshots |= {one.version_id: one for one in watch.take_snapshots()}
    assert status(disk)["monitoring"] == "watching"
    assert performance(disk)["bet"] == ROWS


def take(disk: Disk, watch: Watch, entry: LogEntry) -> None:
    """Do what a pass does with an entry, silences among it."""
    disk.log[entry.position] = entry
    watch.close_due(entry)
    watch.silences(entry, lambda _: Micros(BEGUN_US))
    watch.take(entry, serving=True)

"""The share of errors: learnt live, against a reference that has some, and told by its kinds; exact over cuts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.alert.decide import cause_of
from service.detect.failures import KEPT, LATEST, OPEN_MAX, Errors, StoredErrors
from service.detect.reference import CompiledReference, compile_reference
from service.detect.traffic import ABSENT, ERRORS
from service.domain.policy import Cause, Policy, Segments, Traffic
from service.domain.schema import ERROR, NO_ERROR, SOME_ERROR
from service.frames import INVALID, MISSING, Coded, Frame, between
from service.ports import Control, LogEntry
from tests.service.detect.test_traffic import QUICK, blamed, control, sizes
from tests.service.detect.test_watch import THRESHOLD, Disk, folded, status
from tests.service.worker.world import (
    SCHEMA,
    SMALL_BUDGET,
    baseline_record,
    batch_entry,
    compiled,
    make_control,
    make_frame,
    make_version,
)

KINDS = (NO_ERROR, "timeout", "oom")
START_US = 1_795_428_000_000_000


def with_errors(frame: Frame, seed: int, timeout: float, oom: float = 0.0) -> Frame:
    """Let events have errors with these chances. Like ingest, a frame without any has no column of them."""
    codes = np.random.default_rng(10_000 + seed).choice(3, frame.rows, p=[1.0 - timeout - oom, timeout, oom])
    if not codes.any():
        return frame
    names, columns = (*frame.categorical_names, ERROR), (*frame.categorical, Coded(KINDS, codes.astype(np.int32)))
    return replace(frame, categorical_names=names, categorical=columns)


def traffic(seconds: int, timeout: float, oom: float = 0.0, *, start: int = 0, rows: int = 100) -> list[LogEntry]:
    """One batch a second, of which this share has errors."""
    return [
        batch_entry(start + i + 1, start + i, 1, with_errors(make_frame(start + i, size or 1), start + i, timeout, oom))
        for i, size in enumerate(sizes(50 + start, seconds, rows))
    ]


@cache
def reference_with_errors(timeout: float = 0.03) -> CompiledReference:
    return compile_reference(SCHEMA, with_errors(make_frame(99, 4_000), 99, timeout))


def control_with(reference: CompiledReference, said: Traffic = QUICK, **policy: object) -> Control:
    return make_control(
        [make_version(1)],
        {1: [baseline_record(1, reference)]},
        Policy(budget=SMALL_BUDGET.budget, traffic=said, **policy),  # type: ignore[arg-type]
    )


def traffic_status(disk: Disk) -> dict[str, object]:
    shown = status(disk)["traffic"]
    assert isinstance(shown, dict)
    return shown


def test_more_errors_than_were_learnt_are_an_alert_that_names_their_kinds() -> None:
    """Fixed seeds. From 0.5 % to 3 %, 100 events a second, at one false alarm in a day of seconds."""
    disk = folded(control(), [*traffic(200, 0.005), *traffic(120, 0.005, 0.025, start=200)])
    assert set(blamed(disk.evaluations)) == {ERRORS}
    (finding,) = next(e.findings for e in disk.evaluations if e.above)
    assert (finding.group, cause_of(finding)) == ("quality", Cause.DATA_QUALITY)
    assert finding.direction.startswith("up, ")
    assert finding.direction.endswith(" times the usual: oom, timeout")
    assert abs(finding.since_us - START_US - 200_000_000) <= 30_000_000
    shown = traffic_status(disk)
    assert shown["error_kinds"] == ["oom", "timeout"]
    assert isinstance(shown["errors_total"], int)
    assert 300 < shown["errors_total"] < 600


@pytest.mark.parametrize("share", [0.0, 0.005, 0.05])
def test_a_share_of_errors_that_stays_raises_nothing(share: float) -> None:
    disk = folded(control(), traffic(320, share))
    assert max(e.evidence_log for e in disk.evaluations) < THRESHOLD
    assert traffic_status(disk)["state"] == "watching"


def test_fewer_errors_are_no_news() -> None:
    assert not blamed(folded(control(), [*traffic(150, 0.1), *traffic(150, 0.0, start=150)]).evaluations)


def test_errors_that_nobody_told_of_before_are_seen_from_their_first_outbreak_on() -> None:
    """No sender ever said a word about errors while the usual was learnt."""
    found = blamed(folded(control(), [*traffic(130, 0.0), *traffic(60, 0.1, start=130)]).evaluations)
    assert set(found) == {ERRORS}


def test_single_events_that_tell_of_errors_only_count_among_all_events() -> None:
    """A sender of single events that says nothing where nothing failed: 0.4 %, not each of those that say something."""

    def singles(seconds: int, every: int, start: int = 0) -> list[LogEntry]:
        return [
            batch_entry(
                50 * (start + second) + i + 1,
                start + second + i / 50,
                1,
                with_errors(make_frame(50 * second + i, 1), i, 1.0 if (50 * second + i) % every == 0 else 0.0),
            )
            for second in range(seconds)
            for i in range(50)
        ]

    disk = folded(control(), [*singles(120, 250), *singles(60, 20, start=120)])
    assert set(blamed(disk.evaluations)) == {ERRORS}
    assert max(e.evidence_log for e in disk.evaluations[:118]) < THRESHOLD


def test_an_error_instead_of_an_answer_is_not_counted_as_an_absent_column_too() -> None:
    failed = [
        batch_entry(i + 1, i, 1, with_errors(make_frame(i, size or 1, extras=False), i, 1.0))
        for i, size in enumerate(sizes(60, 60), 130)
    ]
    entries = [*traffic(130, 0.0, rows=12), *failed]
    assert set(blamed(folded(control(), entries).evaluations)) == {ERRORS}
    silent = [
        replace(entry, body=batch_entry(1, 0, 1, make_frame(i, entry.rows, extras=False)).body)
        for i, entry in enumerate(failed)
    ]
    assert set(blamed(folded(control(), [*entries[:130], *silent]).evaluations)) == {ABSENT}


def test_a_reference_with_errors_needs_no_learning() -> None:
    disk = folded(control_with(reference_with_errors()), [*traffic(20, 0.03), *traffic(40, 0.03, 0.05, start=20)])
    found = blamed(disk.evaluations)
    assert set(found) == {ERROR}
    assert (found[ERROR].group, found[ERROR].direction) == ("error", "unseen up")
    assert cause_of(found[ERROR]) is Cause.DATA_QUALITY
    assert traffic_status(disk)["state"] == "warming"
    more = folded(control_with(reference_with_errors()), [*traffic(20, 0.03), *traffic(40, 0.12, start=20)])
    found = blamed(more.evaluations)
    assert set(found) == {ERROR}
    assert cause_of(found[ERROR]) is Cause.DATA_QUALITY
    assert found[ERROR].direction != "unseen up"


@pytest.mark.parametrize("rows", [4, 100])
def test_batches_without_a_word_of_errors_are_without_errors_for_a_reference_that_has_some(rows: int) -> None:
    """With four events each nearly nine of ten batches say nothing."""
    entries = traffic(300, 0.03, rows=rows)
    disk = folded(control_with(reference_with_errors(), Traffic(learn_days=0)), entries)
    assert len(disk.evaluations) > 250
    assert not blamed(disk.evaluations)


def test_errors_that_the_reference_has_and_telemetry_never_are_told() -> None:
    disk = folded(control_with(reference_with_errors(0.1), Traffic(learn_days=0)), traffic(60, 0.0))
    assert set(blamed(disk.evaluations)) == {ERROR}


def test_errors_may_be_watched_in_a_segment() -> None:
    segments = Segments(column="country", values=("DE",), share=0.5)
    frame = with_errors(make_frame(99, 4_000), 99, 0.03)
    reference = compile_reference(SCHEMA, frame, segments)
    entries = traffic(30, 0.03)
    for i in range(30, 90):
        own = make_frame(i, 60)
        codes = ((own.categorical[0].codes == 0) & (np.arange(60) % 3 == 0)).astype(np.int32)
        columns = (*own.categorical, Coded(KINDS, codes))
        told = replace(own, categorical_names=(*own.categorical_names, ERROR), categorical=columns)
        entries.append(batch_entry(i + 1, i, 1, told))
    disk = folded(control_with(reference, Traffic(learn_days=0), segments=segments), entries)
    assert {(f.name, f.segment) for e in disk.evaluations for f in e.findings} >= {(ERROR, "country=DE")}


@pytest.mark.parametrize("cut", [3, 91, 131, 150])
def test_a_restart_of_the_worker_changes_no_bit_of_the_errors(cut: int) -> None:
    entries = [*traffic(130, 0.02, rows=40), *traffic(40, 0.1, 0.1, start=130, rows=40)]
    decided = control_with(reference_with_errors(), Traffic(learn_days=QUICK.learn_days, duplicates=True))
    whole, disk = folded(decided, entries), Disk(decided)
    disk.fold(disk.watch(), entries[:cut])
    disk.fold(disk.watch(), entries[cut:])
    assert disk.evaluations == whole.evaluations
    assert disk.snapshots == whole.snapshots
    assert ERRORS in blamed(whole.evaluations)


def test_batches_that_are_split_are_the_same_evidence() -> None:
    def cut(entry: LogEntry, frame: Frame) -> list[LogEntry]:
        halves = between(frame, 0, frame.rows // 3), between(frame, frame.rows // 3, frame.rows)
        return [
            batch_entry(2 * entry.position + i, (entry.arrival_us - START_US) / 1e6, 1, half)
            for i, half in enumerate(halves)
        ]

    frames = [with_errors(make_frame(i, 40), i, 0.02 if i < 130 else 0.3) for i in range(160)]
    entries = [batch_entry(i + 1, i, 1, frame) for i, frame in enumerate(frames)]
    halved = [half for entry, frame in zip(entries, frames, strict=True) for half in cut(entry, frame)]
    decided = control_with(reference_with_errors())
    whole, split = folded(decided, entries), folded(decided, halved)
    assert [e.evidence_log for e in split.evaluations] == [e.evidence_log for e in whole.evaluations]
    assert [e.findings for e in split.evaluations] == [e.findings for e in whole.evaluations]
    assert traffic_status(split) == traffic_status(whole)
    assert blamed(whole.evaluations)


def test_what_was_learnt_of_errors_outlives_a_restart_of_the_evidence() -> None:
    shown = traffic_status(folded(control(restart=150), traffic(200, 0.05, rows=20)))
    assert shown["error_kinds"] == ["timeout"]
    assert isinstance(shown["errors_total"], int)
    assert shown["errors_total"] > 150


def test_a_baseline_without_errors_is_not_touched_by_their_column() -> None:
    """Only the traffic sees them: the evidence of the columns is that of the same events without a word of errors."""
    off = Traffic(learn_days=0)
    told, silent = (folded(control_with(compiled(), off), traffic(20, share)) for share in (0.2, 0.0))
    assert [e.evidence_log for e in told.evaluations] == [e.evidence_log for e in silent.evaluations]


def column(labels: Sequence[str], codes: Sequence[int]) -> Coded:
    return Coded(tuple(labels), np.array(codes, np.int32))


def test_events_with_an_error_are_counted_whatever_it_is_called() -> None:
    errors = Errors()
    told = column((NO_ERROR, "oom", SOME_ERROR), [0, 1, 1, 2, 0, INVALID, MISSING])
    assert errors.see(told) == 4
    assert errors.see(column((), [MISSING, MISSING])) == 0
    assert errors.see(column(("oom",), [0])) == 1
    errors.close()
    assert errors.total == 5
    assert errors.kinds == ("oom", SOME_ERROR)


def test_errors_without_a_kind_have_nothing_to_name() -> None:
    errors = Errors()
    errors.see(column((SOME_ERROR,), [0, 0]))
    errors.close()
    assert errors.kinds == ()


def test_the_latest_kinds_are_named_first_however_frequent_others_once_were() -> None:
    errors = Errors()
    for kind, ticks in (("timeout", 500), ("oom", 5)):
        for _ in range(ticks):
            errors.see(column((kind,), [0] * 10))
            errors.close()
    assert errors.kinds[0] == "oom"
    assert sum(events for _, events in errors.stored().latest) <= LATEST


@given(
    st.lists(st.sampled_from([f"kind {i:03}" for i in range(OPEN_MAX + 40)]), min_size=1, max_size=900),
    st.randoms(use_true_random=False),
)
def test_the_order_within_a_tick_and_its_cuts_do_not_matter(kinds: list[str], random: Random) -> None:
    every = [f"kind {i:03}" for i in range(OPEN_MAX + 40)]
    stored = []
    for shuffled in (False, True):
        order = [*kinds, *every]
        errors = Errors()
        if shuffled:
            random.shuffle(order)
        size = 7 if shuffled else len(order)
        for start in range(0, len(order), size):
            part = order[start : start + size]
            labels = tuple(dict.fromkeys(part))
            errors.see(column(labels, [labels.index(kind) for kind in part]))
            if shuffled:
                errors = Errors(errors.stored())
        assert len(errors.stored().opened) == OPEN_MAX
        assert dict(errors.stored().opened) == dict(sorted(Counter(order).items())[:OPEN_MAX])
        errors.close()
        assert len(errors.kinds) <= KEPT
        stored.append(errors.stored())
    assert stored[0] == stored[1]


def test_nothing_is_what_it_begins_with() -> None:
    assert Errors().stored() == StoredErrors()
    assert Errors().kinds == ()

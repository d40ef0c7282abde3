"""Labels joined with answers: exact however the log is cut, bounded, and evidence where the reference has labels."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.alert.decide import cause_of
from service.detect.references import from_bytes, to_bytes
from service.domain.ids import Micros, Position, VersionId
from service.domain.performance import Performance
from service.domain.policy import Cause
from service.frames import between, texts_of
from service.frames.labels import encode_labels, read_labels
from service.ports import EntryKind, LogEntry
from tests.service.detect.labelling import (
    BEGUN_US,
    CLASSES,
    NUMBERS,
    answers_of,
    control_of,
    labelled_reference,
    labels_entry,
    named,
    numbered,
    truth_of,
)
from tests.service.detect.test_watch import THRESHOLD, Disk, folded, status
from tests.service.worker.world import SMALL_BUDGET, batch_entry, make_frame

WRONG = "performance.wrong"
NO_LOG: Any = None
"""Whose labels evidence is, is told without reading the log."""


def story(
    seconds: int, *, wrong: float, rows: int = 40, delay: int = 3, worse: float = 0.0, after: int = 10**9
) -> list[LogEntry]:
    """One batch a second, and the labels of each some seconds later; from ``after`` on answers are wrong more often."""
    entries: list[LogEntry] = []
    for second in range(seconds):
        frame = named(make_frame(second, rows), second * rows)
        entries.append(batch_entry(0, second, 1, frame))
        share = worse if second >= after else wrong
        ids = [f"event-{second * rows + row}" for row in range(rows)]
        told = list(zip(ids, truth_of(frame, share, 1000 + second), strict=True))
        entries.append(labels_entry(0, second + delay + 0.5, told))
    entries.sort(key=lambda entry: entry.arrival_us)
    return [replace(entry, position=Position(place + 1)) for place, entry in enumerate(entries)]


def performance(disk: Disk) -> dict[str, Any]:
    told = status(disk)["performance"]
    assert isinstance(told, dict)
    return told


def test_answers_that_turn_wrong_raise_the_evidence_and_are_named_with_what_was_usual() -> None:
    disk = folded(control_of(labelled_reference()), story(60, wrong=0.05, worse=0.3, after=20))
    above = [e for e in disk.evaluations if e.above]
    assert above
    first = above[0]
    finding = next(f for f in first.findings if f.name == WRONG)
    assert finding.group == "performance"
    assert cause_of(finding) is Cause.PERFORMANCE
    assert finding.direction.startswith("up: ")
    assert "% of the answers wrong where the baseline has 4.7%" in finding.direction
    assert (first.at_us - BEGUN_US) / 1e6 < 40
    assert (finding.since_us - BEGUN_US) / 1e6 == pytest.approx(23, abs=6)


def test_labels_that_go_on_as_usual_raise_nothing() -> None:
    disk = folded(control_of(labelled_reference()), story(300, wrong=0.05))
    assert max(e.evidence_log for e in disk.evaluations) < THRESHOLD
    assert performance(disk)["bet"] == 300 * 40


def test_better_answers_are_no_news() -> None:
    disk = folded(control_of(labelled_reference(0.3)), story(120, wrong=0.0))
    assert max(e.evidence_log for e in disk.evaluations) < THRESHOLD


def test_a_class_that_is_missed_is_named() -> None:
    entries = []
    for second in range(60):
        frame = named(make_frame(second, 40), second * 40)
        entries.append(batch_entry(2 * second + 1, second, 1, frame))
        truth = truth_of(frame, 0.05, second)
        # Half of what the model calls fine is fraud.
        if second >= 20:
            flips = np.random.default_rng(second).random(40) < 0.5
            truth = ["fraud" if a == "ok" and f else t for a, t, f in zip(answers_of(frame), truth, flips, strict=True)]
        told = [(f"event-{second * 40 + row}", label) for row, label in enumerate(truth)]
        entries.append(labels_entry(2 * second + 2, second + 0.5, told))
    last = folded(control_of(labelled_reference()), entries).evaluations[-1]
    words = {f.name: f.direction for f in last.findings}
    assert words["performance.missed.fraud"].endswith("% of 'fraud' missed where the baseline has 4.8%")
    assert "performance.missed.ok" not in words


def test_a_version_that_is_never_labelled_has_the_evidence_of_one_without_ids() -> None:
    events = [entry for entry in story(30, wrong=0.05) if entry.kind is EntryKind.BATCH]
    bare = [batch_entry(e.position, i, 1, make_frame(i, 40)) for i, e in enumerate(events)]
    one, other = folded(control_of(labelled_reference()), events), folded(control_of(labelled_reference()), bare)
    assert [e.evidence_log for e in one.evaluations] == [e.evidence_log for e in other.evaluations]


def test_without_labels_in_the_reference_figures_are_shown_and_nothing_is_bet() -> None:
    disk = folded(control_of(compile_reference_plain()), story(60, wrong=0.9))
    told = performance(disk)
    assert max(e.evidence_log for e in disk.evaluations) < THRESHOLD
    assert told["bet"] == 0
    assert "put it again with `label`" in told["lacking"]
    assert told["baseline"] is None
    assert told["windows"]["1h"]["figures"]["wrong"][0] == pytest.approx(0.9, abs=0.05)


def test_without_a_baseline_figures_are_shown() -> None:
    told = performance(folded(control_of(), story(20, wrong=0.1)))
    assert told["joined"] == 20 * 40
    assert "no baseline" in told["lacking"]


def compile_reference_plain() -> Any:
    from tests.service.worker.world import compiled

    return compiled()


def test_figures_are_those_of_the_labels() -> None:
    entries = story(20, wrong=0.1)
    told = performance(folded(control_of(labelled_reference()), entries))
    frames = [make_frame(second, 40) for second in range(20)]
    answers = [a for f in frames for a in answers_of(f)]
    truth = [t for s, f in enumerate(frames) for t in truth_of(f, 0.1, 1000 + s)]
    pairs = list(zip(truth, answers, strict=True))
    figures = told["windows"]["total"]["figures"]
    assert figures["confusion"] == [[*(pairs.count((t, a)) for a in CLASSES), 0] for t in CLASSES] + [[0, 0, 0]]
    assert figures["accuracy"] == pytest.approx(np.mean([t == a for t, a in pairs]), abs=1e-6)
    chance = np.concatenate([f.numeric[f.numeric_names.index("probabilities.fraud")] for f in frames])
    own = np.where(np.array(truth) == "fraud", chance, 1 - chance)
    assert figures["log_loss"] == pytest.approx(float(-np.log(own).mean()), abs=1e-5)
    assert figures["brier"] == pytest.approx(float((2 * (1 - own) ** 2).mean()), abs=1e-5)
    assert told["windows"]["1h"]["delay_median_seconds"] == pytest.approx(3.5, rel=0.07)
    assert told["baseline"]["wrong"][0] == pytest.approx(0.05, abs=0.01)


# -- which labels count ---------------------------------------------------------------------------------------------


def one_batch(rows: int = 4) -> LogEntry:
    return batch_entry(1, 0.0, 1, named(make_frame(1, rows)))


def test_the_first_label_of_an_answer_counts() -> None:
    entries = [
        one_batch(),
        labels_entry(2, 1, [("event-0", "ok"), ("event-0", "fraud"), ("event-1", "ok")]),
        labels_entry(3, 2, [("event-0", "fraud")]),
    ]
    told = performance(folded(control_of(), entries))
    assert (told["joined"], told["repeated"]) == (2, 2)
    rights = sum(answer == "ok" for answer in answers_of(make_frame(1, 4))[:2])
    assert told["windows"]["total"]["figures"]["accuracy"] == rights / 2


def test_a_label_for_an_id_that_came_twice_is_about_the_latest_answer() -> None:
    first = named(make_frame(1, 1))
    twice = [batch_entry(i, i, 1, replace(make_frame(i, 1), event_ids=texts_of(["same"]))) for i in (1, 2, 3)]
    assert first.rows == 1
    latest = answers_of(make_frame(3, 1))[0]
    told = performance(folded(control_of(), [*twice, labels_entry(4, 4, [("same", latest)])]))
    assert told["windows"]["total"]["figures"]["accuracy"] == 1.0
    assert told["windows"]["total"]["delay_median_seconds"] == pytest.approx(1.0, rel=0.1)


def test_a_label_that_comes_before_its_event_waits_for_it() -> None:
    early = labels_entry(1, 0.0, [(f"event-{row}", "ok") for row in range(3)] + [("nobody", "ok")])
    told = performance(folded(control_of(), [early, replace(one_batch(), position=Position(2))]))
    assert (told["joined"], told["waiting"], told["unknown"]) == (3, 1, 0)


def test_labels_that_wait_are_bounded_and_the_oldest_are_given_up() -> None:
    entries = [labels_entry(i + 1, i, [(f"e{i}-{j}", "ok") for j in range(400)]) for i in range(4)]
    told = performance(folded(control_of(), entries))
    assert (told["waiting"], told["unknown"]) == (1_000, 600)


def test_late_labels_are_told_from_unknown_ones_and_memory_is_bounded() -> None:
    policy = msgspec.structs.replace(SMALL_BUDGET, performance=Performance(answers=1_500))
    entries = [batch_entry(i + 1, i, 1, named(make_frame(i, 500), i * 500)) for i in range(12)]
    entries.append(
        labels_entry(13, 13, [("event-5999", "ok"), ("event-4500", "ok"), ("event-4499", "ok"), ("x", "ok")])
    )
    disk = folded(control_of(policy=policy), entries)
    told = performance(disk)
    assert (told["joined"], told["late"], told["waiting"]) == (2, 1, 1)
    assert (told["capacity"], told["remembered"], told["labelled"]) == (1_500, 1_500, 2)
    kept = disk.snapshots[VersionId(1)].answers
    assert sum(len(block.content) for block in kept) <= (2 * 1_500 + 2 * 1_024) * 32


def test_a_policy_may_compare_no_labels() -> None:
    policy = msgspec.structs.replace(SMALL_BUDGET, performance=Performance(answers=0))
    disk = folded(control_of(labelled_reference(), policy), story(20, wrong=0.5))
    assert status(disk)["performance"] is None
    assert disk.snapshots[VersionId(1)].answers == ()


def test_after_a_release_what_was_answered_before_is_no_evidence() -> None:
    entries = story(40, wrong=0.6, delay=10)
    half = next(e.position for e in entries if e.arrival_us >= BEGUN_US + 20_000_000)
    told = performance(folded(control_of(labelled_reference(), restart=half), entries))
    # Of the answers of the first twenty seconds, those labelled later are shown alone.
    assert told["joined"] == 40 * 40
    assert told["joined"] - told["bet"] == 11 * 40


def test_labels_of_one_reporter_are_known_as_such() -> None:
    entries = story(40, wrong=0.6)
    control = control_of(labelled_reference())
    for share, found in ((1.0, True), (0.3, False)):
        rng = np.random.default_rng(1)
        told = [entry if entry.kind is EntryKind.BATCH else reported(entry, share, rng) for entry in entries]
        disk = Disk(control)
        watch = disk.watch()
        disk.fold(watch, told)
        evaluation = next(e for e in disk.evaluations if e.above)
        carrier = watch.carrier(NO_LOG, evaluation, Micros(0), Micros(0), news=True)
        assert (carrier is not None) == found
        if carrier is not None:
            assert (carrier.principal, carrier.share) == ("a" * 32, 1.0)


def reported(entry: LogEntry, share: float, rng: np.random.Generator) -> LogEntry:
    """Return labels of which one principal reports a share."""
    names = ["a" * 32 if own else "" for own in (rng.random(entry.rows) < share).tolist()]
    told = zip(read_labels(entry.body), names, strict=True)
    return replace(entry, body=encode_labels([msgspec.structs.replace(row, principal=name) for row, name in told]))


LABELS = st.one_of(
    st.text(max_size=5),
    st.integers(-(1 << 63), (1 << 64) - 1),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
)


@given(
    st.lists(
        st.tuples(
            st.one_of(st.sampled_from(["event-0", "event-1", "event-2"]), st.text(min_size=1, max_size=300)), LABELS
        ),
        min_size=1,
        max_size=30,
    ),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_hostile_labels_stop_nothing_and_are_all_counted(rows: list[tuple[str, Any]], numbers: bool) -> None:
    frame = make_frame(1, 3)
    entry = batch_entry(1, 0.0, 1, named(numbered(frame, np.array([1.0, -2.0, 3e300])) if numbers else frame))
    control = control_of(schema=NUMBERS) if numbers else control_of()
    told = performance(folded(control, [entry, labels_entry(2, 1, rows)]))
    assert sum(told[name] for name in ("joined", "repeated", "late", "unknown", "waiting", "unfit")) == len(rows)


def test_ids_that_are_long_or_alike_are_told_apart() -> None:
    ids = ["a" * 256, "a" * 257, "ä" * 10, "a" * 255 + "b", "a", "b", "aa", "\0", "\0\0"]
    frame = replace(make_frame(1, len(ids)), event_ids=texts_of(ids))
    told = performance(
        folded(control_of(), [batch_entry(1, 0.0, 1, frame), labels_entry(2, 1, [(each, "ok") for each in ids])])
    )
    assert (told["joined"], told["unknown"]) == (len(ids) - 1, 1)


# -- exact ----------------------------------------------------------------------------------------------------------


@given(
    cuts=st.lists(st.integers(1, 79), max_size=6),
    restarts=st.sets(st.integers(0, 6)),
    seed=st.integers(0, 5),
)
@settings(max_examples=10, deadline=None)
def test_passes_and_restarts_change_nothing(cuts: list[int], restarts: set[int], seed: int) -> None:
    policy = msgspec.structs.replace(SMALL_BUDGET, performance=Performance(answers=400))
    control = control_of(labelled_reference(), policy)
    entries = story(40, wrong=0.05 + 0.1 * seed, rows=30, delay=seed)
    straight = folded(control, entries)
    disk = Disk(control)
    watch, start = disk.watch(), 0
    for number, end in enumerate([*sorted(set(cuts)), len(entries)]):
        if number in restarts:
            watch = disk.watch(Micros(entries[start - 1].arrival_us) if start else None)
        disk.fold(watch, entries[start:end])
        start = end
    assert [e.evidence_log for e in disk.evaluations] == [e.evidence_log for e in straight.evaluations]
    own, other = disk.snapshots[VersionId(1)], straight.snapshots[VersionId(1)]
    assert own.blob == other.blob
    assert performance(disk) == performance(straight)
    assert own.answers == other.answers


@given(order=st.permutations(range(6)))
@settings(max_examples=10, deadline=None)
def test_the_order_within_a_tick_and_the_split_of_batches_change_nothing(order: Sequence[int]) -> None:
    frame = named(make_frame(3, 60))
    truth = [(f"event-{row}", label) for row, label in enumerate(truth_of(frame, 0.3, 1))]
    pieces = [
        ("batch", 0, 20),
        ("batch", 20, 60),
        ("labels", 0, 10),
        ("labels", 10, 40),
        ("labels", 40, 59),
        ("labels", 59, 60),
    ]

    def play(chosen: Sequence[tuple[str, int, int]]) -> tuple[list[float], dict[str, Any]]:
        entries = [
            batch_entry(i + 1, 0.1, 1, part(start, stop))
            if kind == "batch"
            else labels_entry(i + 1, 0.1, truth[start:stop])
            for i, (kind, start, stop) in enumerate(chosen)
        ]
        disk = folded(control_of(labelled_reference()), [*entries, batch_entry(99, 5, 1, named(make_frame(4, 5), 100))])
        return [e.evidence_log for e in disk.evaluations], performance(disk)

    def part(start: int, stop: int) -> Any:
        ids = [f"event-{row}" for row in range(start, stop)]
        return replace(between(replace(frame, event_ids=None), start, stop), event_ids=texts_of(ids))

    whole = play([("batch", 0, 60), ("labels", 0, 60)])
    assert play([pieces[place] for place in order]) == whole


def test_a_snapshot_whose_answers_are_damaged_costs_the_labels_and_nothing_else() -> None:
    entries = story(20, wrong=0.05)
    control = control_of(labelled_reference())
    disk = Disk(control)
    disk.fold(disk.watch(), entries[:20])
    held = disk.snapshots[VersionId(1)]
    disk.snapshots[VersionId(1)] = replace(held, answers=())
    watch = disk.watch()
    disk.fold(watch, entries[20:])
    assert status(disk)["ticks"] == 22
    assert performance(disk)["joined"] < 20 * 40


def test_an_artefact_with_labels_comes_back_bit_for_bit() -> None:
    artefact = labelled_reference().artefact
    assert to_bytes(from_bytes(artefact)) == artefact
    assert from_bytes(artefact).performance is not None


def test_a_reference_with_few_labels_says_so() -> None:
    few = labelled_reference(0.05, 4_000, 0.01)
    assert any(w["code"] == "labels" and "at least 100 are needed" in w["text"] for w in few.warnings)
    assert WRONG not in few.columns
    partly = labelled_reference(0.05, 4_000, 0.5)
    assert any("of 4,000 rows have an answer and a label" in w["text"] for w in partly.warnings)
    assert WRONG in partly.columns
    disk = folded(control_of(partly), story(200, wrong=0.05))
    assert max(e.evidence_log for e in disk.evaluations) < THRESHOLD
    assert math.isfinite(disk.evaluations[-1].evidence_log)

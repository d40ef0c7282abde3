"""The traffic part of a version's evidence: learnt live, fused with the columns', exact over restarts."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.alert.decide import cause_of
from service.detect.reference import CompiledReference
from service.detect.repeats import hashes_of
from service.detect.status import VANISHED
from service.detect.traffic import ABSENT, ERRORS, REPEATED, SHARE, UNKNOWN, share_of
from service.detect.watch import Watch
from service.domain.evaluation import Evaluation, Silence
from service.domain.ids import Micros, Position, VersionId
from service.domain.policy import Cause, ColumnChoice, Policy, Traffic
from service.domain.records import ColumnFinding
from service.domain.schema import UNKNOWN_FIELDS
from service.frames import Coded, Frame, between
from service.ports import Control, LogEntry
from tests.service.detect.test_watch import THRESHOLD, Disk, folded, logs, status
from tests.service.worker.world import (
    SMALL_BUDGET,
    baseline_record,
    batch_entry,
    compiled,
    make_control,
    make_frame,
    make_version,
)

QUICK = Traffic(learn_days=90 / 86_400)
"""Ninety seconds of learning."""
RATE = "traffic.rate"


@cache
def reference() -> CompiledReference:
    return compiled()


def control(traffic: Traffic = QUICK, restart: int = 0, **said: object) -> Control:
    policy = Policy(budget=SMALL_BUDGET.budget, traffic=traffic, **said)  # type: ignore[arg-type]
    return make_control([make_version(1, restart=restart)], {1: [baseline_record(1, reference())]}, policy)


def with_unknown(frame: Frame, label: str = "shoe_size") -> Frame:
    column = Coded((label,), np.zeros(frame.rows, np.int32))
    names, columns = (*frame.categorical_names, UNKNOWN_FIELDS), (*frame.categorical, column)
    return replace(frame, categorical_names=names, categorical=columns)


def frames(sizes: Sequence[int], start: int = 0, **made: object) -> list[LogEntry]:
    """One batch a second, of the sizes given; a size of 0 is a second without events."""
    return [
        batch_entry(start + i + 1, start + i, 1, make_frame(start + i, size, **made))  # type: ignore[arg-type]
        for i, size in enumerate(sizes)
        if size
    ]


def sizes(seed: int, seconds: int, mean: float = 12.0) -> list[int]:
    return [int(size) for size in np.random.default_rng(seed).poisson(mean, seconds)]


def blamed(evaluations: Sequence[Evaluation]) -> dict[str, ColumnFinding]:
    return {f.name: f for e in evaluations for f in e.findings}


def test_while_nothing_is_learnt_the_evidence_is_that_of_the_columns() -> None:
    entries = frames(sizes(1, 60))
    without, learning = folded(control(Traffic(learn_days=0)), entries), folded(control(), entries)
    assert [e.evidence_log for e in learning.evaluations] == [e.evidence_log for e in without.evaluations]
    assert status(without)["traffic"] is None
    shown = status(learning)["traffic"]
    assert isinstance(shown, dict)
    assert (shown["state"], shown["columns"], shown["stale_after_seconds"]) == ("warming", [], None)
    assert 0.5 < shown["learnt"] < 0.7


def test_usual_traffic_once_learnt_costs_the_columns_a_tenth_of_the_budget_and_raises_nothing() -> None:
    entries = frames(sizes(2, 400))
    without, learnt = folded(control(Traffic(learn_days=0)), entries), folded(control(), entries)
    assert max(e.evidence_log for e in learnt.evaluations) < THRESHOLD
    alone, both = without.evaluations[-1].evidence_log, learnt.evaluations[-1].evidence_log
    assert both >= alone + math.log1p(-SHARE)
    shown = status(learnt)["traffic"]
    assert isinstance(shown, dict)
    assert (shown["state"], shown["learnt"]) == ("watching", 1.0)
    assert [column["name"] for column in shown["columns"]] == [RATE, UNKNOWN, ABSENT, ERRORS]
    assert all(column["tolerance"] >= 1.5 for column in shown["columns"])


@pytest.mark.parametrize(("factor", "direction"), [(4, "up"), (0.25, "down")])
def test_another_rate_is_blamed_by_name_and_as_traffic(factor: float, direction: str) -> None:
    entries = [*frames(sizes(3, 130)), *frames(sizes(4, 120, 12 * factor), start=130)]
    found = blamed(folded(control(), entries).evaluations)
    assert set(found) == {RATE}
    assert found[RATE].group == "traffic"
    assert cause_of(found[RATE]) is Cause.TRAFFIC
    assert found[RATE].direction.startswith(f"{direction}, ")
    assert abs(found[RATE].since_us - 1_795_428_130_000_000) <= 8_000_000


def test_unknown_fields_are_an_alert_about_quality_that_names_them() -> None:
    before = frames(sizes(5, 130))
    after = [
        batch_entry(131 + i, 130 + i, 1, with_unknown(make_frame(130 + i, size or 1)))
        for i, size in enumerate(sizes(6, 60))
    ]
    disk = folded(control(), [*before, *after])
    found = blamed(disk.evaluations)
    assert set(found) == {UNKNOWN}
    assert cause_of(found[UNKNOWN]) is Cause.DATA_QUALITY
    assert found[UNKNOWN].direction.endswith(": shoe_size")
    shown = status(disk)["traffic"]
    assert isinstance(shown, dict)
    assert shown["unknown_fields"] == ["shoe_size"]


def test_probabilities_that_are_no_shares_of_one_are_counted_and_lost_by_no_restart() -> None:
    frame = make_frame(1, 6)
    places = [frame.numeric_names.index(f"probabilities.{name}") for name in ("fraud", "ok")]
    numeric = frame.numeric.copy()
    numeric[places] = [[0.5, 0.5, 1.2, 0.5, np.nan, np.inf], [0.5, 0.51, -0.2, 0.4, 0.9, 0.1]]
    odd = replace(frame, numeric=numeric)
    names = tuple(name for i, name in enumerate(frame.numeric_names) if i != places[0])
    part = replace(odd, numeric_names=names, numeric=np.delete(numeric, places[0], axis=0))
    entries = [batch_entry(i + 1, i, 1, each) for i, each in enumerate((odd, part, odd, frame))]
    for size in (4, 1):
        disk = Disk(control())
        for first in range(0, len(entries), size):
            disk.fold(disk.watch(), entries[first : first + size])
        shown = status(disk)["traffic"]
        assert isinstance(shown, dict)
        # The third, the fourth and the last: what is missing is counted as missing elsewhere.
        assert shown["odd_probabilities"] == 6


def test_the_fields_of_one_request_are_named_one_by_one_and_at_most_twenty_of_them() -> None:
    """Ingest writes them into one label: as many labels as there are mixtures would soon fill the list."""
    labels = ["shoe_size, gpu", "gpu, shoe_size", "gpu", *(f"{i}, gpu" for i in range(30))]
    entries = [batch_entry(i + 1, i, 1, with_unknown(make_frame(i, 5), label)) for i, label in enumerate(labels)]
    shown = status(folded(control(), entries))["traffic"]
    assert isinstance(shown, dict)
    assert shown["unknown_fields"] == ["shoe_size", "gpu", *map(str, range(18))]


def test_columns_that_telemetry_leaves_out_all_at_once_are_an_alert() -> None:
    """Prediction, probabilities and latency are optional, so that their lack is in no bin of their own."""
    entries = [*frames(sizes(7, 130)), *frames(sizes(8, 60), start=130, extras=False)]
    found = blamed(folded(control(), entries).evaluations)
    assert set(found) == {ABSENT}
    assert cause_of(found[ABSENT]) is Cause.DATA_QUALITY
    assert not blamed(folded(control(Traffic(learn_days=0)), entries).evaluations)


def test_a_feature_that_vanishes_is_an_alert_that_says_so() -> None:
    entries = [*frames(sizes(9, 30)), *frames(sizes(10, 30), start=30, missing=1.0)]
    found = blamed(folded(control(), entries).evaluations)
    assert found["age"].direction == VANISHED
    assert cause_of(found["age"]) is Cause.DATA_QUALITY


def test_what_is_learnt_outlives_a_restart_of_the_evidence_and_not_a_baseline() -> None:
    entries = frames(sizes(11, 200))
    restarted = folded(control(restart=150), entries)
    shown = status(restarted)["traffic"]
    assert isinstance(shown, dict)
    assert shown["state"] == "watching"
    records = [baseline_record(1, reference()), baseline_record(1, reference(), from_position=150, name="b2")]
    policy = Policy(budget=SMALL_BUDGET.budget, traffic=QUICK)
    anew = folded(make_control([make_version(1)], {1: records}, policy), entries)
    shown = status(anew)["traffic"]
    assert isinstance(shown, dict)
    assert shown["state"] == "warming"


def test_traffic_that_should_not_come_teaches_nothing_and_contradicts_nothing() -> None:
    disk = Disk(control())
    watch = disk.watch()
    disk.fold(watch, frames(sizes(12, 130)))
    disk.fold(watch, frames(sizes(13, 200, 200.0), start=130), serving=False)
    assert not blamed(disk.evaluations)
    disk.fold(watch, frames(sizes(14, 100), start=330))
    assert not blamed(disk.evaluations)


@pytest.mark.parametrize("cut", [3, 89, 94, 131, 170])
def test_a_restart_of_the_worker_changes_no_bit(cut: int) -> None:
    entries = [*frames(sizes(15, 130)), *frames(sizes(16, 60, 48), start=130, extras=False)]
    everything = Traffic(learn_days=QUICK.learn_days, duplicates=True)
    whole = folded(control(everything), entries)
    disk = Disk(control(everything))
    disk.fold(disk.watch(), entries[:cut])
    disk.fold(disk.watch(), entries[cut:])
    assert disk.evaluations == whole.evaluations
    assert disk.snapshots == whole.snapshots
    assert set(blamed(whole.evaluations)) == {RATE, ABSENT}


def test_an_ignored_column_is_not_blamed_beside_traffic() -> None:
    entries = [*frames(sizes(17, 130)), *frames(sizes(18, 60, 60), start=130, shift=3.0)]
    ignored = {"age": ColumnChoice(ignore=True)}
    found = blamed(folded(control(columns=ignored), entries).evaluations)
    assert RATE in found
    assert "prediction" in found or "probabilities.fraud" in found
    assert "age" not in found


def test_a_policy_divides_off_the_share_of_traffic() -> None:
    engine_groups = {"feature", "prediction", "latency", "score", "multivariate"}
    watch = Disk(control()).watch()
    watch.take(frames([5])[0], serving=True)
    fold = watch._folds[VersionId(1)]
    assert fold.watched is not None
    baseline = fold.watched.engine.baseline
    groups = {column.spec.group.value for column in baseline.columns}
    assert groups <= engine_groups
    assert share_of(Policy().tuning, baseline) == SHARE
    assert share_of(Policy(shares={"traffic": 1.0}).tuning, baseline) == pytest.approx(1 / (1 + len(groups)))
    told = Policy(shares={"traffic": 2.0, "feature": 3.0, "quality": 1.0}).tuning
    assert share_of(told, baseline) == pytest.approx(2 / (2 + 3 + len(groups) - 1 + 1))


def test_the_budget_holds_with_a_share_of_traffic_in_the_policy() -> None:
    entries = frames(sizes(19, 20))
    plain = folded(control(shares={"feature": 1.0}), entries)
    named = folded(control(shares={"feature": 1.0, "traffic": 0.5}), entries)
    assert [e.evidence_log for e in named.evaluations] == [e.evidence_log for e in plain.evaluations]
    assert status(named)["notes"] == []


def test_replayed_events_are_found_once_a_policy_wants_them_counted() -> None:
    """A sender that replays the same ten seconds; without the option nobody looks."""
    wanted = Traffic(learn_days=QUICK.learn_days, duplicates=True)
    before = frames(sizes(20, 130, 60.0))
    replayed = [
        replace(
            entry, position=Position(entry.position + 10 * turn), arrival_us=Micros(entry.arrival_us + 10**7 * turn)
        )
        for turn in range(1, 13)
        for entry in before[-10:]
    ]
    found = blamed(folded(control(wanted), [*before, *replayed]).evaluations)
    assert set(found) == {REPEATED}
    assert cause_of(found[REPEATED]) is Cause.DATA_QUALITY
    assert not blamed(folded(control(), [*before, *replayed]).evaluations)


def test_copies_are_known_whatever_their_answer_and_their_company() -> None:
    frame = make_frame(1, 3_000)
    numeric = frame.numeric.copy()
    numeric[-1] += 1.0
    answer = Coded(("fraud", "ok"), 1 - frame.categorical[1].codes)
    labels = frame.categorical[0].labels[::-1]
    country = Coded(labels, (len(labels) - 1 - frame.categorical[0].codes).astype(np.int32))
    copies = replace(frame, numeric=numeric, categorical=(country, answer))
    assert frame.numeric_names[-1] == "latency_ms"
    own = hashes_of(frame)
    assert 100 < len(own) < 300
    assert hashes_of(copies).tolist() == own.tolist()
    assert hashes_of(with_unknown(frame)).tolist() == own.tolist()
    halves = [hashes_of(between(frame, 0, 1_234)), hashes_of(between(frame, 1_234, 3_000))]
    assert np.concatenate(halves).tolist() == own.tolist()
    other = replace(frame, categorical=(Coded(("XX",), np.zeros(3_000, np.int32)), frame.categorical[1]))
    assert not set(hashes_of(other).tolist()) & set(own.tolist())


@given(logs(), st.data())
@settings(max_examples=25, deadline=None)
def test_cuts_and_restarts_change_nothing_of_traffic_and_silence(entries: list[LogEntry], data: st.DataObject) -> None:
    """With a learning span so short that most of the logs are bet on."""
    short = Traffic(learn_days=6 / 86_400, duplicates=True, stale_after_seconds=60.0)
    policy = Policy(budget=SMALL_BUDGET.budget, traffic=short)
    middle = len(entries) // 2
    versions = [make_version(1, restart=data.draw(st.sampled_from([0, middle]))), make_version(2)]
    records = {1: [baseline_record(1, reference())], 2: [baseline_record(2, reference(), name="c1")]}
    decided = make_control(versions, records, policy)
    with (
        patch("detectors.traffic.options.BEATS_LEAST", 3),
        patch("detectors.traffic.learn.BEATS_MIN", 3),
        patch("detectors.traffic.monitor.EVENTS_MIN", 1),
    ):
        whole, cut = Disk(decided), Disk(decided)
        told = [told_of(whole, whole.watch(), entries), []]
        watch, rest, at = cut.watch(), entries, None
        while rest:
            size = data.draw(st.integers(1, len(rest)))
            told[1] += told_of(cut, watch, rest[:size])
            at, rest = rest[size - 1].arrival_us, rest[size:]
            if data.draw(st.booleans()):
                watch = cut.watch(read_at=at)
    assert told[0] == told[1]
    assert cut.evaluations == whole.evaluations
    assert cut.snapshots == whole.snapshots


def told_of(disk: Disk, watch: Watch, entries: Sequence[LogEntry]) -> list[Silence]:
    """Do one pass as the pipeline does, and return the silences it told of."""
    told = []
    for entry in entries:
        disk.evaluations += watch.close_due(entry)
        told += watch.silences(entry, lambda _: Micros(0))
        watch.take(entry, serving=True)
    watch.settle(entries[-1].position)
    disk.snapshots |= {snapshot.version_id: snapshot for snapshot in watch.take_snapshots()}
    disk.windows |= {(row.version_id, row.level, row.start_us): row for row in watch.take_rows()}
    return told

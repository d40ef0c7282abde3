"""Parts under one budget: exact, honest, and sooner where only one of them changes.

Seeds are fixed. Where a test could fail by bad luck with another seed, its probability is stated.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.detection_segments import Setting, delays, false_alarms
from detectors.errors import DetectorError, StateError
from detectors.evidence import EvidenceEngine, PartEvidence, Together, blamed_of, log_rest, mean_of
from tests.detectors.samples import baseline_of, mixed

SMALL = Setting(segments=3, columns=2, reference=1_500, tick_rows=4)
LOGS = st.one_of(st.floats(-60, 60), st.just(-math.inf))


def evidence(log_share: float, log_model: float) -> PartEvidence:
    none = np.zeros(0)
    return PartEvidence(log_share=log_share, log_model=log_model, log_columns=none, log_shares=none)


@given(st.lists(st.tuples(st.floats(0.01, 1.0), LOGS), min_size=1, max_size=6))
def test_the_mean_is_the_mean(parts: list[tuple[float, float]]) -> None:
    whole = sum(share for share, _ in parts)
    told = [evidence(math.log(share / whole), log) for share, log in parts]
    plain = sum(share / whole * math.exp(log) for share, log in parts)
    found = mean_of(told)
    assert math.exp(found) == pytest.approx(plain, rel=1e-9, abs=0.0) if plain else found == -math.inf


def test_one_part_alone_is_itself_bit_for_bit_and_more_than_the_budget_is_refused() -> None:
    odd = 0.1 + 0.2
    assert mean_of([evidence(0.0, odd)]) == odd
    assert log_rest([]) == 0.0
    assert math.exp(log_rest([math.log(0.25)] * 3)) == pytest.approx(0.25)
    with pytest.raises(DetectorError, match="have 1 of the budget"):
        log_rest([math.log(0.5)] * 2)
    with pytest.raises(DetectorError, match=r"have 1\.1 of the budget"):
        mean_of([evidence(math.log(0.6), 0.0), evidence(math.log(0.5), 0.0)])


@given(st.data())
def test_blame_is_that_of_all_columns_in_one_list(data: st.DataObject) -> None:
    """e-BH by hand: the largest k whose evidence times share reaches A / k, else the strongest."""
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    threshold = math.log(1e4)
    parts, flat = [], []
    for part, size in enumerate(sizes):
        logs = data.draw(st.lists(st.floats(0, 14), min_size=size, max_size=size, unique=True))
        log_share = -math.log(len(sizes))
        shares = np.full(size, -math.log(size))
        parts.append(PartEvidence(log_share=log_share, log_model=0.0, log_columns=np.array(logs), log_shares=shares))
        flat += [(log - math.log(size) - math.log(len(sizes)), part, column) for column, log in enumerate(logs)]
    flat.sort(key=lambda each: -each[0])
    keep = max((k for k in range(1, len(flat) + 1) if flat[k - 1][0] >= threshold - math.log(k)), default=1)
    found = blamed_of(parts, threshold)
    values = {(part, column): log for log, part, column in flat}
    assert [values[each] for each in found] == pytest.approx([log for log, _, _ in flat[:keep]])


def some_counts(setting: Setting, together: Together, ticks: int, seed: int) -> NDArray[np.int64]:
    rows, places = setting.rows(np.random.default_rng(seed), ticks * setting.tick_rows)
    rows[places == 1, 0] += np.where(np.arange(len(rows)) > len(rows) // 2, 0.4, 0.0)[places == 1]
    return setting.counts(together, rows, places)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.integers(0, 3))
def test_runs_may_be_cut_anywhere(sizes: list[int], seed: int) -> None:
    together = TOGETHER
    counts = some_counts(SMALL, together, sum(sizes), seed)
    once = together.run(together.start(), np.arange(len(counts)), counts, None)
    states, at, seen = together.start(), 0, []
    for size in sizes:
        run = together.run(states, np.arange(at, at + size), counts[at : at + size], None)
        states, at = run.states, at + size
        seen += run.log_model.tolist()
    assert seen == once.log_model.tolist()
    assert [a.to_bytes() for a in states] == [b.to_bytes() for b in once.states]
    assert together.read(states) == pytest.approx(seen[-1], rel=1e-12)


TOGETHER = SMALL.engines(3)


def test_an_alarm_stops_the_run_where_single_steps_would() -> None:
    counts = some_counts(SMALL, TOGETHER, 400, 5)
    threshold = math.log(2_000)
    run = TOGETHER.run(TOGETHER.start(), np.arange(400), counts, threshold)
    assert run.alarm is not None
    states = TOGETHER.start()
    for tick in range(run.alarm + 1):
        step = TOGETHER.run(states, np.array([tick]), counts[tick : tick + 1], threshold)
        states = step.states
        assert (step.alarm is not None) == (tick == run.alarm)
    assert [a.to_bytes() for a in states] == [b.to_bytes() for b in run.states]
    part, blame = TOGETHER.blame(states, threshold)[0]
    assert (part, blame.name) == (2, "x0")


def test_a_part_without_events_does_not_move_and_its_ticks_are_fewer() -> None:
    rows, places = SMALL.rows(np.random.default_rng(1), 200)
    counts = SMALL.counts(TOGETHER, rows, np.where(places == 2, 0, places))
    states = TOGETHER.run(TOGETHER.start(), np.arange(50), counts, None).states
    assert states[0].ticks == 50
    assert states[3].ticks == 0
    assert states[3].to_bytes() == TOGETHER.engines[3].start().to_bytes()
    assert 0 < states[2].ticks < 50


def test_without_parts_the_evidence_is_that_of_the_engine_bit_for_bit() -> None:
    engine = EvidenceEngine(baseline_of(mixed(np.random.default_rng(0), 1000)))
    counts = np.random.default_rng(2).poisson(0.3, size=(60, engine.baseline.total)).astype(np.int64)
    alone = Together(engine)
    found = alone.run(alone.start(), np.arange(60), counts, None)
    plain = engine.run(engine.start(), np.arange(60), counts, None)
    assert found.log_model.tolist() == plain.log_model.tolist()
    assert alone.read(found.states) == engine.read(plain.state).log_model
    assert [blame for _, blame in alone.blame(found.states, 3.0)] == list(engine.blame(plain.state, 3.0))


def test_shares_and_shapes_that_cannot_be_are_refused() -> None:
    whole, part = TOGETHER.engines[:2]
    with pytest.raises(DetectorError, match=r"parts\[1\] has the share 1"):
        Together(whole, [(part, 0.5), (part, 1.0)])
    with pytest.raises(DetectorError, match="less than 1"):
        Together(whole, [(part, 0.5), (part, 0.5)])
    with pytest.raises(DetectorError, match="is needed"):
        TOGETHER.run(TOGETHER.start(), np.arange(3), np.zeros((3, 7), np.int64), None)
    with pytest.raises(StateError):
        TOGETHER.read(tuple(reversed(TOGETHER.start())))


def test_eight_segments_raise_no_more_false_alarms_than_one_budget_allows() -> None:
    """Forty budgets' worth of ticks: 115 alarms have probability below 10**-6 if the promise is kept.

    As in ``test_promise``: an alarm within n ticks has probability at most n / A.
    """
    budget = 300.0
    setting = Setting(segments=8, columns=3, reference=4_000, tick_rows=8)
    alarms = sum(false_alarms(setting, seed, int(20 * budget), budget) for seed in range(2))
    assert alarms < 115


def test_a_shift_in_one_of_four_segments_is_found_much_sooner_than_by_all_events_together() -> None:
    """Each of five runs: with segments the median is a tenth of what it is without, so half leaves room."""
    setting = Setting(segments=4, columns=5, reference=8_000, tick_rows=20)
    runs = np.array([delays(setting, seed, 1.0, 1e5, 400) for seed in range(5)])
    own, whole = np.median(runs, axis=0)
    assert own < whole / 2
    assert own < 30


def test_what_all_segments_share_costs_little_more_delay() -> None:
    """With half of the budget left, all events together need log 2 more evidence: a few per cent."""
    together = Setting(segments=4, columns=5, reference=8_000, tick_rows=20).engines(0)
    setting = Setting(segments=4, columns=5, reference=8_000, tick_rows=20)
    found = []
    for seed in range(5):
        rows, places = setting.rows(np.random.default_rng(seed), 20 * 100)
        rows[:, 0] += 0.3
        counts = setting.counts(together, rows, places)
        alone = Together(together.engines[0])
        with_parts = together.run(together.start(), np.arange(100), counts, math.log(1e5)).alarm
        without = alone.run(alone.start(), np.arange(100), counts[:, : alone.total], math.log(1e5)).alarm
        assert with_parts is not None
        assert without is not None
        found.append((with_parts + 1) / (without + 1))
    assert max(found) < 1.3

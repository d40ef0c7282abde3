"""The promise on false alarms, and how far the delay is from the theoretical limit.

Seeds are fixed. Where a test could fail by bad luck with another seed, its probability is stated.
"""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.detection_null import Case, autoregressive, measure
from detectors.baseline import Baseline
from detectors.binning import bin_rows
from detectors.columns import Codes
from detectors.evaluate import LabelledStream, evaluate
from detectors.evidence import EvidenceEngine, EvidenceOptions
from tests.detectors.samples import Columns, baseline_of, mixed

CHUNK = 2_000


def one_row_ticks(baseline: Baseline, columns: Columns) -> NDArray[np.int64]:
    bins = bin_rows(baseline, columns)
    counts = np.zeros((len(bins), baseline.total), dtype=np.int64)
    counts[np.arange(len(bins))[:, None], bins] = 1
    return counts


def alarms_on(engine: EvidenceEngine, counts: NDArray[np.int64], budget: float) -> list[int]:
    """Return the ticks of all alarms; the engine starts anew after each."""
    alarms: list[int] = []
    state, at = engine.start(), 0
    while at < len(counts):
        chunk = counts[at : at + CHUNK]
        run = engine.run(state, np.arange(at, at + len(chunk)), chunk, math.log(budget))
        state, at = run.state, at + len(run.log_model)
        if run.alarm is not None:
            alarms.append(at - 1)
            state = engine.start()
    return alarms


def test_an_unchanged_stream_alarms_no_more_often_than_the_budget_allows() -> None:
    """An alarm within n ticks has probability at most n / A, so times between alarms are at least uniform on [0, A].

    With 40 budgets' worth of ticks, 115 uniform times add up to so little with probability below 10**-6.
    """
    budget, rng = 500.0, np.random.default_rng(99)
    engine = EvidenceEngine(baseline_of(mixed(rng, 1000)))
    counts = one_row_ticks(engine.baseline, mixed(rng, int(40 * budget)))
    assert len(alarms_on(engine, counts, budget)) < 115


@pytest.mark.parametrize("kind", ["AR0.5", "AR0.8", "AR0.95", "sessions", "day"])
def test_the_promise_holds_for_rows_that_move_together_whatever_the_size_of_the_reference(kind: str) -> None:
    """Forty budgets' worth of ticks in all: as above, 115 alarms have probability below 10**-6 if it is kept."""
    alarms = 0
    for reference in (1000, 2000, 10_000):
        case = Case(kind=kind, columns=3, reference=reference, ticks=8000, budget=600.0)
        alarms += measure(case, [1]).alarms
    assert alarms < 115


def test_the_promise_holds_for_ticks_of_any_size() -> None:
    """Ticks of 1 to 60 rows: forty budgets' worth in all, as above."""
    rng = np.random.default_rng(12)
    values = autoregressive(rng, 2000 + 480_000, 0.9)
    engine = EvidenceEngine(baseline_of({"x": values[:2000]}))
    sizes = rng.integers(1, 60, size=8000)
    bounds = np.cumsum(np.append(0, sizes))
    bins = bin_rows(engine.baseline, {"x": values[2000 : 2000 + bounds[-1]]})[:, 0]
    ticks = np.repeat(np.arange(len(sizes)), sizes)
    flat = np.bincount(ticks * engine.baseline.total + bins, minlength=len(sizes) * engine.baseline.total)
    assert len(alarms_on(engine, flat.reshape(len(sizes), -1), 200.0)) < 115


def test_without_calibration_the_same_streams_break_the_promise() -> None:
    case = Case(kind="AR0.8", columns=3, reference=2000, ticks=8000, budget=600.0)
    assert measure(case, [1]).alarms < 38
    uncalibrated = EvidenceOptions(calibrate=False)
    broken = measure(case, [1], lambda baseline: EvidenceEngine(baseline, uncalibrated))
    assert broken.lower_rate > broken.allowed


def test_a_change_of_rows_that_move_together_is_found_all_the_same() -> None:
    """An autoregression with coefficient 0.8 has a limit nine times as long as independent rows."""
    rng, change, limit = np.random.default_rng(8), 1000, 9 * math.log(1e4) / 0.5
    values = autoregressive(rng, 20_000 + change + 1500, 0.8)
    engine = EvidenceEngine(baseline_of({"x": values[:20_000]}))
    later = values[20_000:] + (np.arange(change + 1500) >= change)
    alarms = alarms_on(engine, one_row_ticks(engine.baseline, {"x": later}), 1e4)
    assert change <= alarms[0] <= change + 3 * limit


def test_a_small_baseline_is_not_a_reason_for_false_alarms() -> None:
    """Ten streams of 3,000 ticks, A = 10**5: seven alarms have probability at most 0.3**7 / 7!, below 10**-7."""
    kept, broken = 0, 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        baseline = baseline_of(mixed(rng, 200))
        counts = one_row_ticks(baseline, mixed(rng, 3000))
        kept += len(alarms_on(EvidenceEngine(baseline), counts, 1e5))
        broken += len(alarms_on(EvidenceEngine(baseline, EvidenceOptions(standard_errors=0.0)), counts, 1e5))
    assert kept < 7 < broken


def test_a_hundred_rows_with_many_rare_labels_are_not_a_reason_either() -> None:
    """Six streams of 3,000 ticks, A = 10**5: six alarms have probability at most 0.18**6 / 6!, below 10**-7."""
    shares = 1.0 / np.arange(1, 201) ** 1.3
    labels = tuple(map(str, range(200)))
    alarms = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)

        def letters(rows: int, rng: np.random.Generator = rng) -> Columns:
            return {"label": Codes(labels, rng.choice(200, rows, p=shares / shares.sum()).astype(np.int32))}

        engine = EvidenceEngine(baseline_of(letters(100)))
        alarms += len(alarms_on(engine, one_row_ticks(engine.baseline, letters(3000)), 1e5))
    assert alarms < 6


def test_the_delay_is_within_two_and_a_half_times_the_theoretical_limit() -> None:
    """Five columns, the mean of one of them moves by half a standard deviation; Lorden's limit is log(A) / KL."""
    budget, change, shift = 1e5, 500, 0.5
    limit = math.log(budget) / (shift**2 / 2)
    streams = []
    rng = np.random.default_rng(7)
    names = tuple("abcde")
    engine = EvidenceEngine(baseline_of({name: rng.normal(size=20_000) for name in names}))
    for _ in range(11):
        columns: Columns = {name: rng.normal(size=1500) for name in names}
        columns["c"] = np.where(np.arange(1500) >= change, rng.normal(size=1500) + shift, rng.normal(size=1500))
        alarms = alarms_on(engine, one_row_ticks(engine.baseline, columns), budget)
        streams.append(LabelledStream(ticks=1500, alarms=alarms, change=change))
    found = evaluate(streams)
    assert found.missed == 0
    assert found.false_alarms == 0
    assert found.median_delay <= 2.5 * limit


def test_a_change_smaller_than_the_minimum_effect_raises_nothing() -> None:
    """An alarm has probability at most 20,000 / (2 * 10**10) = 10**-6; by default the change is found."""
    rng, budget = np.random.default_rng(3), 2e10
    baseline = baseline_of({"x": rng.normal(size=50_000)})
    counts = one_row_ticks(baseline, {"x": rng.normal(size=20_000) + 0.25})
    assert alarms_on(EvidenceEngine(baseline, EvidenceOptions(minimum_effect=0.3)), counts, budget) == []
    assert alarms_on(EvidenceEngine(baseline), counts, budget) != []

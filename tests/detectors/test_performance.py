"""Sums of outcomes and the figures read off them, against an independent library and worked examples."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn import metrics

from detectors.baseline import Baseline, add_partial, compile_baseline
from detectors.columns import ColumnKind, ColumnSpec
from detectors.errors import BaselineError, DetectorError
from detectors.evidence import EvidenceEngine, EvidenceOptions
from detectors.evidence.options import ColumnOptions
from detectors.performance import (
    ClassFigures,
    ClassSums,
    NumberFigures,
    NumberSums,
    class_outcomes,
    class_sums,
    figures_of,
    no_sums,
    number_sums,
    share_of,
    spread_of,
)

CLASSES = ("a", "b", "c")
Story = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


def story(seed: int, number: int = 400) -> Story:
    """Return true places, answered places and probabilities; the answer is the largest of these."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, number, p=[0.7, 0.2, 0.1])
    told = rng.dirichlet([1.0, 1.0, 1.0], number)
    told[np.arange(number), truth] += 0.5
    told /= told.sum(axis=1, keepdims=True)
    return truth, told.argmax(axis=1), told


def figures(seed: int) -> ClassFigures:
    truth, answered, told = story(seed)
    found = figures_of(class_sums(CLASSES, truth, answered, truth == answered, told))
    assert isinstance(found, ClassFigures)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_class_figures_are_those_of_an_independent_library(seed: int) -> None:
    truth, answered, told = story(seed)
    found = figures(seed)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(truth, answered))
    assert found.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(truth, answered))
    assert found.log_loss == pytest.approx(metrics.log_loss(truth, told), abs=1e-9)
    assert found.brier == pytest.approx(float(((told - np.eye(3)[truth]) ** 2).sum(axis=1).mean()), abs=1e-9)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(truth, answered)
    for place, row in enumerate(found.classes):
        assert row.precision is not None
        assert row.recall is not None
        assert [row.precision[0], row.recall[0], row.f1] == pytest.approx([precision[place], recall[place], f1[place]])
        assert row.support == support[place]
    sums = class_sums(CLASSES, truth, answered, truth == answered, told)
    assert sums.confusion[:3, :3].tolist() == metrics.confusion_matrix(truth, answered).tolist()


def test_the_calibration_error_is_the_mean_gap_over_ten_bins() -> None:
    truth, answered, told = story(3)
    confidence = told.max(axis=1)
    places = np.minimum((confidence * 10).astype(int), 9)
    gaps = [
        (places == b).mean() * abs((truth == answered)[places == b].mean() - confidence[places == b].mean())
        for b in range(10)
        if (places == b).any()
    ]
    assert figures(3).calibration_error == pytest.approx(sum(gaps), abs=1e-9)


def test_limits_of_shares_are_those_of_the_binomial_distribution() -> None:
    for hits, events in ((0, 7), (3, 50), (50, 50)):
        own = binomtest(hits, events).proportion_ci(method="exact")
        assert share_of(hits, events) == pytest.approx((hits / events, own.low, own.high), abs=1e-9)
    assert share_of(0, 0) is None


def test_number_figures_are_those_of_an_independent_library() -> None:
    rng = np.random.default_rng(1)
    labels = rng.normal(100, 30, 500)
    answers = labels + rng.normal(2, 5, 500)
    found = figures_of(number_sums(answers, labels))
    assert isinstance(found, NumberFigures)
    assert found.mae is not None
    assert found.bias is not None
    assert found.mae[0] == pytest.approx(metrics.mean_absolute_error(labels, answers), rel=1e-12)
    assert found.rmse == pytest.approx(metrics.root_mean_squared_error(labels, answers), rel=1e-12)
    error = answers - labels
    assert found.bias[0] == pytest.approx(error.mean(), rel=1e-12)
    assert found.bias[2] - found.bias[0] == pytest.approx(1.96 * error.std(ddof=1) / math.sqrt(500), rel=1e-3)
    for share, value in found.quantiles:
        assert value == pytest.approx(np.quantile(np.abs(error), share), rel=0.13)


def test_two_other_classes_may_differ() -> None:
    sums = class_sums(("a",), np.array([1, 1]), np.array([1, 1]), np.array([True, False]), np.full((2, 1), np.nan))
    found = figures_of(sums)
    assert isinstance(found, ClassFigures)
    assert (found.accuracy, found.log_loss, found.calibration_error) == (0.5, None, None)


@pytest.mark.parametrize("odd", [[np.nan, 0.5, 0.5], [1.5, -0.5, 0.0], [0.2, 0.2, 0.2], [np.inf, 0.0, 0.0]])
def test_probabilities_that_are_none_are_not_scored(odd: list[float]) -> None:
    sums = class_sums(CLASSES, np.array([0]), np.array([0]), np.array([True]), np.array([odd]))
    assert (sums.scored, sums.log_loss, int(sums.calibration.sum())) == (0, 0, 0)


def test_a_probability_of_nothing_for_what_was_true_costs_no_infinity() -> None:
    sums = class_sums(CLASSES, np.array([0]), np.array([1]), np.array([False]), np.array([[0.0, 1.0, 0.0]]))
    found = figures_of(sums)
    assert isinstance(found, ClassFigures)
    assert found.log_loss == pytest.approx(24 * math.log(2))


def test_of_nothing_there_are_no_figures() -> None:
    found = figures_of(no_sums(CLASSES))
    assert isinstance(found, ClassFigures)
    assert (found.wrong, found.accuracy, found.balanced_accuracy) == (None, None, None)
    assert figures_of(NumberSums()) == NumberFigures(answers=0, mae=None, bias=None, rmse=None, quantiles=())


def bits(sums: ClassSums) -> tuple[object, ...]:
    return (
        sums.classes, sums.confusion.tobytes(), sums.right, sums.scored, sums.log_loss, sums.brier,
        sums.calibration.tobytes(),
    )  # fmt: skip


@given(seed=st.integers(0, 9), cuts=st.lists(st.integers(0, 60), max_size=5), back=st.booleans())
@settings(max_examples=60, deadline=None)
def test_sums_over_classes_are_the_same_bits_however_they_are_cut_and_merged(
    seed: int, cuts: list[int], back: bool
) -> None:
    truth, answered, told = story(seed, 60)
    whole = class_sums(CLASSES, truth, answered, truth == answered, told)
    places = [0, *sorted(cuts), 60]
    parts = [
        class_sums(CLASSES, truth[a:b], answered[a:b], truth[a:b] == answered[a:b], told[a:b])
        for a, b in pairwise(places)
    ]
    merged = no_sums(CLASSES)
    for part in reversed(parts) if back else parts:
        merged = merged.merged(part)
    assert bits(merged) == bits(whole)


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(pairs=arrays(np.float64, st.tuples(st.integers(1, 20), st.just(2)), elements=NUMBERS), cut=st.integers(0, 20))
@settings(max_examples=150, deadline=None)
def test_sums_over_numbers_are_exact_for_whatever_numbers(pairs: NDArray[np.float64], cut: int) -> None:
    answers, labels = pairs.T
    whole = number_sums(answers, labels)
    assert number_sums(answers[cut:], labels[cut:]).merged(number_sums(answers[:cut], labels[:cut])) == whole
    with np.errstate(over="ignore"):
        errors = np.clip(answers - labels, -np.finfo(float).max, np.finfo(float).max)
    assert Fraction(whole.error, 1 << 1074) == sum(map(Fraction, errors.tolist()), Fraction(0))
    assert whole.sizes.total == len(errors)


def test_sums_over_more_classes_take_those_over_the_first_of_them() -> None:
    few = class_sums(("a",), np.array([0, 1]), np.array([0, 0]), np.array([True, False]), np.full((2, 1), np.nan))
    many = class_sums(("a", "b"), np.array([1]), np.array([1]), np.array([True]), np.full((1, 1), np.nan))
    assert few.merged(many).confusion.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0]]
    assert bits(few.merged(many)) == bits(many.merged(few))
    with pytest.raises(DetectorError, match="cannot be merged"):
        few.merged(no_sums(("b",)))


@given(arrays(np.float64, st.integers(1, 50), elements=st.floats(0, allow_infinity=False)), st.floats(0, 1))
@settings(max_examples=150, deadline=None)
def test_a_quantile_is_off_by_an_eighth_at_most(values: NDArray[np.float64], share: float) -> None:
    found = spread_of(values).quantile(share)
    assert found is not None
    own = float(np.sort(values)[max(0, math.ceil(share * len(values)) - 1)])
    assert own * (7 / 8) <= found <= math.nextafter(own * 1.125, math.inf)


def test_outcomes_speak_of_each_class_apart() -> None:
    truth, right = np.array([0, 1, 2, 0]), np.array([True, False, False, False])
    found = class_outcomes(("a", "b"), truth, right)
    assert found["performance.wrong"].tolist() == [0, 1, 1, 1]
    assert np.isnan(found["performance.missed.a"]).tolist() == [False, True, True, False]
    assert class_outcomes(tuple("abcdefghi"), truth, right).keys() == {"performance.wrong"}


def partly(share: float, rows: int = 4_000, wrong: float = 0.1) -> Baseline:
    rng = np.random.default_rng(4)
    spec = ColumnSpec(name="x", kind=ColumnKind.NUMERIC)
    baseline = compile_baseline([(spec, rng.normal(size=rows))]).baseline
    values = np.where(rng.random(rows) < share, (rng.random(rows) < wrong).astype(float), np.nan)
    return add_partial(baseline, {"performance.wrong": values})


def test_a_column_of_some_rows_comes_back_from_its_bytes() -> None:
    baseline = partly(0.3)
    assert Baseline.from_bytes(baseline.to_bytes()).to_bytes() == baseline.to_bytes()
    other = baseline.columns[0].counts.copy()
    other[1] += 1
    with pytest.raises(BaselineError):
        Baseline.from_bytes(baseline.to_bytes().replace(baseline.columns[0].counts.tobytes(), other.tobytes()))


@pytest.mark.parametrize(("share", "wrong"), [(1.0, 0.1), (0.2, 0.1), (1.0, 0.01)])
def test_the_promise_holds_where_few_rows_have_a_label(share: float, wrong: float) -> None:
    """Ten times the budget of ticks, of which one in three has labels: more than 30 alarms come once in 10^6 runs."""
    baseline = partly(share, wrong=wrong)
    options = EvidenceOptions(
        columns=(ColumnOptions(name="x", ignore=True), ColumnOptions(name="performance.wrong", direction="up"))
    )
    engine = EvidenceEngine(baseline, options)
    rng = np.random.default_rng(11)
    state, alarms, budget = engine.start(), 0, 2_000.0
    place = baseline.slices[1].start
    labels = baseline.columns[1].bin_labels
    rates = baseline.columns[1].counts[labels.index("1")] / baseline.columns[1].counts.sum()
    for tick in range(int(10 * budget)):
        counts = np.zeros(baseline.total, np.int64)
        if tick % 3 == 0:
            number = rng.binomial(20, min(rates, wrong))
            counts[place + labels.index("1")] = number
            counts[place + labels.index("0")] = 20 - number
        state = engine.step(state, tick, counts)
        if engine.read(state).log_model >= math.log(budget):
            state, alarms = engine.start(), alarms + 1
    assert alarms <= 30

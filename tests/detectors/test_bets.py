"""Bets are honest: within the tolerance, nobody wins on average."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import exp1

from detectors.baseline import Baseline
from detectors.baseline.directions import HALF
from detectors.binning import count
from detectors.columns import Codes
from detectors.errors import DetectorError
from detectors.evidence import EvidenceEngine, EvidenceOptions
from detectors.evidence.bets import QUANTUM, bets_of
from detectors.evidence.calibrate import null_of, stack
from detectors.evidence.learned import PRIOR_EVENTS, learned_increments, learned_logs, remember
from tests.detectors.samples import Columns, baseline_of, mixed, tables

MIXED = baseline_of(mixed(np.random.default_rng(11), 2000))
LEVELS = np.repeat(np.sin(np.linspace(0, 6, 20)), 500)
WANDERING = baseline_of(
    {"label": Codes(("a", "b"), (np.random.default_rng(7).random(10_000) < 0.5 + 0.2 * LEVELS).astype(np.int32))}
)
"""Its blocks differ by more than chance and rows that move together explain."""
ROUNDING = 1e-9


def on_the_boundary(
    probabilities: NDArray[np.float64], direction: NDArray[np.float64], tolerance: float, rng: np.random.Generator
) -> NDArray[np.float64] | None:
    """Return a random distribution under which the direction's mean is exactly its tolerance."""
    far = rng.dirichlet(np.full(len(probabilities), rng.choice([0.05, 0.3, 1.0, 10.0])))
    best = np.zeros(len(probabilities))
    best[np.argmax(direction)] = 1.0
    for candidate in (far, (far + best) / 2, best):
        gain = float(candidate @ direction)
        if gain > tolerance:
            share = tolerance / gain
            return np.asarray(share * candidate + (1 - share) * probabilities)
    return None


@pytest.mark.parametrize("column", MIXED.columns, ids=MIXED.names)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_fixed_bet_wins_on_average_on_the_boundary_of_its_tolerance(column: object, seed: int) -> None:
    chosen = next(c for c in MIXED.columns if c is column)
    null = null_of(chosen, EvidenceOptions())
    bets = bets_of(null)
    rng = np.random.default_rng(seed)
    for i in range(len(bets.names)):
        shares = on_the_boundary(null.probabilities, bets.directions[i], bets.tolerances[i], rng)
        if shares is not None:
            assert shares @ bets.directions[i] == pytest.approx(bets.tolerances[i], rel=1e-6)
            assert shares @ np.exp(bets.logs[:, i]) <= 1 + ROUNDING, bets.names[i]


@given(columns=tables(), seed=st.integers(0, 2**32 - 1), direction=st.sampled_from(["both", "up", "down"]))
def test_no_fixed_bet_wins_on_the_boundary_whatever_the_baseline(columns: Columns, seed: int, direction: str) -> None:
    rng = np.random.default_rng(seed)
    for column in baseline_of(columns, bins=5, categories=3, blocks=4).columns:
        null = null_of(column, EvidenceOptions(minimum_effect=rng.choice([0.0, 0.05, 1.0])))
        bets = bets_of(null, "both" if "label" in column.spec.name else direction)
        for i, name in enumerate(bets.names):
            shares = on_the_boundary(null.probabilities, bets.directions[i], bets.tolerances[i], rng)
            if shares is not None:
                paid = np.exp(bets.logs[:, i])
                assert shares @ paid <= 1 + ROUNDING, name
                assert shares @ paid ** bets.etas[i] <= 1 + ROUNDING, name


@given(columns=tables(), minimum=st.floats(0, 1), errors=st.floats(0, 5))
def test_under_the_baseline_no_bet_wins_whatever_the_baseline(columns: Columns, minimum: float, errors: float) -> None:
    options = EvidenceOptions(minimum_effect=minimum, standard_errors=errors)
    for column in baseline_of(columns, bins=5, categories=3, blocks=4).columns:
        null = null_of(column, options)
        bets = bets_of(null)
        assert null.probabilities.sum() == pytest.approx(1)
        assert (null.probabilities @ np.exp(bets.logs) <= 1 + ROUNDING).all()
        assert np.isfinite(bets.logs).all()
        assert np.array_equal(np.round(bets.logs / QUANTUM) * QUANTUM, bets.logs)
        assert bets.weights.sum() + bets.learned == pytest.approx(1)
        assert (bets.weights > 0).all()


@given(seed=st.integers(0, 2**32 - 1), events=st.integers(0, 5000))
def test_the_learned_bet_does_not_win_on_average_on_the_boundary_of_its_tolerance(seed: int, events: int) -> None:
    rng = np.random.default_rng(seed)
    nulls = [null_of(column, EvidenceOptions()) for column in MIXED.columns]
    # Standard errors of the worst direction would cover this column's variation between blocks, too.
    nulls.append(null_of(WANDERING.columns[0], EvidenceOptions(standard_errors=0.0)))
    assert len(nulls[-1].wander) == 1
    stacked = stack(nulls)
    bins = stacked.probabilities.shape[1]
    memory = np.zeros((len(nulls), bins))
    for i, null in enumerate(nulls):
        own = len(null.probabilities)
        memory[i, :own] = rng.multinomial(events, rng.dirichlet(np.full(own, 0.5)))
    logs = learned_logs(stacked, memory, np.full(len(nulls), np.inf))
    for i, null in enumerate(nulls):
        own = len(null.probabilities)
        learned = (memory[i, :own] + PRIOR_EVENTS * null.probabilities) / (events + PRIOR_EVENTS)
        direction = learned / null.probabilities - 1
        tolerance = float(null.learned_tolerance(direction[None])[0])
        shares = on_the_boundary(null.probabilities, direction, tolerance, rng)
        assert null.probabilities @ np.exp(logs[i, :own]) <= 1 + ROUNDING
        if shares is not None:
            assert shares @ np.exp(logs[i, :own]) <= 1 + ROUNDING
        assert (logs[i, own:] <= 0).all()


@given(seed=st.integers(0, 2**32 - 1), events=st.integers(0, 300))
def test_what_the_learned_bet_wins_on_a_tick_is_the_exact_sum_over_its_events(seed: int, events: int) -> None:
    rng = np.random.default_rng(seed)
    stacked = stack([null_of(column, EvidenceOptions()) for column in MIXED.columns])
    caps = np.array([np.inf, 0.1, np.inf, 0.0])
    memory, counts = np.zeros((2, *stacked.probabilities.shape))
    for i, column in enumerate(MIXED.columns):
        own = len(column.counts)
        memory[i, :own] = rng.multinomial(500, rng.dirichlet(np.full(own, 0.3)))
        counts[i, :own] = rng.multinomial(events, rng.dirichlet(np.full(own, 0.3)))
    logs = learned_logs(stacked, memory, caps)
    assert (logs <= caps[:, None]).all()
    assert np.array_equal(learned_increments(stacked, memory, caps, counts), (counts * logs).sum(axis=1))


SMALL = {0.02: (0.06, 1.07, 0.93), 0.05: (0.09, 1.09, 0.92)}
"""By tolerance: the least moves that are always found."""


@pytest.mark.parametrize(
    ("tolerated", "shift", "scale"),
    [
        (tolerated, *move)
        for tolerated, (by, up, down) in SMALL.items()
        for move in ((by, 1.0), (-by, 1.0), (0.0, up), (0.0, down))
    ],
)
def test_changes_as_small_as_the_page_says_make_some_bet_grow(tolerated: float, shift: float, scale: float) -> None:
    rng = np.random.default_rng(0)
    baseline = baseline_of({"x": rng.normal(size=50_000)})
    counts = count(baseline, {"x": rng.normal(size=1_000_000) * scale + shift})
    bets = bets_of(null_of(baseline.columns[0], EvidenceOptions(minimum_effect=tolerated)))
    assert (counts @ bets.logs).max() / 1_000_000 > 0.0002


def test_a_mean_moved_by_a_tenth_is_found_within_fifteen_thousand_rows() -> None:
    rng = np.random.default_rng(0)
    engine = EvidenceEngine(baseline_of({"x": rng.normal(size=50_000)}), EvidenceOptions(minimum_effect=0.05))
    counts = np.array([count(engine.baseline, {"x": rng.normal(0.1, 1.0, 1_000)}) for _ in range(15)])
    assert engine.run(engine.start(), np.arange(15), counts, float(np.log(1e5))).alarm is not None


def test_the_learned_bet_stakes_nothing_before_it_has_learned() -> None:
    stacked = stack([null_of(column, EvidenceOptions()) for column in MIXED.columns])
    caps = np.full(len(MIXED.columns), np.inf)
    assert not learned_logs(stacked, np.zeros_like(stacked.probabilities), caps).any()


def test_the_memory_of_the_learned_bet_fades_and_stays_bounded() -> None:
    memory = np.zeros((1, 3))
    for events in (10, 10**6, 5, 0):
        memory = remember(memory, np.array([[[float(events), 0.0, 0.0]]]), 1000.0)[-1]
        assert memory.sum() <= 2000
    for _ in range(50):
        memory = remember(memory, np.array([[[0.0, 100.0, 0.0]]]), 1000.0)[-1]
    assert memory[0, 0] < 0.01 * memory[0, 1]


def test_many_ticks_are_remembered_and_bet_on_as_one_after_the_other() -> None:
    """The same bits, whether the ticks hold few events or fill the bins."""
    rng = np.random.default_rng(3)
    stacked = stack([null_of(column, EvidenceOptions()) for column in MIXED.columns])
    caps, shape = np.full(len(MIXED.columns), 0.5), stacked.probabilities.shape
    for events in (0.05, 20.0):
        counts = (rng.poisson(events, size=(30, *shape)) * (stacked.probabilities > 0.0)).astype(np.float64)
        memory = rng.random(shape) * (stacked.probabilities > 0.0)
        memories = remember(memory, counts, 200.0)
        increments = learned_increments(stacked, memories[:-1], caps, counts)
        assert increments.any()
        for tick, own in enumerate(counts):
            assert np.array_equal(memories[tick], memory)
            assert np.array_equal(learned_increments(stacked, memory, caps, own), increments[tick])
            memory = remember(memory, own[None], 200.0)[-1]
        assert np.array_equal(memories[-1], memory)


def tolerance_of_missing(baseline: Baseline, name: str = "missing up", **options: Any) -> float:
    column = baseline.columns[0]
    null = null_of(column, EvidenceOptions(**options))
    bets = bets_of(null)
    return float(bets.tolerances[bets.names.index(name)])


def test_the_tolerance_of_an_empty_bin_covers_what_chance_may_have_hidden() -> None:
    baseline = baseline_of({"x": np.random.default_rng(0).normal(size=1000)})
    hidden = 6.6 / 1000  # a share that leaves 1000 rows without a hit in 0.13 % of cases (three sigma)
    assert tolerance_of_missing(baseline, "above range up", minimum_effect=0) + HALF / 1000 >= hidden


def test_values_that_need_not_occur_at_all_may_stay_rarer_than_those_beyond_the_range() -> None:
    """The range ends where the reference happened to end; a missing value may be one of any order of magnitude."""
    baseline = baseline_of({"x": np.random.default_rng(0).normal(size=1000)})
    hidden = 3.5 / 1000
    # With all orders of magnitude from 10**-8 to 1 as likely, the share after 1000 rows without a hit is above that in
    # so many cases; three standard errors would be 0.0013.
    assert exp1(3.5) / (exp1(1000 * 1e-8) - exp1(1000)) < 0.0013
    assert tolerance_of_missing(baseline, minimum_effect=0) + HALF / 1000 == pytest.approx(hidden, rel=0.01)


def test_nothing_is_staked_on_what_cannot_happen() -> None:
    """With a bin for every known label, no event can be another known one."""
    letters = MIXED.columns[MIXED.names.index("letter")]
    many = Codes(tuple("abcdef"), np.arange(600, dtype=np.int32) % 6)
    columns = (letters, baseline_of({"x": many}, categories=3).columns[0])
    names = [bets_of(null_of(column, EvidenceOptions())).names for column in columns]
    assert ["other up" in each for each in names] == [False, True]


def test_the_tolerance_grows_with_the_minimum_effect_and_shrinks_with_the_rows() -> None:
    small, large = (baseline_of({"x": np.random.default_rng(0).normal(size=n)}) for n in (1000, 100_000))
    assert tolerance_of_missing(small, minimum_effect=0.5) > tolerance_of_missing(small, minimum_effect=0.05)
    assert tolerance_of_missing(small) > tolerance_of_missing(large)


def test_a_direction_in_which_the_baselines_own_blocks_move_is_tolerated() -> None:
    rng = np.random.default_rng(4)
    wander = np.repeat(rng.normal(size=20) * 0.5, 500)
    calm, moving = (rng.normal(size=10_000) for _ in range(2))
    tolerances = []
    for values in (calm, moving + wander):
        column = baseline_of({"x": values}).columns[0]
        null = null_of(column, EvidenceOptions(minimum_effect=0.05))
        bets = bets_of(null)
        place = bets.names.index("mean up")
        tolerances.append(bets.tolerances[place] / np.sqrt(bets.directions[place] ** 2 @ null.variances))
    assert tolerances[0] == pytest.approx(0.05, rel=0.05)
    assert tolerances[1] > 0.5


def test_values_seen_once_make_unseen_values_expected() -> None:
    rng = np.random.default_rng(0)
    heavy = baseline_of({"x": np.round(rng.exponential(size=500) ** 4)}, bins=1000)
    column = heavy.columns[0]
    null = null_of(column, EvidenceOptions())
    between = column.bin_labels.index("between")
    fresh = count(heavy, {"x": np.round(rng.exponential(size=20_000) ** 4)})
    assert null.probabilities[between] >= 0.5 * fresh[between] / 20_000


@pytest.mark.parametrize(
    "options",
    [{"minimum_effect": -0.1}, {"standard_errors": float("nan")}, {"learned_events": 0.0}, {"minimum_effect": 11.0}],
)
def test_options_out_of_range_are_refused_with_their_value(options: dict[str, Any]) -> None:
    with pytest.raises(DetectorError, match=next(iter(options))):
        EvidenceOptions(**options)

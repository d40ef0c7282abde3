"""The bet along a learned line: honest for whatever distribution, predictable, exact in any order, and worth having."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linprog

from detectors.baseline import Baseline
from detectors.evidence import EvidenceEngine, EvidenceOptions
from detectors.evidence.layout import Layout, lay_out
from detectors.evidence.lines import KEPT_SHARE, LineGroup, along_line
from detectors.spaces import Line
from detectors.spaces.line import BITS
from detectors.sums import sums_of, tick_sums
from tests.detectors.test_tilts import joint, values_of

Floats = NDArray[np.float64]
KEPT = KEPT_SHARE * EvidenceOptions().learned_events


def sums_only(baseline: Baseline, rows: Floats, vectors: Floats | None = None, size: int = 1) -> NDArray[np.int64]:
    """Return ticks without counts: what the bets on sums alone would say."""
    values = values_of(baseline, rows, vectors)
    sums = tick_sums(baseline, values, np.arange(0, len(rows) + 1, size))
    return np.concatenate([np.zeros((len(sums), baseline.total), dtype=np.int64), sums], axis=1)


def layout_of(baseline: Baseline) -> Layout:
    return lay_out(baseline, EvidenceOptions(), np.ones(len(baseline.columns)))


def delay(engine: EvidenceEngine, ticks: NDArray[np.int64], quiet: int, budget: float = 1e4) -> float:
    run = engine.run(engine.start(), np.arange(len(ticks)), ticks, math.log(budget))
    return math.inf if run.alarm is None else run.alarm + 1 - quiet


@cache
def wide() -> Baseline:
    """Return a baseline of two columns and of an embedding with 96 components."""
    rng = np.random.default_rng(0)
    return joint(rng.normal(size=(6000, 2)), rng.normal(size=(6000, 96)))


@cache
def group() -> LineGroup:
    return layout_of(wide()).lines[1]


def line_of(baseline: Baseline, place: int) -> Line:
    line = baseline.tilted[place].line
    assert line is not None
    return line


# -- honest ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1])
def test_no_distribution_within_the_tolerance_makes_any_stake_win_on_average(place: int) -> None:
    """The worst of all distributions along a line is the answer to a linear programme."""
    found = layout_of(wide()).lines[place]
    line = line_of(wide(), place)
    reach = line.radius + float(np.linalg.norm(line.centre))
    at = np.linspace(-reach, reach, 801)
    for stake, spread in zip(found.stakes.tolist(), found.spreads.tolist(), strict=True):
        fitted = 1.0 - math.sqrt(line.size / line.rows)
        square = line.square * ((1.0 + 3.0 / math.sqrt(line.rows)) / fitted) ** 2 * (1.0 + 2.0 * line.unrest)
        assert spread == pytest.approx(square * (np.expm1(stake * reach) - stake * reach) / reach**2)
        pays = np.exp(stake * at) / (1.0 + stake * found.tolerance + spread)
        worst = linprog(
            -pays, A_ub=[at, at**2], b_ub=[found.tolerance, square], A_eq=[np.ones_like(at)], b_eq=[1.0], bounds=(0, 1)
        )
        assert worst.fun is not None
        # In few dimensions the largest stakes leave something.
        assert 0.9 <= -worst.fun <= 1.0 + 1e-9


@given(seed=st.integers(0, 2**32 - 1), events=st.floats(1.0, 2000.0), size=st.floats(0.05, 4.0))
@settings(max_examples=40, deadline=None)
def test_whatever_was_learned_an_event_pays_what_the_stake_and_the_bound_say(
    seed: int, events: float, size: float
) -> None:
    """Any memory at all: what single events pay lies on one of the curves that the test above bounds."""
    rng = np.random.default_rng(seed)
    found = group()
    mean = rng.normal(size=len(found.centre))
    memory = np.concatenate([[events], events * size * mean / np.linalg.norm(mean)])[None]
    line = mean / np.linalg.norm(mean)
    moved = np.concatenate([np.ones((30, 1)), rng.normal(size=(30, len(line)))], axis=1)
    won = np.concatenate([found.increments(memory, each[None], KEPT) for each in moved])
    along = moved[:, 1:] @ line
    logs = np.log1p(found.stakes * found.tolerances(line[None])[0] + found.spreads)
    possible = np.concatenate([[np.zeros(30)], found.stakes[:, None] * along - logs[:, None]])
    assert np.abs(possible - won).max(axis=1).min() < 1e-9


def test_it_says_nothing_before_it_has_learned_and_nothing_of_events_that_do_not_move() -> None:
    found = group()
    nothing = np.zeros((3, 1 + len(found.centre)))
    moved = np.random.default_rng(1).normal(size=nothing.shape)
    assert not found.increments(nothing, moved, KEPT).any()
    nothing[:, 0] = 500.0
    assert not found.increments(nothing, moved, KEPT).any()


def learned(rng: np.random.Generator, lines: int, size: int, length: float) -> Floats:
    """Return memories of as many lines, along which events seem to have moved so far."""
    ways = rng.normal(size=(lines, size))
    ways *= length / np.linalg.norm(ways, axis=1, keepdims=True)
    return np.concatenate([np.full((lines, 1), 300.0), 330.0 * ways], axis=1)


def paid(found: LineGroup, memories: Floats, moved: Floats) -> Floats:
    """Return what events pay, shape (lines, events): exp of the log increments, with the exponent."""
    won = [found.increments(np.repeat(m[None], len(moved), axis=0), moved, KEPT * found.ties) for m in memories]
    assert (np.array(won) != 0.0).all()
    return np.asarray(np.exp(found.eta * np.array(won)))


def test_events_like_the_reference_lose_on_average_along_whatever_line_was_learned() -> None:
    """Forty lines and 20,000 events: the mean of what they pay is known to 0.001, a millionth of cases to 0.005."""
    rng = np.random.default_rng(11)
    baseline, found = wide(), group()
    sums = sums_only(baseline, rng.normal(size=(20_000, 2)), rng.normal(size=(20_000, 96)))[:, baseline.total :]
    moved = found.moved(sums.astype(np.float64))
    memories = learned(rng, 40, 96, 1.2)
    assert paid(found, memories, moved).mean() < 0.99
    # Without the tolerance, or without what the spread of events adds to the bound, they would win.
    bold = replace(found, tolerance=0.0, spreads=np.zeros_like(found.spreads))
    assert paid(bold, memories, moved).mean() > 1.01


def alarms_of(won: Floats, budget: float = 100.0) -> int:
    log_sum, alarms = -math.inf, 0
    for each in won.tolist():
        log_sum = float(np.logaddexp(log_sum, 0.0)) + each
        if log_sum >= math.log(budget):
            log_sum, alarms = -math.inf, alarms + 1
    return alarms


def slow_rows(rng: np.random.Generator, rows: int, size: int) -> Floats:
    """Return rows that wander together along the diagonal, and are independent across it."""
    shocks = rng.normal(size=rows) * math.sqrt(1.0 - 0.98**2)
    walk = np.zeros(rows)
    for i in range(1, rows):
        walk[i] = 0.98 * walk[i - 1] + shocks[i]
    return rng.normal(size=(rows, size)) + walk[:, None]


def test_nothing_is_bet_along_a_slanting_line_along_which_rows_are_tied_and_the_promise_is_kept() -> None:
    """No axis shows it as clearly as the line does. At A = 100 on 60,000 ticks as above."""
    rng = np.random.default_rng(5)
    baseline = joint(rng.normal(size=(8000, 2)), slow_rows(rng, 8000, 32))
    found = layout_of(baseline).lines[1]
    assert len(found.tied) == 1
    assert found.eta > 0.9
    vectors = slow_rows(rng, 60_000, 32)
    sums = sums_only(baseline, rng.normal(size=(60_000, 2)), vectors)[:, baseline.total :].astype(np.float64)
    start = np.zeros(1 + len(found.centre))
    assert alarms_of(found.eta * along_line(found, start, sums, KEPT)[1]) < 730
    # Were it bet along that line as well, the promise would be broken.
    assert alarms_of(along_line(replace(found, tied=found.tied[:0]), start, sums, KEPT)[1]) > 1000
    # In no order of time nothing can be told.
    straight = layout_of(replace(baseline, ordered=False)).lines[1]
    assert (len(straight.tied), straight.eta) == (0, 1.0)


def test_rows_that_are_tied_along_every_line_lower_the_exponent_and_lose_on_average_together() -> None:
    """Each row comes four times: what four pay together, over 15,000 fours and forty lines."""
    rng = np.random.default_rng(9)
    baseline = joint(rng.normal(size=(8000, 2)), np.repeat(rng.normal(size=(2000, 8)), 4, axis=0))
    found = layout_of(baseline).lines[1]
    assert 0.1 < found.eta < 0.3
    vectors = rng.normal(size=(15_000, 8))
    sums = sums_only(baseline, rng.normal(size=(15_000, 2)), vectors)[:, baseline.total :].astype(np.float64)
    moved, memories = found.moved(sums), learned(rng, 40, 8, 1.5)
    assert (paid(found, memories, moved) ** 4).mean() < 1.0
    # With nothing but the tolerance of independent rows, fours of them would win.
    bold = replace(found, eta=1.0, ties=1.0, tolerance=0.03)
    assert (paid(bold, memories, moved) ** 4).mean() > 1.05


def test_what_teaches_the_line_is_like_what_follows_and_does_not_pass_for_a_change() -> None:
    """Rows whose every component lingers (0.8): at A = 10,000 on 40,000 ticks 4 alarms are allowed, 18 in one case of
    a million."""
    rng = np.random.default_rng(12)

    def lingering(rows: int) -> Floats:
        shocks = 0.6 * rng.normal(size=(rows, 64))
        for i in range(1, rows):
            shocks[i] += 0.8 * shocks[i - 1]
        return shocks

    baseline = joint(rng.normal(size=(10_000, 2)), lingering(10_000))
    found = layout_of(baseline).lines[1]
    assert 8.0 < found.ties < 14.0
    sums = sums_only(baseline, rng.normal(size=(40_000, 2)), lingering(40_000))[:, baseline.total :].astype(np.float64)
    start = np.zeros(1 + len(found.centre))
    assert alarms_of(found.eta * along_line(found, start, sums, KEPT)[1], 1e4) < 18
    # Were rows taken for independent in what is learned, the exponent alone would not do.
    assert alarms_of(found.eta * along_line(replace(found, ties=1.0), start, sums, KEPT)[1], 1e4) > 20


def test_blocks_that_differ_by_nature_are_tolerated_along_their_way() -> None:
    rng = np.random.default_rng(6)
    vectors = rng.normal(size=(8000, 16))
    vectors[:, 3] += np.repeat(rng.normal(size=20), 400)
    baseline = joint(rng.normal(size=(8000, 2)), vectors)
    # In order of time rows of a block are tied along that way: nothing is bet along it. In no order it is tolerated.
    (tied,) = layout_of(baseline).lines[1].tied
    assert np.abs(tied).argmax() == 3
    uneasy = layout_of(replace(baseline, ordered=False)).lines[1]
    assert not len(layout_of(replace(wide(), ordered=False)).lines[1].wander)
    assert 1 <= len(uneasy.wander) <= 4
    ways = uneasy.tolerances(np.eye(16))
    assert ways.argmax() == 3
    assert ways[3] > 1.5 * uneasy.tolerance
    assert np.median(ways) == uneasy.tolerance


# -- exact ----------------------------------------------------------------------------------------------------------


def test_shards_of_a_tick_add_up_and_the_line_cannot_show_the_order() -> None:
    rng = np.random.default_rng(2)
    baseline = wide()
    rows, vectors = rng.normal(size=(900, 2)), rng.normal(size=(900, 96)) * 3.0
    whole = sums_of(baseline, values_of(baseline, rows, vectors))
    order = rng.permutation(900)
    shards = [sums_of(baseline, values_of(baseline, rows[p], vectors[p])) for p in np.array_split(order, 7)]
    assert np.array_equal(whole, np.sum(shards, axis=0))


def test_a_tick_is_bet_on_with_what_was_learned_before_it() -> None:
    rng = np.random.default_rng(3)
    baseline = wide()
    vectors = rng.normal(size=(400, 96)) + 0.3
    ticks = sums_only(baseline, rng.normal(size=(400, 2)), vectors, size=10)[:, baseline.total :].astype(np.float64)
    start = np.zeros(1 + len(group().centre))
    memory, won = along_line(group(), start, ticks, KEPT)
    other = ticks.copy()
    other[20:] *= 2
    assert np.array_equal(along_line(group(), start, other, KEPT)[1][:20], won[:20])
    # Twice the same events win twice as much, with the stake that was learned before.
    assert along_line(group(), start, other, KEPT)[1][20] == pytest.approx(2.0 * won[20], rel=1e-9)
    assert won[20] > 0.0
    # A run is its steps, bit for bit.
    at, alone = start, []
    for tick in ticks:
        after, each = along_line(group(), at, tick[None], KEPT)
        at = after[-1]
        alone.append(each[0])
    assert np.array_equal(alone, won)
    assert np.array_equal(at, memory[-1])


def test_without_sums_nothing_is_won_and_nothing_is_learned() -> None:
    memory = np.arange(97.0)
    found, won = along_line(group(), memory, np.zeros((3, 0)), KEPT)
    assert np.array_equal(found, np.repeat(memory[None], 4, axis=0))
    assert not won.any()


@given(seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([0.01, 1.0, 50.0, 1e6]))
@settings(max_examples=30, deadline=None)
def test_no_part_makes_an_event_longer_than_the_radius(seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    space = wide().tilted[1]
    image, lengths = space.whitened(space.coordinates((rng.normal(size=(96, 20)) * spread).astype(np.float32)))
    line = line_of(wide(), 1)
    parts = line.parts_of(image, lengths).astype(np.float64)
    assert np.array_equal(parts, np.rint(parts))
    assert (np.sqrt((parts**2).sum(axis=0)) <= line.radius * 2.0**BITS + 1e-6).all()


# -- worth having ---------------------------------------------------------------------------------------------------


def test_a_wide_embedding_that_moves_a_little_is_found_though_no_fixed_direction_sees_it() -> None:
    """128 components move by 0.6 along a random line (Lorden's limit is 51 rows)."""
    rng = np.random.default_rng(7)
    baseline = joint(rng.normal(size=(10_000, 2)), rng.normal(size=(10_000, 128)))
    straight = replace(baseline, spaces=tuple(replace(space, line=None) for space in baseline.spaces))
    found = []
    for _ in range(5):
        way = rng.normal(size=128)
        vectors = rng.normal(size=(1_700, 128))
        vectors[200:] += 0.6 * way / np.linalg.norm(way)
        rows = rng.normal(size=(1_700, 2))
        both = (EvidenceEngine(each) for each in (baseline, straight))
        found.append([delay(engine, sums_only(engine.baseline, rows, vectors), 200) for engine in both])
    with_line, without = np.array(found).T
    assert (with_line > 0).all()
    assert np.median(with_line) < 800
    assert np.median(without) > 1.5 * np.median(with_line)


def test_inputs_that_move_against_their_correlation_are_found_and_the_line_is_named() -> None:
    """Twenty inputs with correlations of 0.5 move by half a deviation of what is left of them: each alone by little."""
    rng = np.random.default_rng(8)
    root = np.linalg.cholesky(0.5 * np.eye(20) + 0.5)
    engine = EvidenceEngine(joint(rng.normal(size=(10_000, 20)) @ root.T))
    names, delays = [], []
    for _ in range(5):
        way = rng.normal(size=20)
        rows = rng.normal(size=(1_200, 20))
        rows[200:] += 0.6 * way / np.linalg.norm(way)
        ticks = sums_only(engine.baseline, rows @ root.T)
        run = engine.run(engine.start(), np.arange(1_200), ticks, math.log(1e4))
        assert run.alarm is not None
        delays.append(run.alarm - 199)
        names.append(next((b.name, b.direction) for b in engine.blame(run.state, math.log(1e4))))
    assert 0 < np.median(delays) < 400
    assert sum(column == "score.pairs" and way.startswith("learned line: x") for column, way in names) >= 4


def test_the_inputs_that_moved_are_named_with_the_way() -> None:
    """Two of ten inputs that are tied to each other move apart: one up, the other down."""
    rng = np.random.default_rng(10)

    def rows_of(rows: int, by: float) -> Floats:
        found = rng.normal(size=(rows, 10))
        found[:, 6] = 0.95 * found[:, 2] + 0.3 * found[:, 6]
        return found + by * np.where(np.arange(10) == 2, 0.2, np.where(np.arange(10) == 6, -0.2, 0.0))

    engine = EvidenceEngine(joint(rows_of(8000, 0.0)))
    ticks = sums_only(engine.baseline, rows_of(900, 1.0))
    state = engine.run(engine.start(), np.arange(900), ticks, None).state
    named = {blame.direction for blame in engine.blame(state, math.log(1e4)) if blame.name == "score.pairs"}
    assert named in ({"learned line: x6 down, x2 up"}, {"learned line: x2 up, x6 down"})
    # Nothing is known of the coordinates of an embedding, and nothing was learned before the first event.
    assert group().named(np.ones(97)) == "learned line"
    assert layout_of(wide()).lines[0].named(np.zeros(3)) == "learned line"


def test_an_input_with_labels_that_lie_in_no_order_has_no_way() -> None:
    found = replace(layout_of(wide()).lines[0], categorical=(True, False))
    moved = np.concatenate([[100.0], found.whitening @ np.array([80.0, 0.0])])
    assert found.named(moved) == "learned line: x0 other labels"


def test_what_the_learned_line_tolerates_is_explained() -> None:
    engine = EvidenceEngine(wide())
    told = next(e for e in engine.explain() if e.name == "score.direction.face")
    (line,) = [t for t in told.directions if t.direction == "learned line"]
    assert line.by == pytest.approx(group().tolerance)
    assert line.cause == "standard_errors"
    assert "whichever way: 3 standard errors of the worst of all lines" in line.text

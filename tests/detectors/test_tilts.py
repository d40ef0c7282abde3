"""Bets on sums: exact, honest within their tolerance, and quick to see two inputs that begin to move together."""

import math
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.baseline import Baseline, add_spaces, compile_baseline
from detectors.binning import bin_rows, count
from detectors.columns import Values
from detectors.errors import ColumnError, DetectorError
from detectors.evidence import ColumnOptions, EvidenceEngine, EvidenceOptions, EvidenceState
from detectors.evidence.layout import lay_out
from detectors.evidence.lines import LINE_SHARE
from detectors.evidence.tilted import TILT_SHARE, TiltGroup, terms
from detectors.spaces.tilts import LOG_MAX, Tilts, fit_tilts
from detectors.sums import sums_of, tick_sums
from tests.detectors.samples import spec_of

Floats = NDArray[np.float64]
ROUNDING = 1e-9


def joint(rows: Floats, vectors: Floats | None = None) -> Baseline:
    """Compile columns x0, x1, ... and perhaps an embedding."""
    columns = [(spec_of(f"x{j}", rows[:, j]), np.ascontiguousarray(rows[:, j])) for j in range(rows.shape[1])]
    embeddings = {} if vectors is None else {"face": vectors.astype(np.float32)}
    return add_spaces(compile_baseline(columns), columns, embeddings).baseline


def values_of(baseline: Baseline, rows: Floats, vectors: Floats | None = None) -> dict[str, Values]:
    found: dict[str, Values] = {f"x{j}": rows[:, j] for j in range(rows.shape[1])}
    for space in baseline.spaces:
        if not space.name:
            found |= space.values(found)
        elif vectors is not None:
            found |= space.values_of_embedding(vectors.astype(np.float32))
    return found


def ticks_of(baseline: Baseline, values: dict[str, Values]) -> NDArray[np.int64]:
    """Return the counts and sums of ticks of one row."""
    bins = bin_rows(baseline, values)
    counts = np.zeros((len(bins), baseline.total), dtype=np.int64)
    counts[np.arange(len(bins))[:, None], bins] = 1
    return np.concatenate([counts, tick_sums(baseline, values, np.arange(len(bins) + 1))], axis=1)


def alarms_on(engine: EvidenceEngine, counts: NDArray[np.int64], budget: float) -> list[int]:
    alarms: list[int] = []
    state, at = engine.start(), 0
    while at < len(counts):
        run = engine.run(state, np.arange(at, len(counts)), counts[at:], math.log(budget))
        state, at = run.state, at + len(run.log_model)
        if run.alarm is not None:
            alarms.append(at - 1)
            state = engine.start()
    return alarms


@cache
def tied() -> tuple[Baseline, tuple[TiltGroup, ...]]:
    """Return a baseline of inputs that are tied more or less, and of an embedding; and its bets on sums."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3000, 5))
    rows[:, 1] += rows[:, 0]
    rows[:, 2] = 0.98 * rows[:, 3] + 0.2 * rows[:, 2]
    baseline = joint(rows, rng.normal(size=(3000, 6)))
    return baseline, lay_out(baseline, EvidenceOptions(), np.ones(len(baseline.columns))).tilts


def tilts_of(baseline: Baseline, place: int) -> Tilts:
    found = baseline.tilted[place].tilts
    assert found is not None
    return found


def single_events(group: TiltGroup, tilts: Tilts, parts: Floats) -> Floats:
    """Return what each bet of a group pays for single events; parts in whole numbers, shape (events, parts)."""
    sums = np.zeros((len(parts), 4096))
    sums[:, group.events] = 1.0
    first, second = tilts.statistics.T
    sums[:, group.first] = parts[:, first] ** (2 if tilts.products else 1)
    sums[:, group.second] = parts[:, second] ** (2 if tilts.products else 1)
    if tilts.products:
        sums[:, group.statistic] = parts[:, first] * parts[:, second]
    return np.exp(group.increments(sums))


# -- honest ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1])
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_no_bet_on_sums_wins_on_average_on_the_boundary_of_its_tolerance(place: int, seed: int) -> None:
    baseline, groups = tied()
    group, tilts = groups[place], tilts_of(baseline, place)
    tolerances, _ = terms(tilts, EvidenceOptions())
    rng = np.random.default_rng(seed)
    spread = rng.choice([1.0, 30.0, 80.0, 300.0])
    pays = single_events(group, tilts, np.clip(np.rint(rng.normal(size=(40, tilts.parts)) * spread), -192, 192))
    # The null hypothesis: the mean of the tilt, relative to the reference's, is at most 1 + tolerance.
    relative = pays * (1.0 + tolerances.ravel())
    shares = rng.dirichlet(np.full(40, 0.3))
    for bet in range(pays.shape[1]):
        mean = float(shares @ relative[:, bet])
        beyond = float(relative[:, bet].max())
        limit = 1.0 + float(tolerances.ravel()[bet])
        if beyond <= limit:
            continue
        best = np.zeros(40)
        best[np.argmax(relative[:, bet])] = 1.0
        mixed = shares
        if mean < limit:
            share = (limit - mean) / (beyond - mean)
            mixed = share * best + (1.0 - share) * shares
        elif mean > limit:
            least = np.zeros(40)
            least[np.argmin(relative[:, bet])] = 1.0
            low = float(relative[:, bet].min())
            if low > limit:
                continue
            share = (mean - limit) / (mean - low)
            mixed = share * least + (1.0 - share) * shares
        assert mixed @ relative[:, bet] == pytest.approx(limit, rel=1e-6)
        assert mixed @ pays[:, bet] <= 1.0 + ROUNDING


def test_the_mean_of_each_tilt_is_that_of_the_reference() -> None:
    """Rows of the reference themselves: every bet loses what is tolerated, and the half row that was not seen."""
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(4000, 3))
    baseline = joint(rows)
    tilts = tilts_of(baseline, 0)
    group = lay_out(baseline, EvidenceOptions(), np.ones(len(baseline.columns))).tilts[0]
    values = values_of(baseline, rows)
    ticks = tick_sums(baseline, values, np.arange(4001)).astype(np.float64)
    means = np.exp(group.increments(ticks)).mean(axis=0)
    tolerances, _ = terms(tilts, EvidenceOptions())
    unseen = 0.5 * np.exp(tilts.highest - tilts.log_means) / 4000
    assert (means <= 1.0).all()
    assert means * (1.0 + tolerances.ravel()) == pytest.approx(1.0, abs=float(unseen.max()) + 1e-3)


def test_closely_tied_inputs_do_not_pay_astronomically() -> None:
    baseline, _ = tied()
    assert tilts_of(baseline, 0).highest.max() <= LOG_MAX + 1e-4


@pytest.mark.parametrize("rows", [150, 1000])
def test_the_promise_holds_with_bets_on_sums_whatever_the_size_of_the_reference(rows: int) -> None:
    """Two times forty budgets' worth of ticks: 115 alarms each have probability below 10**-6 if it is kept."""
    rng = np.random.default_rng(rows)
    engine = EvidenceEngine(joint(rng.normal(size=(rows, 6)), rng.normal(size=(rows, 8))))
    stream, vectors = rng.normal(size=(8000, 6)), rng.normal(size=(8000, 8))
    values = values_of(engine.baseline, stream, vectors)
    assert len(alarms_on(engine, ticks_of(engine.baseline, values), 200.0)) < 115


def test_the_promise_holds_for_pairs_of_rows_that_move_together() -> None:
    """Forty budgets' worth of ticks, as above; without exponents there are more alarms than that."""
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(3000 + 8000, 4))
    rows = np.zeros_like(noise)
    for i in range(1, len(rows)):
        rows[i] = 0.9 * rows[i - 1] + noise[i]
    baseline = joint(rows[:3000])
    only = tuple(ColumnOptions(name=name, ignore=True) for name in baseline.names if name != "score.pairs")
    counts = ticks_of(baseline, values_of(baseline, rows[3000:]))
    calm = EvidenceEngine(baseline, EvidenceOptions(columns=only))
    rash = EvidenceEngine(baseline, EvidenceOptions(columns=only, calibrate=False))
    _, etas = terms(tilts_of(baseline, 0), EvidenceOptions())
    assert etas.max() < 0.5
    assert len(alarms_on(calm, counts, 200.0)) < 40 < len(alarms_on(rash, counts, 200.0))


# -- exact ----------------------------------------------------------------------------------------------------------


@given(cuts=st.lists(st.integers(0, 1200), max_size=6), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_sums_of_parts_add_up_to_those_of_the_whole_in_any_order(cuts: list[int], seed: int) -> None:
    baseline, _ = tied()
    rng = np.random.default_rng(seed)
    rows, vectors = rng.normal(size=(1200, 5)) * 3, rng.normal(size=(1200, 6)) * 3
    rows[rng.random(rows.shape) < 0.3], vectors[rng.random(1200) < 0.1, 2] = np.nan, np.inf
    whole = sums_of(baseline, values_of(baseline, rows, vectors))
    edges = np.array([0, *sorted(cuts), 1200])
    order = rng.permutation(1200)
    shuffled = values_of(baseline, rows[order], vectors[order])
    ticks = tick_sums(baseline, shuffled, edges)
    assert np.array_equal(ticks.sum(axis=0), whole)
    for tick, (start, stop) in zip(ticks, pairwise(edges.tolist()), strict=True):
        taken = order[start:stop]
        assert np.array_equal(tick, sums_of(baseline, values_of(baseline, rows[taken], vectors[taken])))


@pytest.mark.parametrize("size", [1, 30, 600])
def test_ticks_of_equal_size_are_added_up_as_one_by_one(size: int) -> None:
    baseline, _ = tied()
    rng = np.random.default_rng(size)
    values = values_of(baseline, rng.normal(size=(1200, 5)) * 4, rng.normal(size=(1200, 6)))
    bounds = np.arange(0, 1201, size)
    parts = {name: each for name, each in values.items() if name.endswith(" parts")}
    alone = [sums_of(baseline, {n: v[a:b] for n, v in parts.items()}) for a, b in pairwise(bounds.tolist())]  # type: ignore[index]
    assert np.array_equal(tick_sums(baseline, values, bounds), alone)


def test_events_that_lack_most_inputs_are_not_added_up() -> None:
    baseline, _ = tied()
    rows = np.full((3, 5), np.nan)
    rows[0, :4] = 1.0
    found = sums_of(baseline, values_of(baseline, rows, np.full((3, 6), np.nan)))
    assert found[0] == 1
    assert not found[baseline.tilted[0].sums_number :].any()


def test_evidence_with_sums_survives_a_snapshot_and_is_the_same_tick_by_tick() -> None:
    baseline, _ = tied()
    engine = EvidenceEngine(baseline)
    rng = np.random.default_rng(3)
    values = values_of(baseline, rng.normal(size=(300, 5)), rng.normal(size=(300, 6)))
    counts = ticks_of(baseline, values)
    run = engine.run(engine.start(), np.arange(300), counts, None)
    state = engine.start()
    for tick in range(300):
        if tick == 150:
            state = EvidenceState.from_bytes(engine, state.to_bytes())
        state = engine.step(state, tick, counts[tick])
    assert state.to_bytes() == run.state.to_bytes()


def test_without_sums_no_bet_is_made_on_them() -> None:
    baseline, groups = tied()
    engine = EvidenceEngine(baseline)
    rows = np.random.default_rng(3).normal(size=(200, 5))
    state = engine.step(engine.start(), 0, count(baseline, values_of(baseline, rows)))
    for group in groups:
        assert not state.sums[group.place].any()
    with pytest.raises(DetectorError, match="counts have shape"):
        engine.step(state, 1, np.zeros(baseline.total + 1, dtype=np.int64))


def test_all_weights_add_up_to_one_with_bets_on_sums() -> None:
    baseline, groups = tied()
    layout = lay_out(baseline, EvidenceOptions(), np.ones(len(baseline.columns)))
    for i in range(len(baseline.columns)):
        assert np.exp(layout.log_weights[layout.columns == i]).sum() == pytest.approx(1.0)
    assert np.exp(layout.log_weights[groups[0].place]).sum() == pytest.approx(TILT_SHARE * (1.0 - LINE_SHARE))
    assert np.exp(layout.log_weights[layout.lines[0].place]).sum() == pytest.approx(TILT_SHARE * LINE_SHARE)
    assert baseline.only({"x0", "x1"}).sums == 0


def test_the_tolerance_of_the_bets_on_sums_is_explained() -> None:
    baseline, _ = tied()
    explained = {each.name: each.directions[-3] for each in EvidenceEngine(baseline).explain()}
    pairs, direction = explained["score.pairs"], explained["score.direction.face"]
    assert pairs.text.startswith("correlation of any two inputs: may move by ")
    assert "by which of 40 bets looks at it; most of all correlation of x" in pairs.text
    assert "by which of 1,024 bets looks at it; most of all direction " in direction.text
    assert direction.text.startswith("any direction: may move by ")
    tolerances, _ = terms(tilts_of(baseline, 0), EvidenceOptions())
    assert pairs.by == pytest.approx(float((tolerances / np.sqrt(tilts_of(baseline, 0).variances)).max()))
    assert not any(each.direction == pairs.direction for name, each in explained.items() if name != "score.pairs")


def test_parts_of_another_number_are_refused() -> None:
    baseline, _ = tied()
    with pytest.raises(ColumnError, match="shape"):
        sums_of(baseline, {"score.pairs parts": np.zeros((3, 9), dtype=np.float32)})


@pytest.mark.parametrize(
    "change",
    [
        {"parts": 2},
        {"rows": 0},
        {"statistics": np.full((10, 2), 5, dtype=np.int32)},
        {"slopes": np.full((10, 4, 2), [9.0, 0.0])},
        {"log_means": np.full((10, 4), np.nan)},
        {"variances": np.full((10, 4), -1.0)},
        {"inflation": np.ones((10, 3))},
        {"between": np.zeros((9, 4))},
    ],
)
def test_tilts_that_cannot_be_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(DetectorError):
        replace(tilts_of(tied()[0], 0), **change)  # type: ignore[arg-type]  # the wrong values are the point


def test_tilts_of_another_space_are_refused() -> None:
    baseline, _ = tied()
    with pytest.raises(DetectorError, match="do not fit"):
        replace(baseline.tilted[1], tilts=tilts_of(baseline, 0))


# -- power ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_one_pair_among_many_is_found_soon_and_named(sign: float) -> None:
    """Two of 12 inputs begin to correlate by 0.6; Lorden's limit is 41 events. The median of nine runs is about 70."""
    rng = np.random.default_rng(2)
    engine = EvidenceEngine(joint(rng.normal(size=(8000, 12))))
    delays, names = [], []
    for _ in range(9):
        rows = rng.normal(size=(700, 12))
        rows[200:, 7] = sign * 0.6 * rows[200:, 3] + 0.8 * rows[200:, 7]
        counts = ticks_of(engine.baseline, values_of(engine.baseline, rows))
        run = engine.run(engine.start(), np.arange(700), counts, math.log(1e4))
        assert run.alarm is not None
        delays.append(run.alarm - 199)
        names.append(next((b.name, b.direction) for b in engine.blame(run.state, math.log(1e4))))
    assert 0 < np.median(delays) <= 2.5 * 41
    assert names.count(("score.pairs", f"correlation of x3 with x7 {'up' if sign > 0 else 'down'}")) >= 7


def test_two_inputs_that_come_apart_are_found() -> None:
    rng = np.random.default_rng(4)

    def rows_of(rows: int, rho: float) -> Floats:
        found = rng.normal(size=(rows, 6))
        found[:, 1] = rho * found[:, 0] + math.sqrt(1.0 - rho**2) * found[:, 1]
        return found

    engine = EvidenceEngine(joint(rows_of(8000, 0.6)))
    rows = np.concatenate([rows_of(200, 0.6), rows_of(500, 0.0)])
    counts = ticks_of(engine.baseline, values_of(engine.baseline, rows))
    run = engine.run(engine.start(), np.arange(700), counts, math.log(1e4))
    assert run.alarm is not None
    assert 200 <= run.alarm <= 400


def test_an_embedding_that_moves_along_any_line_is_found_soon() -> None:
    """Sixteen components move by one deviation in all along a line; Lorden's limit is 18 events."""
    rng = np.random.default_rng(6)
    engine = EvidenceEngine(joint(rng.normal(size=(8000, 4)), rng.normal(size=(8000, 16))))
    delays = []
    for _ in range(9):
        line = rng.normal(size=16)
        vectors = rng.normal(size=(600, 16))
        vectors[200:] += line / np.linalg.norm(line)
        counts = ticks_of(engine.baseline, values_of(engine.baseline, rng.normal(size=(600, 4)), vectors))
        run = engine.run(engine.start(), np.arange(600), counts, math.log(1e4))
        delays.append((600 if run.alarm is None else run.alarm) - 199)
    assert np.median(delays) <= 6 * 18


def test_a_reference_of_parts_that_hardly_vary_is_no_error() -> None:
    parts = np.zeros((3, 200), dtype=np.float32)
    parts[:2, 0] = 192.0
    tilts = fit_tilts(parts, parts, np.array([True, True, False]), None)
    assert tilts.statistics.tolist() == [[0, 1]]
    assert np.isfinite(tilts.log_means).all()

"""Bets in season are honest: within the tolerance of an hour, nobody wins on average."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.baseline import compile_baseline
from detectors.evidence import EvidenceEngine, EvidenceOptions
from detectors.evidence.bets import QUANTUM
from detectors.evidence.calibrate import stack
from detectors.evidence.learned import PRIOR_EVENTS, learned_increments, learned_logs, moved
from detectors.evidence.options import ColumnOptions
from detectors.evidence.seasons import SeasonalColumn
from tests.detectors.samples import spec_of
from tests.detectors.seasonal import REFERENCE, daily, reference, seasonal_columns, times
from tests.detectors.test_bets import on_the_boundary

ROUNDING = 1e-9
WEEK_SEASONS = 168


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), season=st.integers(0, WEEK_SEASONS**2 - 1), plain=st.booleans())
def test_no_bet_wins_on_average_on_the_boundary_of_its_slots_tolerance(seed: int, season: int, plain: bool) -> None:
    rng = np.random.default_rng(seed)
    for column in seasonal_columns():
        options = EvidenceOptions(standard_errors=0.0 if plain else 3.0)
        bets = SeasonalColumn(column, options, ColumnOptions(name=column.spec.name)).at(
            season % 168 if plain else season
        )
        assert bets is not None
        assert np.array_equal(np.round(bets.logs / QUANTUM) * QUANTUM, bets.logs)
        assert (bets.tolerances >= 0.0).all()
        np.testing.assert_allclose(bets.values @ bets.shares, 0.0, atol=1e-9)
        for i, direction in enumerate(bets.values):
            assert bets.shares @ np.exp(bets.logs[i]) <= 1 + ROUNDING
            shares = on_the_boundary(bets.shares, direction, float(bets.tolerances[i]), rng)
            if shares is not None:
                assert shares @ np.exp(bets.logs[i]) <= 1 + ROUNDING


def test_what_shrinking_moved_passes_for_no_change() -> None:
    """The rows of an hour themselves win nothing, although its shares are mixed with those of all hours."""
    options = EvidenceOptions(standard_errors=0.0, minimum_effect=0.0)
    for column in seasonal_columns():
        season, bets = column.season, SeasonalColumn(column, options, ColumnOptions(name="x"))
        assert season is not None
        for slot in range(season.slots):
            own = bets.at(slot)
            plain = season.counts[slot] / season.counts[slot].sum()
            assert own is not None
            assert (np.exp(own.logs) @ plain <= 1 + ROUNDING).all()
            assert np.abs(own.shares - plain).max() > 1e-3


def test_the_exponents_of_an_hour_apply_in_it() -> None:
    """Rows that move together in spite of their season: at each hour a tick adds its bets' logarithms times these."""
    rng = np.random.default_rng(2)
    columns = daily(rng, REFERENCE)
    load = np.convolve(rng.normal(size=REFERENCE + 9), np.full(10, 10**-0.5), "valid")
    columns["load"] = load + np.asarray(columns["load"]) - np.asarray(daily(rng, REFERENCE, size=0.0)["load"])
    spec = spec_of("load", columns["load"])
    baseline = compile_baseline([(spec, columns["load"])], times=times(REFERENCE)).baseline
    assert baseline.seasonal == (0,)
    engine, own = (
        EvidenceEngine(baseline),
        SeasonalColumn(baseline.columns[0], EvidenceOptions(), ColumnOptions(name="")),
    )
    counts = rng.multinomial(30, np.full(baseline.total, 1.0 / baseline.total))
    for season in (0, 12):
        bets = own.at(season)
        assert bets is not None
        assert bets.etas[0] < 0.3
        sums = engine.step(engine.start(), 0, counts, season).sums
        expected = bets.etas * engine.strengths[0] * (bets.logs @ counts)
        np.testing.assert_allclose(sums[: len(expected)], expected, rtol=1e-12)


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), season=st.integers(0, WEEK_SEASONS - 1), events=st.integers(0, 3000))
def test_the_learned_bet_is_honest_at_every_hour(seed: int, season: int, events: int) -> None:
    rng = np.random.default_rng(seed)
    for column in seasonal_columns():
        bets = SeasonalColumn(column, EvidenceOptions(), ColumnOptions(name="x")).at(season)
        assert bets is not None
        null = bets.null
        memory = rng.multinomial(events, rng.dirichlet(np.full(len(bets.shares), 0.5)))[None].astype(np.float64)
        logs = learned_logs(stack([null]), memory, np.array([np.inf]), bets.move[None])[0]
        learned = (memory[0] + PRIOR_EVENTS * null.probabilities) / (events + PRIOR_EVENTS)
        direction = bets.move @ (learned / null.probabilities - 1.0)
        assert bets.shares @ direction == pytest.approx(0.0, abs=1e-9)
        tolerance = float(null.learned_tolerance(direction[None])[0])
        assert bets.shares @ np.exp(logs) <= 1 + ROUNDING
        shares = on_the_boundary(bets.shares, direction, tolerance, rng)
        if shares is not None:
            assert shares @ np.exp(logs) <= 1 + ROUNDING


def test_the_learned_bet_wins_the_exact_sum_and_remembers_events_without_their_season() -> None:
    rng = np.random.default_rng(0)
    column = reference().columns[0]
    bets = SeasonalColumn(column, EvidenceOptions(), ColumnOptions(name="load")).at(3)
    assert bets is not None
    caps, moves, stacked = np.array([np.inf]), bets.move[None], stack([bets.null])
    memory = rng.multinomial(500, rng.dirichlet(np.full(len(bets.shares), 0.3)))[None].astype(np.float64)
    for events in (3, 400):
        counts = rng.multinomial(events, bets.shares)[None].astype(np.float64)
        logs = learned_logs(stacked, memory, caps, moves)
        assert np.array_equal(learned_increments(stacked, memory, caps, counts, moves), (counts * logs).sum(axis=1))
        assert moved(counts, moves).sum() == pytest.approx(events)
    many = moved(rng.multinomial(10**6, bets.shares)[None].astype(np.float64), moves)[0] / 10**6
    np.testing.assert_allclose(many, bets.null.probabilities, atol=5e-3)  # six standard errors of the largest bin

"""What single events can do to the evidence of a column has a bound, which is no larger than it must be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.baseline import compile_baseline
from detectors.binning import count
from detectors.columns import ColumnKind, ColumnSpec
from detectors.evidence import EvidenceEngine, EvidenceOptions

RNG = np.random.default_rng(5)
ROWS = 4_000
SPECS = [
    (ColumnSpec(name="age", kind=ColumnKind.NUMERIC), RNG.normal(size=ROWS)),
    (ColumnSpec(name="flat", kind=ColumnKind.NUMERIC), RNG.integers(0, 3, ROWS).astype(np.float64)),
]
BASELINE = compile_baseline(SPECS).baseline
ENGINE = EvidenceEngine(BASELINE, EvidenceOptions())
EXTREMES = (np.nan, np.inf, -50.0, -1.0, 0.0, 0.7, 2.0, 3.5, 1e9)


def counts_of(rng: np.random.Generator, rows: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return count(BASELINE, {"age": rng.normal(size=rows), "flat": rng.integers(0, 3, rows).astype(np.float64)})


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    ticks=st.integers(0, 6),
    values=st.lists(st.sampled_from(EXTREMES), min_size=1, max_size=8),
)
def test_so_many_events_multiply_no_evidence_by_more_than_their_caps(
    seed: int, ticks: int, values: list[float]
) -> None:
    rng = np.random.default_rng(seed)
    state = ENGINE.start()
    for tick in range(ticks):
        # What was learned before may be anything, also of the same principal's making.
        before = count(BASELINE, {name: np.array(values * (tick % 3)) for name in ("age", "flat")})
        state = ENGINE.step(state, tick, counts_of(rng, 40) + before)
    honest = counts_of(rng, 30)
    more = count(BASELINE, {name: np.array(values) for name in ("age", "flat")})
    without = ENGINE.read(ENGINE.step(state, ticks, honest)).log_columns
    beside = ENGINE.read(ENGINE.step(state, ticks, honest + more)).log_columns
    assert (beside - without <= len(values) * ENGINE.caps + 1e-9).all()


def test_the_caps_are_nearly_reached() -> None:
    """One event after none: of all values the one that is paid best, less what the weights of other bets take."""
    start = ENGINE.start()
    for place, name in enumerate(BASELINE.names):
        best = max(
            ENGINE.read(ENGINE.step(start, 0, count(BASELINE, {name: np.array([value] * 9)}))).log_columns[place]
            for value in EXTREMES
        )
        assert 0.5 * 9 * ENGINE.caps[place] < best <= 9 * ENGINE.caps[place]


def test_columns_whose_bets_are_on_sums_have_none_and_ignored_ones_none_to_speak_of() -> None:
    from detectors.evidence import ColumnOptions

    ignoring = EvidenceEngine(BASELINE, EvidenceOptions(columns=(ColumnOptions(name="flat", ignore=True),)))
    assert ignoring.caps[BASELINE.index["flat"]] == 0.0
    assert ignoring.caps[BASELINE.index["age"]] == pytest.approx(ENGINE.caps[BASELINE.index["age"]])

"""Counting many ticks at once, and cutting rows into ticks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.baseline import Baseline, compile_baseline
from detectors.binning import count
from detectors.columns import Codes, ColumnKind, ColumnSpec, Values
from service.replay.counting import count_ticks, cut

ODD = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, 2.0, 3.0, 1e300, -1e300, 1e-300, 0.1, 0.30000001]


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    rng = np.random.default_rng(0)
    letters = Codes(("a", "b", "c"), rng.integers(-1, 3, 3000).astype(np.int32))
    columns: list[tuple[ColumnSpec, Values]] = [
        (ColumnSpec(name="normal", kind=ColumnKind.NUMERIC), rng.normal(size=3000)),
        (ColumnSpec(name="few", kind=ColumnKind.NUMERIC), rng.integers(0, 4, 3000).astype(np.float32)),
        (ColumnSpec(name="fine", kind=ColumnKind.NUMERIC), 1e9 + rng.integers(0, 2000, 3000) * 1e-3),
        (ColumnSpec(name="letter", kind=ColumnKind.CATEGORICAL), letters),
    ]
    return compile_baseline(columns).baseline


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(1, 300), min_size=1, max_size=12), even=st.booleans(), seed=st.integers(0, 99))
def test_many_ticks_at_once_are_counted_as_each_alone(
    baseline: Baseline, sizes: list[int], even: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    bounds = 3 + np.concatenate([[0], np.cumsum([sizes[0]] * len(sizes) if even else sizes)])
    rows = int(bounds[-1]) + 2
    values: dict[str, Values] = {
        "normal": np.where(rng.random(rows) < 0.3, rng.choice(ODD, rows), rng.normal(size=rows) * 2),
        "few": rng.choice([*ODD[:8], 0.5], rows).astype(np.float32),
        "fine": 1e9 + rng.integers(-100, 2100, rows) * 1e-3,
        "letter": Codes(("c", "new", "a"), rng.integers(-2, 3, rows).astype(np.int32)),
    }
    together = count_ticks(baseline, values, bounds)
    spans = zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    assert together.tolist() == [count(baseline, cut(values, *span)).tolist() for span in spans]

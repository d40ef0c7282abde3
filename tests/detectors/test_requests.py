"""Scores of single requests: exact among exchangeable ones, the same in whatever batch, high for what is odd."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom

from detectors.columns import Codes
from detectors.errors import DetectorError
from detectors.requests import KEPT, Batch, Honest, Part, RequestModel, reasons
from detectors.requests.density import Density, Placing
from detectors.requests.fuse import HELD_MIN, Fusion
from detectors.requests.model import BLOCKS, ROWS_MIN, halves
from detectors.requests.precision import Precision, decimals
from detectors.requests.rarity import LABELS, WIDTH, Bins, Rarity

NAMES = (("whole", "cents", "low", "high", "sum", "plain"), ("country", "kind"))
COUNTRIES = ("DE", "FR", "PL")
WRONG = 1e-7
"""Of a test that counts random requests: how often it fails although nothing is wrong."""


def requests(rows: int, seed: int, *, classes: int = 2) -> Batch:
    rng = np.random.default_rng(seed)
    plain = rng.normal(size=rows)
    low = rng.gamma(2.0, size=rows)
    cents = np.round(rng.normal(50.0, 20.0, rows), 2)
    numeric = np.array([rng.integers(18, 90, rows), cents, low, low + rng.gamma(1.0, size=rows), plain + cents, plain])
    country = rng.integers(0, len(COUNTRIES), rows).astype(np.int32)
    return Batch(
        numeric=numeric,
        categorical=(Codes(COUNTRIES, country), Codes(("a", "b"), (country == 1).astype(np.int32))),
        answers=Codes(("ok", "fraud", "new")[:classes], np.digitize(plain, np.arange(classes - 1)).astype(np.int32)),
        margins=np.abs(np.tanh(plain)),
    )


@pytest.fixture(scope="module")
def model() -> RequestModel:
    return RequestModel.fit(NAMES, requests(4_000, 1))


def changed(batch: Batch, column: str, values: NDArray[np.floating] | float) -> Batch:
    numeric = batch.numeric.copy()
    numeric[NAMES[0].index(column)] = values
    return Batch(numeric=numeric, categorical=batch.categorical, answers=batch.answers, margins=batch.margins)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(HELD_MIN, 120),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["independent", "same", "ties", "opposite"]),
)
def test_a_fused_rank_is_exact_whatever_the_parts_have_to_do_with_each_other(
    parts: int, held: int, seed: int, tie: str
) -> None:
    """Every request is in turn the new one: of exchangeable ones at most ``a (n + 1)`` may have a rank up to ``a``."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=held + 1)
    scores = {
        "independent": rng.normal(size=(parts, held + 1)),
        "same": np.repeat(first[None], parts, axis=0),
        "ties": rng.integers(0, 4, (parts, held + 1)).astype(float),
        "opposite": np.array([first * (-1.0) ** k for k in range(parts)]),
    }[tie]
    ranks = np.array([Fusion(np.delete(scores, new, axis=1)).ranks(scores[:, [new]])[1][0] for new in range(held + 1)])
    for level in np.arange(1, held + 2) / (held + 1.0):
        assert (ranks <= level + 1e-12).sum() <= level * (held + 1) + 1e-6


def test_scores_of_ordinary_requests_are_uniform() -> None:
    """Over 40 references: the mean share is exact, and the share of each has the spread of its held-out half."""
    for level in (0.5, 0.1, 0.01):
        hits = [
            (RequestModel.fit(NAMES, requests(400, 100 + s)).judge(requests(400, 1_000 + s)).scores >= 1 - level).sum()
            for s in range(40)
        ]
        # Those of one reference go up and down together, by the 200 held out: as if there were 40 * 133 requests.
        assert sum(hits) / 3.0 <= binom.isf(WRONG, 40 * 400 // 3, level)
        assert sum(hits) / 3.0 >= binom.isf(1 - WRONG, 40 * 400 // 3, level * 0.98 - 1 / 201)


def test_a_request_has_the_same_bits_in_whatever_batch_it_comes(model: RequestModel) -> None:
    batch = requests(300, 5)
    whole = model.judge(batch)
    for rows in (slice(0, 1), slice(7, 9), slice(100, 300)):
        part = model.judge(batch.taken(np.arange(300)[rows]))
        assert part.bets.tobytes() == whole.bets[rows].tobytes()
        assert part.scores.tobytes() == whole.scores[rows].tobytes()
        assert (part.broken == whole.broken[:, rows]).all()


@pytest.mark.parametrize(
    ("column", "value", "part", "said"),
    [
        ("whole", 40.5, Part.RULES, "breaks the rule 'whole is whole'"),
        ("whole", 300.0, Part.RULES, "breaks the rule 'range of whole'"),
        ("high", 0.0, Part.RULES, "breaks the rule 'low <= high'"),
        ("sum", 0.123, Part.RULES, "breaks the rule 'sum = cents + plain'"),
        ("cents", 50.123456, Part.PRECISION, "cents has 5 decimals, as 0 of 2000 reference requests have"),
        ("plain", 90.0, Part.DISTANCE, "plain"),
    ],
)
def test_what_is_odd_has_a_high_score_and_its_reason(
    model: RequestModel, column: str, value: float, part: Part, said: str
) -> None:
    batch = changed(requests(50, 6), column, value)
    judged = model.judge(batch)
    assert float(np.median(judged.scores)) >= 0.98
    told = [one for row in range(50) for one in reasons(model, batch, judged, row) if one.part is part]
    assert sum(said in one.said for one in told) >= 40


def test_values_are_told_apart_from_what_may_always_be_said(model: RequestModel) -> None:
    batch = changed(requests(1, 6), "whole", 300.0)
    (rule,) = [r for r in reasons(model, batch, model.judge(batch), 0) if r.part is Part.RULES]
    assert rule.columns == ("whole",)
    assert "300" in rule.told
    assert "300" not in rule.said
    assert "90" not in rule.said


def test_a_combination_that_nobody_has_is_rare_although_each_of_its_labels_is_usual(model: RequestModel) -> None:
    batch = requests(50, 7)
    swapped = Codes(("a", "b"), 1 - batch.categorical[1].codes)
    odd = Batch(
        numeric=batch.numeric,
        categorical=(batch.categorical[0], swapped),
        answers=batch.answers,
        margins=batch.margins,
    )
    judged = model.judge(odd)
    place = model.parts.index(Part.RARITY)
    assert (judged.ranks[place] <= 0.01).mean() > 0.9
    told = [one for one in reasons(model, odd, judged, 0) if one.part is Part.RARITY]
    assert told[0].said.startswith("country and kind are a rare combination: of 2000 reference requests 0")
    assert "country is '" in told[0].told


def test_requests_are_compared_with_those_of_the_same_answer(model: RequestModel) -> None:
    batch = requests(200, 8)
    turned = Batch(
        numeric=batch.numeric,
        categorical=batch.categorical,
        answers=Codes(("fraud", "ok"), np.asarray(batch.answers.codes if batch.answers else 0, np.int32)),
        margins=batch.margins,
    )
    place = model.parts.index(Part.DISTANCE)
    assert np.median(model.judge(turned).ranks[place]) < 0.7 * np.median(model.judge(batch).ranks[place])
    assert model.group_name(batch.taken(np.array([0]))) in {"ok", "fraud"}
    nobody = Batch(numeric=batch.numeric, categorical=batch.categorical)
    assert model.group_name(nobody.taken(np.array([0]))) is None


def test_missing_invalid_and_enormous_values_never_fail_and_break_no_rule(model: RequestModel) -> None:
    for value in (np.nan, np.inf, -np.inf):
        batch = changed(requests(20, 9), "whole", value)
        judged = model.judge(batch)
        assert np.isfinite(judged.bets).all()
        assert ((judged.scores >= 0.0) & (judged.scores < 1.0)).all()
        names = [one.columns for one in model.rules.constraints]
        assert not any(judged.broken[i].any() for i, columns in enumerate(names) if "whole" in columns)
    for value in (1e300, -1e300, 5e-324):
        judged = model.judge(changed(requests(20, 9), "plain", value))
        assert np.isfinite(judged.bets).all()
    empty = model.judge(requests(20, 9).taken(np.zeros(0, np.int64)))
    assert empty.scores.shape == (0,)


def test_parts_that_an_event_cannot_give_say_nothing(model: RequestModel) -> None:
    batch = requests(20, 10)
    without = Batch(numeric=batch.numeric, categorical=batch.categorical)
    judged = model.judge(without)
    assert (judged.ranks[model.parts.index(Part.MARGIN)] == 1.0).all()
    silent = RequestModel.fit(NAMES, Batch(numeric=requests(400, 3).numeric, categorical=requests(400, 3).categorical))
    assert Part.MARGIN not in silent.parts


def test_an_embedding_alone_is_enough_and_is_projected_on_32_directions() -> None:
    rng = np.random.default_rng(0)
    reference = Batch(numeric=np.zeros((0, 600)), embedding=rng.normal(size=(600, 100)).astype(np.float32))
    model = RequestModel.fit(((), ()), reference)
    assert model.parts == (Part.DISTANCE, Part.NEIGHBOUR)
    assert model.density.groups[0].places.shape[1] == 32
    far = Batch(numeric=np.zeros((0, 5)), embedding=np.full((5, 100), 40.0, np.float32))
    judged = model.judge(far)
    assert (judged.scores >= 0.99).all()
    assert "deviations from the middle of the reference requests" in reasons(model, far, judged, 0)[0].said


def test_too_little_to_learn_from_is_refused() -> None:
    with pytest.raises(DetectorError, match="199 reference requests; at least 200"):
        RequestModel.fit(NAMES, requests(ROWS_MIN - 1, 1))
    with pytest.raises(DetectorError, match="at least 50"):
        Fusion(np.zeros((1, HELD_MIN - 1)))
    with pytest.raises(DetectorError, match="no number below infinity"):
        Fusion(np.full((1, HELD_MIN), np.nan))


def test_the_halves_are_disjoint_and_come_from_all_times() -> None:
    first, second = halves(1_000)
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(1_000))
    assert len(np.flatnonzero(np.diff(first) > 1)) == BLOCKS // 2 - 1
    first, second = halves(1_000_000)
    assert len(first) + len(second) == 40_000


def test_memory_is_bounded_whatever_the_reference() -> None:
    rows = 30_000
    rng = np.random.default_rng(0)
    labels = tuple(f"class {i}" for i in range(500))
    many = Batch(
        numeric=rng.normal(size=(60, rows)).astype(np.float64),
        categorical=(Codes(labels, rng.integers(0, 500, rows).astype(np.int32)),),
        answers=Codes(labels, rng.integers(0, 500, rows).astype(np.int32)),
    )
    model = RequestModel.fit((tuple(f"x{i}" for i in range(60)), ("label",)), many)
    assert len(model.density.groups) <= 65
    assert len(model.rarity.pairs) == 128
    assert model.fusion.size <= 20_000
    assert len(model.rules.constraints) <= 256


def test_decimals_are_those_of_the_number_as_it_was_written() -> None:
    written = ["3", "0.5", "12.25", "0.1", "99.99", "1234.5", "0.001", "0.123456"]
    for kind in (np.float32, np.float64):
        values = np.array([kind(text) for text in written]).astype(np.float32).astype(np.float64)
        assert decimals(values).tolist() == [0, 1, 2, 1, 2, 1, 3, 6]


def test_precision_is_surprised_by_decimals_that_a_column_never_has() -> None:
    rng = np.random.default_rng(0)
    reference = np.round(rng.normal(size=(1, 1_000)) * 10, 1).astype(np.float32).astype(np.float64)
    precision = Precision.fit(reference)
    assert precision.each(reference).max() == 0
    assert precision.each(np.array([[0.25, np.nan]])).tolist()[0][0] > 200
    assert precision.each(np.array([[0.25, np.nan]])).tolist()[0][1] == 0


def test_bins_hold_labels_by_frequency_and_set_the_odd_ones_apart() -> None:
    labels = tuple(f"l{i:02}" for i in range(20))
    codes = np.repeat(np.arange(20), np.arange(20, 0, -1)).astype(np.int32)
    bins = Bins.fit(np.zeros((0, len(codes))), (Codes(labels, codes),))
    assert bins.labels == (labels[:LABELS],)
    found = bins.codes(np.zeros((0, 4)), (Codes(("l00", "l19", "never"), np.array([0, 1, 2, -1], np.int32)),))
    assert found.tolist() == [[0, WIDTH - 2, WIDTH - 2, WIDTH - 1]]


def test_the_rank_of_a_combination_is_the_share_of_those_that_are_no_more_frequent() -> None:
    first = Codes(("a", "b"), np.repeat([0, 0, 1], [90, 9, 1]).astype(np.int32))
    second = Codes(("c", "d"), np.repeat([0, 1, 1], [90, 9, 1]).astype(np.int32))
    rarity = Rarity.fit(np.zeros((0, 100)), (first, second))
    cells = {cell: int(rarity.surprise[0, cell]) for cell in (0, 1, WIDTH, WIDTH + 1)}
    usual, nats = 4 * 64, {1: np.log(101 / 11), WIDTH: np.log(101), WIDTH + 1: np.log(101 / 2)}
    assert cells == {0: 0, **{cell: max(0, round(64 * value) - usual) for cell, value in nats.items()}}


def test_distances_agree_with_a_naive_computation() -> None:
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(6, 400))
    density = Density.fit(raw, np.zeros(400, np.int64), ("only",))
    new = rng.normal(size=(6, 20))
    far, near = density.measure(new, np.zeros(20, np.int64))
    placed, places = Placing.fit(raw).of(new).T / 128.0, density.groups[0].places / 128.0
    apart = np.sort(np.linalg.norm(placed[:, None] - places[None], axis=2), axis=1)[:, 2]
    assert near == pytest.approx(apart / density.groups[0].usual)
    old = Placing.fit(raw).of(raw) / 128.0
    away = placed.T - old.mean(axis=1, keepdims=True)
    naive = np.sqrt(np.einsum("ij,ij->j", away, np.linalg.solve(np.cov(old), away)))
    # The covariance is shrunk a little.
    assert far == pytest.approx(naive, rel=0.1)


def test_what_the_reference_would_have_got_is_distributed_like_what_later_requests_get() -> None:
    reference = requests(4_000, 11)
    honest = Honest.fit(NAMES, reference)
    later = honest.model.judge(requests(4_000, 12)).bets
    for share in (0.5, 0.9, 0.99):
        at = np.quantile(honest.bets, share)
        # Both shares are of 4,000; the later one depends on 2,000 that are held out as well.
        spread = np.sqrt(share * (1 - share) * (1 / 4_000 + 1 / 4_000 + 1 / 2_000))
        assert abs((later > at).mean() - (1 - share)) <= 5.4 * spread + 1 / 4_000
    labels = np.array(honest.rules.labels)[honest.rules.codes]
    assert (labels == KEPT).mean() > 0.97


@pytest.mark.parametrize("odd", [{"answers": None}, {"margins": None}])
def test_optional_inputs_may_be_taken_apart(odd: dict[str, Any]) -> None:
    batch = requests(10, 1)
    given: dict[str, Any] = {
        "numeric": batch.numeric,
        "categorical": batch.categorical,
        "answers": batch.answers,
        "margins": batch.margins,
    }
    part = Batch(**(given | odd)).taken(np.array([3, 4]))
    assert part.rows == 2
    assert part.numeric.tobytes() == batch.numeric[:, [3, 4]].tobytes()

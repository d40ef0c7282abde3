"""Fitted scores: reference values, the same bits in every batch, and what they do with odd input."""

import hashlib
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf

from detectors.columns import Codes, ColumnKind, ColumnSpec, Values
from detectors.errors import ColumnError, DetectorError
from detectors.exact import DIMENSIONS_MAX, Coordinates, Fitted, fitted_of
from detectors.numbers import normals_of, place_of, signs_of
from detectors.registry import FITTED
from detectors.scores.covariance import moments_of
from detectors.scores.typicality import fit_typicality, typicality, without_each
from detectors.spaces import Space, fit, fit_spaces
from tests.detectors.samples import LABELS, NUMBERS, Columns, copy_of, rows_of, spec_of

ROWS = 400


def tied(rng: np.random.Generator, rows: int, size: int) -> NDArray[np.float64]:
    """Return rows whose columns share three hidden causes."""
    causes = rng.normal(size=(rows, 3)) @ rng.normal(size=(3, size))
    return np.asarray(causes + 0.3 * rng.normal(size=(rows, size)))


def placed(values: NDArray[np.float64]) -> Coordinates:
    return np.clip(np.rint(values.T * 64), -1024, 1024).astype(np.float32)


def table(rng: np.random.Generator, rows: int) -> Columns:
    causes = tied(rng, rows, 6)
    gaps = causes[:, 5].copy()
    gaps[rng.random(rows) < 0.1] = np.nan
    columns: Columns = {f"x{j}": causes[:, j] for j in range(0, 5, 2)}
    columns |= {f"x{j}": causes[:, j].astype(np.float32) for j in range(1, 5, 2)}
    columns["gaps"] = gaps
    columns["letter"] = Codes(LABELS, (np.abs(causes[:, 0]) % len(LABELS)).astype(np.int32))
    return columns


def fitted_to(columns: Columns) -> Space:
    (space,), _ = fit_spaces([(spec_of(name, values), values) for name, values in columns.items()], {})
    return space


SPACE = fitted_to(table(np.random.default_rng(0), ROWS))
WIDE_ROWS = np.random.default_rng(1).normal(size=(ROWS, 300)).astype(np.float32)
WIDE = fit_spaces([], {"face": WIDE_ROWS})[0][0]
NARROW_ROWS = WIDE_ROWS[:, :16]
NARROW = fit_spaces([], {"voice": NARROW_ROWS})[0][0]
SPACES = {"columns": SPACE, "projected": WIDE, "embedding": NARROW}


def numbers_of(space: Space, rows: NDArray[np.int64] | slice) -> dict[str, NDArray[np.float64]]:
    if space is NARROW:
        return NARROW.scores_of_embedding(NARROW_ROWS[rows])
    if space is WIDE:
        return space.scores_of_embedding(WIDE_ROWS[rows])
    return space.scores(rows_of(table(np.random.default_rng(2), ROWS), rows))


# -- reference values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "size"), [(50, 2), (400, 5), (400, 60), (60, 100)])
def test_mean_covariance_and_shrinkage_are_those_of_scikit_learn(rows: int, size: int) -> None:
    coordinates = placed(tied(np.random.default_rng(size), rows, size))
    mean, covariance, shrinkage = moments_of(coordinates)
    real = coordinates.T.astype(np.float64) / 128
    expected, share = ledoit_wolf(real)
    level = np.trace(covariance) / size
    assert mean == pytest.approx(real.mean(axis=0))
    assert shrinkage == pytest.approx(share)
    assert (1 - shrinkage) * covariance + shrinkage * level * np.eye(size) == pytest.approx(expected)


def test_the_mahalanobis_distance_is_the_one_of_the_shrunk_covariance() -> None:
    coordinates = placed(np.random.default_rng(3).normal(size=(400, 20)))
    real = coordinates.T.astype(np.float64) / 128
    off = real - real.mean(axis=0)
    inverse = np.linalg.inv(ledoit_wolf(real)[0])
    score = FITTED["mahalanobis"]
    fitted = score.fit(coordinates, None)
    assert fitted is not None
    assert score.apply(fitted, coordinates) == pytest.approx(
        np.sqrt(np.einsum("ij,jk,ik->i", off, inverse, off)), abs=0.01
    )


def test_the_residual_is_what_the_leading_components_do_not_rebuild() -> None:
    coordinates = placed(tied(np.random.default_rng(4), 400, 12))
    real = coordinates.T.astype(np.float64) / 128
    off = real - real.mean(axis=0)
    _, singular, axes = np.linalg.svd(off, full_matrices=False)
    kept = int(np.searchsorted(np.cumsum(singular**2), 0.9 * (singular**2).sum())) + 1
    rebuilt = off @ axes[:kept].T @ axes[:kept]
    score = FITTED["residual"]
    fitted = score.fit(coordinates, None)
    assert fitted is not None
    assert len(fitted.weights) == 12 - kept
    assert score.apply(fitted, coordinates) == pytest.approx(np.linalg.norm(off - rebuilt, axis=1), abs=0.01)


def test_inputs_that_nothing_ties_together_have_no_residual() -> None:
    assert FITTED["residual"].fit(placed(np.random.default_rng(5).normal(size=(400, 6))), None) is None


def test_typicality_is_the_mean_of_the_cosines_and_sines() -> None:
    coordinates = placed(tied(np.random.default_rng(6), 400, 5))
    fitted = fit_typicality(coordinates)
    angles = 2 * np.pi * fitted.weights.astype(np.float64) @ coordinates * 2.0 ** -(fitted.exponent + 7)
    features = np.concatenate([np.cos(angles), np.sin(angles)])
    expected = features.T @ features.mean(axis=1) / 64
    assert typicality(fitted, coordinates) == pytest.approx(expected, abs=0.002)


def test_typicality_estimates_the_mean_gaussian_kernel() -> None:
    values = np.random.default_rng(7).normal(size=(1000, 3))
    coordinates = placed(values)
    fitted = fit_typicality(coordinates)
    real = coordinates.T.astype(np.float64) / 128
    squares = ((real[:, None, :] - real[None, :50, :]) ** 2).sum(axis=2)
    kernel = np.exp(-squares / (4 * real.var(axis=0).sum())).mean(axis=0)
    assert typicality(fitted, coordinates[:, :50]) == pytest.approx(kernel, abs=0.2)
    assert np.corrcoef(typicality(fitted, coordinates[:, :50]), kernel)[0, 1] > 0.9


def test_pairs_are_the_mean_of_the_products_of_all_pairs_that_vary() -> None:
    coordinates = placed(np.random.default_rng(8).normal(size=(50, 20)))
    coordinates[3] = 0.0
    score = FITTED["pairs"]
    fitted = score.fit(coordinates, None)
    assert fitted is not None
    rough = np.delete(np.clip(np.rint(coordinates.astype(np.float64) / 2), -192, 192) / 64, 3, axis=0)
    first, second = np.triu_indices(19, 1)
    assert score.apply(fitted, coordinates) == pytest.approx((rough[first] * rough[second]).mean(axis=0), abs=1e-12)


def test_with_many_coordinates_there_are_no_pairs() -> None:
    assert FITTED["pairs"].fit(placed(np.random.default_rng(8).normal(size=(50, 65))), None) is None


def test_directions_are_of_unit_length_and_point_everywhere() -> None:
    coordinates = placed(np.random.default_rng(8).normal(size=(5000, 16)))
    score = FITTED["direction"]
    fitted = score.fit(coordinates, None)
    assert fitted is not None
    assert score.apply(fitted, coordinates).std() == pytest.approx(0.5, abs=0.05)
    unit = fitted.weights * 2.0**-fitted.exponent
    assert np.linalg.norm(unit, axis=1) == pytest.approx(1.0, abs=0.02)
    assert np.linalg.svd(unit)[1].min() > 0.5 * np.sqrt(128 / 16)


def test_numbers_come_from_their_seed_alone() -> None:
    assert hashlib.sha256(signs_of("a", 128, 4096).tobytes()).hexdigest()[:16] == "689602dc6b2b3349"
    assert signs_of("a", 64, 64).mean() == pytest.approx(0, abs=0.08)
    normals = normals_of("a", 100, 100)
    assert (normals.mean(), normals.std()) == (pytest.approx(0, abs=0.05), pytest.approx(1, abs=0.05))
    assert place_of("a") == place_of("a") != place_of("b")
    assert -1 <= place_of("\ud800") <= 1


# -- conformance ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())
@given(cuts=st.lists(st.integers(0, ROWS), max_size=8), order=st.permutations(range(8)))
@settings(max_examples=40, deadline=None)
def test_an_event_has_the_same_bits_in_every_batch(space: Space, cuts: list[int], order: list[int]) -> None:
    whole = numbers_of(space, slice(None))
    edges = [0, *sorted(cuts), ROWS]
    parts = [np.arange(low, high) for low, high in pairwise(edges)]
    places = np.concatenate([parts[i] for i in order if i < len(parts)])
    for rows in (*parts, places):
        for name, numbers in numbers_of(space, rows).items():
            assert np.array_equal(numbers, whole[name][rows], equal_nan=True)


@given(
    columns=st.fixed_dictionaries({f"x{j}": st.lists(NUMBERS, min_size=3, max_size=3) for j in range(5)}),
    gaps=st.lists(NUMBERS, min_size=3, max_size=3),
    codes=st.lists(st.integers(-2, len(LABELS) - 1), min_size=3, max_size=3),
)
def test_every_event_has_a_finite_score_or_lacks_more_than_half_of_its_inputs(
    columns: dict[str, list[float]], gaps: list[float], codes: list[int]
) -> None:
    given: Columns = {name: np.array(values) for name, values in columns.items()}
    given |= {"gaps": np.array(gaps), "letter": Codes(LABELS, np.array(codes, dtype=np.int32))}
    before = copy_of(given)
    found = SPACE.scores(given)
    raw = np.array([*columns.values(), gaps, [math.nan if code < 0 else 0.0 for code in codes]])
    lacking = np.isfinite(raw).mean(axis=0) < 0.5
    for numbers in found.values():
        assert np.array_equal(np.isnan(numbers), lacking)
        assert not np.isinf(numbers).any()
    for name, values in given.items():
        kept = before[name]
        if isinstance(values, Codes) and isinstance(kept, Codes):
            assert np.array_equal(values.codes, kept.codes)
        elif not isinstance(values, Codes) and not isinstance(kept, Codes):
            assert np.array_equal(values, kept, equal_nan=True)


def test_embeddings_that_are_missing_or_invalid_stay_so() -> None:
    vectors = WIDE_ROWS[:5].copy()
    vectors[1], vectors[2], vectors[3, 7], vectors[4, 0] = np.nan, np.inf, -np.inf, 3e38
    for numbers in WIDE.scores_of_embedding(vectors).values():
        assert np.isfinite(numbers[[0, 4]]).all()
        assert np.isnan(numbers[1])
        assert np.isposinf(numbers[2:4]).all()


def test_a_batch_without_events_has_no_scores() -> None:
    found = numbers_of(SPACE, slice(0, 0))
    assert set(found) == set(SPACE.columns)
    assert all(numbers.shape == (0,) for numbers in found.values())


def test_only_the_wanted_scores_are_worked_out() -> None:
    assert set(SPACE.scores(table(np.random.default_rng(2), 3), {"score.typicality"})) == {"score.typicality"}


# -- fitting --------------------------------------------------------------------------------------------------------


def test_the_same_reference_gives_the_same_fit() -> None:
    again = fitted_to(table(np.random.default_rng(0), ROWS))
    for name, fitted in SPACE.fits.items():
        assert np.array_equal(fitted.weights, again.fits[name].weights)


@pytest.mark.parametrize("columns", [1, 20, 300])
def test_reference_rows_score_as_later_rows_do(columns: int) -> None:
    rows, later = 1000, 20_000
    rng = np.random.default_rng(columns)
    values = {f"x{j}": rng.normal(size=rows + later) for j in range(columns + 1)}
    specs = [(spec_of(name, each), each[:rows]) for name, each in values.items()]
    (space,), scored = fit_spaces(specs, {})
    found = space.scores({name: each[rows:] for name, each in values.items()})
    for spec, reference in scored:
        assert not isinstance(reference, Codes)
        error = reference.std() / math.sqrt(rows)
        assert abs(found[spec.name].mean() - reference.mean()) < 5 * error, spec.name


def test_there_are_no_more_coordinates_than_the_rows_support() -> None:
    assert WIDE.dimensions == ROWS // 20
    assert WIDE.projected is not None
    assert SPACE.dimensions == 7
    assert SPACE.projected is None


@pytest.mark.parametrize("rows", [1, 99])
def test_with_few_rows_nothing_is_fitted(rows: int) -> None:
    columns: Columns = {"x": np.arange(float(rows)), "y": np.arange(float(rows)) ** 2}
    assert fit_spaces([(spec_of(name, values), values) for name, values in columns.items()], {}) == ((), [])


@pytest.mark.parametrize("second", [np.full(200, 7.0), np.full(200, np.nan), np.full(200, np.inf)])
def test_a_single_value_that_varies_needs_no_space(second: Values) -> None:
    columns: Columns = {"x": np.arange(200.0), "y": second}
    assert fit_spaces([(spec_of(name, values), values) for name, values in columns.items()], {}) == ((), [])


def test_inputs_of_any_size_can_be_fitted() -> None:
    rng = np.random.default_rng(9)
    values = rng.normal(size=(200, 4)) * [1e300, 1e-300, 1e-40, 1.0] + [1e307, 0.0, 0.0, -1e15]
    columns: Columns = {f"x{j}": values[:, j] for j in range(4)}
    space = fitted_to(columns)
    assert all(np.isfinite(numbers).all() for numbers in space.scores(columns).values())


def test_a_constant_input_says_nothing_later_either() -> None:
    rng = np.random.default_rng(10)
    columns: Columns = {"x": rng.normal(size=200), "y": rng.normal(size=200), "same": np.full(200, 3.0)}
    space = fitted_to(columns)
    other = columns | {"same": np.full(200, -1.7e308)}
    for name, numbers in space.scores(columns).items():
        assert np.array_equal(space.scores(other)[name], numbers)


# -- what is refused ------------------------------------------------------------------------------------------------


def test_a_column_of_the_other_kind_is_refused() -> None:
    columns = table(np.random.default_rng(2), 3)
    with pytest.raises(ColumnError, match="'letter' is numeric here only"):
        SPACE.scores(columns | {"letter": np.zeros(3)})
    with pytest.raises(ColumnError, match="'x0' is categorical here only"):
        SPACE.scores(columns | {"x0": columns["letter"]})
    with pytest.raises(ColumnError, match=r"shape \(3, 2\)"):
        WIDE.scores_of_embedding(np.zeros((3, 2), dtype=np.float32))


@pytest.mark.parametrize(
    "change",
    [
        {"weights": np.zeros((3, DIMENSIONS_MAX + 1), dtype=np.int32)},
        {"weights": np.full((3, 2), 2**27, dtype=np.int32)},
        {"offsets": np.zeros(2, dtype=np.int64)},
        {"offsets": np.full(3, 2**60, dtype=np.int64)},
        {"amplitudes": np.zeros(1, dtype=np.int32)},
        {"exponent": 65},
    ],
)
def test_a_fit_that_could_not_be_exact_is_refused(change: dict[str, object]) -> None:
    fitted = fitted_of(np.ones((3, 2)), np.zeros(3))
    with pytest.raises(DetectorError):
        replace(fitted, **change)  # type: ignore[arg-type]  # the wrong values are the point


def test_a_space_whose_parts_do_not_fit_is_refused() -> None:
    other = Fitted(
        weights=np.ones((1, 2), dtype=np.int32),
        offsets=np.zeros(1, dtype=np.int64),
        exponent=0,
        amplitudes=np.zeros(0, dtype=np.int32),
    )
    for changed in (
        {"name": "face"},
        {"inputs": SPACE.inputs[1:]},
        {"seed": "x"},
        {"fits": {"direction": SPACE.fits["mahalanobis"]}},
        {"fits": {"mahalanobis": other}},
        {"fits": {"typicality": SPACE.fits["mahalanobis"]}},
        {"fits": {"other": SPACE.fits["mahalanobis"]}},
    ):
        with pytest.raises(DetectorError):
            replace(SPACE, **changed)


def test_spec_kinds_are_those_of_the_columns() -> None:
    assert spec_of("x", np.zeros(1)) == ColumnSpec(name="x", kind=ColumnKind.NUMERIC)


@pytest.mark.parametrize("first", [0, 250, 4_600])
def test_rows_that_only_one_tenth_of_the_reference_holds_are_not_fitted(first: int) -> None:
    # An input that came into use late: without that tenth there is nothing to score it by.
    rng = np.random.default_rng(3)
    vectors = np.full((5_000, 8), np.nan, dtype=np.float32)
    vectors[first : first + 400] = rng.normal(size=(400, 8))
    columns = [(ColumnSpec(name=f"x{i}", kind=ColumnKind.NUMERIC), vectors[:, i]) for i in range(8)]
    assert fit_spaces(columns, {"face": vectors}) == ((), [])
    vectors[1_000:2_000] = rng.normal(size=(1_000, 8))
    assert [space.name for space in fit_spaces(columns, {"face": vectors})[0]] == ["", "face"]


def test_a_reference_of_which_the_fit_sees_hardly_any_row_is_not_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "FIT_ROWS", 300)
    monkeypatch.setattr(fit, "STANDARD_ROWS", 200)
    vectors = np.full((3_000, 8), np.nan, dtype=np.float32)
    vectors[15::30] = np.random.default_rng(3).normal(size=(100, 8))  # medians see these, and the fit every tenth row
    assert fit_spaces([], {"face": vectors}) == ((), [])


@pytest.mark.parametrize("cuts", [[0, 100, 250, 600], [0, 0, 600 - 1, 600], [0, 1, 1, 300, 600]])
def test_fits_without_each_part_are_those_to_the_others(cuts: list[int]) -> None:
    """One pass for all folds: the same whole numbers as one fit after the other, also where a part has no row."""
    coordinates = placed(np.random.default_rng(12).normal(size=(600, 5)))
    whole = fit_typicality(coordinates)
    found = without_each(coordinates, np.array(cuts), whole)
    assert len(found) == len(cuts) - 1
    for fitted, low, high in zip(found, cuts[:-1], cuts[1:], strict=True):
        own = fit_typicality(np.concatenate([coordinates[:, :low], coordinates[:, high:]], axis=1), whole)
        assert np.array_equal(fitted.offsets, own.offsets)
        assert np.array_equal(fitted.amplitudes, own.amplitudes)
        assert np.array_equal(fitted.weights, whole.weights)
    assert any(not np.array_equal(fitted.amplitudes, whole.amplitudes) for fitted in found)

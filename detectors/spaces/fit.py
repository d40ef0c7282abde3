"""Fit spaces to the reference, and score the reference as if it had come after the fit."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from detectors.columns import Codes, ColumnGroup, ColumnKind, ColumnSpec, Values
from detectors.exact import DIMENSIONS_MAX, Coordinates, Fitted
from detectors.numbers import signs_of
from detectors.registry import FITTED
from detectors.scores.pairs import coarse
from detectors.spaces.inputs import lacking, stacked
from detectors.spaces.line import Line, fit_line
from detectors.spaces.space import INPUTS_MAX, WHITENED, Space
from detectors.spaces.standard import INVERSE_MAX, Standard
from detectors.spaces.tilts import Tilts, along, fit_tilts, rows_for

ROWS_MIN = 100
"""With fewer reference rows nothing is fitted."""
ROWS_PER_DIMENSION = 20
"""A space has a coordinate for each so many reference rows, at most."""
FOLDS = 10
"""Contiguous parts of the reference, each scored by what the others teach."""
FIT_ROWS = 50_000
"""Fits see so many evenly spaced rows, at most."""
STANDARD_ROWS = 20_000
"""Medians and spreads are taken of so many evenly spaced rows, at most."""
STANDARD_CELLS = 20_000_000
LINE_CELLS = 4_000_000
"""For a learned line so many coordinates of evenly spaced rows are looked at, and as many of the first ones."""
CHUNK_ROWS = 2_048
SEED = "projection 1"
NORMAL_IQR = 1.3489795
"""Distance between the quartiles of a normal distribution, in standard deviations."""

Scored = list[tuple[ColumnSpec, Values]]


def fit_spaces(
    columns: Sequence[tuple[ColumnSpec, Values]], embeddings: Mapping[str, NDArray[np.float32]]
) -> tuple[tuple[Space, ...], Scored]:
    """Fit a space to the columns together, and one to each embedding.

    Parameters
    ----------
    columns : sequence of (ColumnSpec, Values)
        Inputs with different names, all with the same number of rows, in time order if there is one.
    embeddings : mapping of str to ndarray of float32, shape (n_rows, dimension)
        With as many rows.

    Returns
    -------
    spaces : tuple of Space
        None where there are fewer than 100 usable rows, where most of them lie in one tenth of the reference, or where
        fewer than two raw values vary.
    scored : list of (ColumnSpec, ndarray)
        The fitted scores of the reference rows.

    Notes
    -----
    A row that took part in a fit looks more normal by it than any later one. So each tenth of the reference, in
    order, is scored by a fit to the other nine: its scores are distributed as those of later events will be. What is
    kept is the fit to all rows. With ``n`` rows there are at most ``n / 20`` coordinates; more raw values are
    projected at random.

    References
    ----------
    .. [1] Achlioptas, D. (2003). Database-friendly random projections: Johnson-Lindenstrauss with binary coins.
       Journal of Computer and System Sciences 66(4).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> spaces, scored = fit_spaces([], {"face": rng.normal(size=(400, 1000)).astype(np.float32)})
    >>> spaces[0].dimensions, scored[0][0].name
    (20, 'score.mahalanobis.face')
    """
    found: list[Space] = []
    scored: Scored = []
    sources: list[_Source] = [_Columns(columns)] if columns else []
    sources += [_Embedding(name, vectors) for name, vectors in embeddings.items()]
    for source in sources:
        fitted = _fit(source)
        if fitted is not None:
            found.append(fitted[0])
            scored += fitted[1]
    return tuple(found), scored


class _Source(Protocol):
    """Raw values of the reference, taken in parts."""

    name: str
    inputs: tuple[str, ...]
    categorical: tuple[bool, ...]
    rows: int

    def raw(self, part: slice) -> NDArray[Any]:
        """Return the raw values of some rows, shape (n_raw, n_rows)."""

    def usable(self, raw: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell which rows have enough values to learn from."""

    def scores(self, space: Space, part: slice) -> Mapping[str, NDArray[np.float64]]:
        """Return the scores of some rows."""


class _Columns:
    """The features together."""

    name = ""

    def __init__(self, columns: Sequence[tuple[ColumnSpec, Values]]) -> None:
        self._values = {spec.name: values for spec, values in columns[:INPUTS_MAX]}
        self.inputs = tuple(self._values)
        self.categorical = tuple(isinstance(values, Codes) for values in self._values.values())
        first = columns[0][1]
        self.rows = len(first.codes) if isinstance(first, Codes) else len(first)

    def _part(self, part: slice) -> dict[str, Values]:
        return {
            name: Codes(values.labels, values.codes[part]) if isinstance(values, Codes) else values[part]
            for name, values in self._values.items()
        }

    def raw(self, part: slice) -> NDArray[Any]:
        return stacked(self.inputs, self.categorical, self._part(part))

    def usable(self, raw: NDArray[Any]) -> NDArray[np.bool_]:
        gaps = lacking(raw)
        return np.ones(raw.shape[1], dtype=np.bool_) if gaps is None else ~gaps

    def scores(self, space: Space, part: slice) -> Mapping[str, NDArray[np.float64]]:
        return space.scores(self._part(part))


class _Embedding:
    """One embedding."""

    inputs: tuple[str, ...] = ()
    categorical: tuple[bool, ...] = ()

    def __init__(self, name: str, vectors: NDArray[np.float32]) -> None:
        self.name = name
        self._vectors = vectors
        self.rows = len(vectors)

    def raw(self, part: slice) -> NDArray[Any]:
        return self._vectors[part].T

    def usable(self, raw: NDArray[Any]) -> NDArray[np.bool_]:
        return np.asarray(np.isfinite(raw).all(axis=0))

    def scores(self, space: Space, part: slice) -> Mapping[str, NDArray[np.float64]]:
        return space.scores_of_embedding(self._vectors[part])


def _fit(source: _Source) -> tuple[Space, Scored] | None:
    step = max(1, -(-source.rows // FIT_ROWS))
    standard, share = _first_standard(source, step)
    rows = int(share * -(-source.rows // step))
    if rows < ROWS_MIN or np.count_nonzero(standard.inverse) < 2:  # noqa: PLR2004 - a single value has its own column
        return None
    raw = len(standard.centre)
    size = min(raw, DIMENSIONS_MAX, max(2, rows // ROWS_PER_DIMENSION))
    signs = signs_of(SEED, size, raw) if size < raw else None
    placed, usable = _placed(source, step, standard, signs)
    if not _in_all_parts(usable):
        return None
    projected = None
    if signs is not None:
        projected = _standard(placed[:, usable])
        placed = projected.place(placed)
    space = Space(
        name=source.name,
        inputs=source.inputs,
        categorical=source.categorical,
        seed="" if projected is None else SEED,
        standard=standard,
        projected=projected,
        fits=_fits(placed[:, usable], {}, "embeddings" if source.name else "features"),
    )
    scored = _scored(source, space, step, placed, usable)
    tilts = _tilts(source, space, placed[:, usable])
    return replace(space, tilts=tilts, line=_line(source, space, placed[:, usable]) if tilts else None), scored


def _first_standard(source: _Source, step: int) -> tuple[Standard, float]:
    """Return the standard of the raw values, and the share of rows that are of use."""
    one = source.raw(slice(0, 1))
    rows = min(STANDARD_ROWS, STANDARD_CELLS // max(len(one), 1))
    raw = source.raw(slice(None, None, max(step, -(-source.rows // rows))))
    usable = source.usable(raw)
    if not usable.any():
        return Standard(centre=np.zeros(len(raw)), inverse=np.zeros(len(raw))), 0.0
    return _standard(raw[:, usable]), float(usable.mean())


def _standard(values: NDArray[Any]) -> Standard:
    """Return medians and robust deviations: of the quartiles, or the plain ones where the quartiles are equal."""
    centre, inverse = np.zeros(len(values)), np.zeros(len(values))
    for i, row in enumerate(values):
        finite = row[np.isfinite(row)].astype(np.float64)
        if not len(finite):
            continue
        low, centre[i], high = np.quantile(finite, [0.25, 0.5, 0.75], method="inverted_cdf")
        with np.errstate(over="ignore", invalid="ignore"):
            spread = (high - low) / NORMAL_IQR or float(finite.std())
        if np.isfinite(spread) and spread > 1.0 / INVERSE_MAX:
            inverse[i] = 1.0 / spread
    return Standard(centre=centre, inverse=inverse)


def _placed(
    source: _Source, step: int, standard: Standard, signs: NDArray[np.float32] | None
) -> tuple[Coordinates, NDArray[np.bool_]]:
    """Return the coordinates of every ``step``-th row, before the second standard, and which rows are of use."""
    parts, usable = [], []
    for start in range(0, source.rows, CHUNK_ROWS * step):
        raw = source.raw(slice(start, start + CHUNK_ROWS * step, step))
        placed = standard.place(raw)
        parts.append(placed if signs is None else signs @ placed)
        usable.append(source.usable(raw))
    return np.concatenate(parts, axis=1), np.concatenate(usable)


def _in_all_parts(usable: NDArray[np.bool_]) -> bool:
    """Tell whether there are enough rows of use, and whichever tenth is left out, most of them are in the others."""
    edges = np.linspace(0, len(usable), FOLDS + 1).astype(np.int64)[:-1]
    whole = int(np.count_nonzero(usable))
    return whole >= ROWS_MIN and 2 * int(np.add.reduceat(usable, edges, dtype=np.int64).max()) <= whole


def _tilts(source: _Source, space: Space, placed: Coordinates) -> Tilts | None:
    """Learn the bets on sums, if the space has the score that they belong to."""
    if space.tilted not in space.columns:
        return None
    parts = space.parts(placed)
    varies = np.asarray(parts.any(axis=1))
    standard = _standard(parts) if space.name else None
    number = int(np.count_nonzero(varies))
    statistics = number if space.name else number * (number - 1) // 2
    first = space.parts(_first(source, space, rows_for(statistics)))
    if standard is None:
        return fit_tilts(coarse(parts), coarse(first), varies, None)
    return fit_tilts(along(parts, standard), along(first, standard), varies, standard)


def _first(source: _Source, space: Space, most: int) -> Coordinates:
    """Return the first rows of the reference, without gaps."""
    raw = source.raw(slice(0, min(source.rows, FIT_ROWS, most)))
    return space.coordinates(raw[:, source.usable(raw)])


def _line(source: _Source, space: Space, placed: Coordinates) -> Line | None:
    """Learn the bet along a learned line."""
    if WHITENED not in space.fits:
        return None
    most = max(LINE_CELLS // space.dimensions, 1)
    step = max(1, -(-placed.shape[1] // most))
    return fit_line(*space.whitened(placed[:, ::step]), space.whitened(_first(source, space, most)))


def _fits(placed: Coordinates, like: Mapping[str, Fitted], of: str | None) -> dict[str, Fitted]:
    names = like or [name for name, score in FITTED.items() if score.of in {None, of}]
    found = ((name, FITTED[name].fit(placed, like.get(name))) for name in names)
    return {name: fitted for name, fitted in found if fitted is not None}


def _scored(source: _Source, space: Space, step: int, placed: Coordinates, usable: NDArray[np.bool_]) -> Scored:
    """Score each fold of the rows by a fit to the others."""
    scores = {column: np.empty(source.rows) for column in space.columns}
    edges = np.linspace(0, source.rows, FOLDS + 1).astype(np.int64)
    cuts = np.searchsorted(np.flatnonzero(usable) * step, edges)
    folds = _without_each(placed if usable.all() else placed[:, usable], cuts, space.fits)
    for (low, high), fits in zip(pairwise(edges.tolist()), folds, strict=True):
        fold = replace(space, fits=fits)
        for column, numbers in source.scores(fold, slice(low, high)).items():
            scores[column][low:high] = numbers
    return [
        (ColumnSpec(name=column, kind=ColumnKind.NUMERIC, group=ColumnGroup.MULTIVARIATE), numbers)
        for column, numbers in scores.items()
    ]


def _without_each(
    placed: Coordinates, cuts: NDArray[np.int64], like: Mapping[str, Fitted]
) -> Iterator[dict[str, Fitted]]:
    """Fit without each fold in turn."""
    quick = {name: FITTED[name].without_each for name in like}
    ready = {name: fit(placed, cuts, like[name]) for name, fit in quick.items() if fit is not None}
    slow = {name: fitted for name, fitted in like.items() if name not in ready}
    for fold, (low, high) in enumerate(pairwise(cuts.tolist())):
        fits = _fits(np.concatenate([placed[:, :low], placed[:, high:]], axis=1), slow, None) if slow else {}
        # In the order of the fit to all rows: it is that of the columns.
        yield {name: ready[name][fold] if name in ready else fits[name] for name in like}

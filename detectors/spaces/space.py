"""From the inputs of an event to whole-number coordinates, and from those to its fitted scores."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.columns import Codes, Values
from detectors.errors import ColumnError, DetectorError
from detectors.exact import CLIP, DIMENSIONS_MAX, GRID_BITS, Coordinates, Fitted
from detectors.numbers import place_of, signs_of
from detectors.registry import FITTED

CHUNK_VALUES = 262_144
"""So many coordinates are worked on at once: they stay in the processor's cache."""
CHUNK_MAX = 2_048
INPUTS_MAX = 2**14
"""Sums of so many coordinates of 10 bits fit into the 24 bits of float32."""
ABSENT_SHARE = 0.5
"""An event that lacks more of its inputs has no scores."""
INVERSE_MAX = 1e30
"""A deviation below 1e-30 counts as none."""


def score_column(score: str, space: str) -> str:
    """Return the name of the column that a fitted score of a space gives.

    Parameters
    ----------
    score : str
        A key of ``FITTED``.
    space : str
        The embedding; empty for the features together.

    Returns
    -------
    str
        The column's name.

    Examples
    --------
    >>> score_column("typicality", "face"), score_column("residual", "")
    ('score.typicality.face', 'score.residual')
    """
    return f"score.{score}.{space}" if space else f"score.{score}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Standard:
    """How raw values become comparable.

    Parameters
    ----------
    centre : ndarray of float64, shape (n,)
        Their medians.
    inverse : ndarray of float64, shape (n,)
        One divided by their robust standard deviations; 0 for a value that never varied, which then says nothing.

    Examples
    --------
    >>> standard = Standard(centre=np.array([5.0]), inverse=np.array([0.5]))
    >>> standard.place(np.array([[5.0, 6.0, 1e300, np.nan]]))
    array([[   0.,   64., 1024.,    0.]], dtype=float32)
    """

    centre: NDArray[np.float64]
    inverse: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.centre.shape != self.inverse.shape or not np.isfinite(self.centre).all():
            raise DetectorError("a centre and a deviation are needed for every raw value")
        if not ((self.inverse >= 0.0) & (self.inverse <= INVERSE_MAX)).all():
            raise DetectorError(f"a deviation is below {1 / INVERSE_MAX:g}")

    def place(self, values: NDArray[Any]) -> Coordinates:
        """Return coordinates: deviations from the centre as whole numbers of 2^-7, at most 8 deviations.

        Parameters
        ----------
        values : ndarray of float32 or float64, shape (n, n_events)
            Raw values; what is not finite goes to the centre. They are not changed.

        Returns
        -------
        ndarray of float32, shape (n, n_events)
            Whole numbers.
        """
        dtype = values.dtype.type
        with np.errstate(over="ignore", invalid="ignore"):
            placed = values - self.centre.astype(dtype)[:, None]
            placed *= (self.inverse * 2.0**GRID_BITS).astype(dtype)[:, None]
        limit = CLIP * 2.0**GRID_BITS
        np.maximum(placed, -limit, out=placed)
        np.minimum(placed, limit, out=placed)
        np.rint(placed, out=placed)
        usable = np.isfinite(values)
        if not usable.all():
            placed[~usable] = 0.0
        if np.isnan(placed.sum()):
            # A difference that overflows, of a value that never varied in the reference.
            placed[np.isnan(placed)] = 0.0
        return np.asarray(placed, dtype=np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Space:
    """What the reference taught about some inputs together.

    Parameters
    ----------
    name : str
        The embedding; empty for the features together.
    inputs : tuple of str
        Columns, in order; empty for an embedding.
    categorical : tuple of bool
        Which of them are categorical: those lie where their label's hash says.
    seed : str
        Of the projection's signs; empty when there is no projection.
    standard : Standard
        For the raw values.
    projected : Standard or None
        For their random projection, when there are more of them than the reference supports, or than 128.
    fits : mapping of str to Fitted
        What each fitted score keeps, by name.

    Notes
    -----
    Memory is at most 0.2 MB in the artefact, and 16 bytes per raw value; a projection has its signs worked out from
    the seed when it is first used, 4 bytes for each of 128 by raw value.

    Examples
    --------
    >>> from detectors.columns import ColumnKind, ColumnSpec
    >>> from detectors.spaces import fit_spaces
    >>> rng = np.random.default_rng(0)
    >>> names = ("x", "y")
    >>> columns = [(ColumnSpec(name=name, kind=ColumnKind.NUMERIC), rng.normal(size=1000)) for name in names]
    >>> (space,), scores = fit_spaces(columns, {})
    >>> space.columns
    ('score.mahalanobis', 'score.typicality', 'score.pairs.1')
    >>> found = space.scores({"x": np.array([0.0, 4.0]), "y": np.array([0.0, -4.0])})
    >>> found["score.mahalanobis"].round(1)
    array([0. , 5.8])
    """

    name: str
    inputs: tuple[str, ...]
    categorical: tuple[bool, ...]
    seed: str
    standard: Standard
    projected: Standard | None
    fits: Mapping[str, Fitted]

    def __post_init__(self) -> None:
        self._check_sizes()
        for name, fitted in self.fits.items():
            score = FITTED.get(name)
            of = "embeddings" if self.name else "features"
            if score is None or score.of not in {None, of} or score.weighted != bool(len(fitted.amplitudes)):
                raise DetectorError(f"space {self.name!r}: {name!r} is no score that is fitted so")
            if fitted.weights.shape[1] != self.dimensions:
                raise DetectorError(f"space {self.name!r}: {name!r} is for {fitted.weights.shape[1]} coordinates")

    def _check_sizes(self) -> None:
        raw = len(self.standard.centre)
        if not 1 <= raw <= INPUTS_MAX:
            raise DetectorError(f"space {self.name!r} has {raw} raw values; 1 to {INPUTS_MAX} are possible")
        number = len(self.inputs)
        if number != len(self.categorical) or bool(self.name) == bool(number) or number not in {0, raw}:
            raise DetectorError(f"space {self.name!r} has {raw} raw values of {number} inputs")
        if self.dimensions > DIMENSIONS_MAX or bool(self.seed) != (self.projected is not None):
            raise DetectorError(f"space {self.name!r} has {self.dimensions} coordinates; at most {DIMENSIONS_MAX}")

    @property
    def dimensions(self) -> int:
        """Number of coordinates."""
        return len((self.projected or self.standard).centre)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns that the scores of this space give."""
        return tuple(column for name in self.fits for column in self._columns_of(name))

    def _columns_of(self, name: str) -> list[str]:
        several = FITTED[name].several
        column = score_column(name, self.name)
        if several is None:
            return [column]
        return [f"{column}.{number}" for number in range(1, several(self.fits[name]) + 1)]

    @cached_property
    def _signs(self) -> NDArray[np.float32]:
        return signs_of(self.seed, self.dimensions, len(self.standard.centre))

    def coordinates(self, values: NDArray[Any]) -> Coordinates:
        """Return the coordinates of events.

        Parameters
        ----------
        values : ndarray of float32 or float64, shape (n_raw, n_events)
            Raw values, from ``stacked`` or a transposed embedding.

        Returns
        -------
        ndarray of float32, shape (n_coordinates, n_events)
            Whole numbers.
        """
        placed = self.standard.place(values)
        if self.projected is None:
            return placed
        # Sums of up to 2^14 whole numbers of 10 bits: exact in float32.
        return self.projected.place(self._signs @ placed)

    def scores(
        self, columns: Mapping[str, Values], wanted: Collection[str] | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Return the fitted scores of events from their columns.

        Parameters
        ----------
        columns : mapping of str to Values
            With all inputs; they are not changed.
        wanted : collection of str, optional
            Only these columns of scores; all by default.

        Returns
        -------
        dict of str to ndarray of float64, shape (n_events,)
            By the name of the column. NaN for an event that lacks more than half of its inputs.
        """
        values = stacked(self.inputs, self.categorical, columns)
        found = self._scores(values, wanted)
        gaps = lacking(values)
        if gaps is not None:
            for numbers in found.values():
                numbers[gaps] = np.nan
        return found

    def scores_of_embedding(
        self, vectors: NDArray[np.float32], wanted: Collection[str] | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Return the fitted scores of embeddings.

        Parameters
        ----------
        vectors : ndarray of float32, shape (n_events, n_raw)
            One row per event; they are not changed.
        wanted : collection of str, optional
            Only these columns of scores; all by default.

        Returns
        -------
        dict of str to ndarray of float64, shape (n_events,)
            By the name of the column. NaN when a component is NaN; else +inf when one is infinite.

        Raises
        ------
        ColumnError
            When the embeddings have another dimension.
        """
        raw = len(self.standard.centre)
        if vectors.ndim != 2 or vectors.shape[1] != raw:  # noqa: PLR2004 - events by components
            raise ColumnError(f"embedding {self.name!r} has shape {vectors.shape}; (events, {raw}) is needed")
        found = self._scores(vectors.T, wanted)
        odd = ~np.isfinite(vectors).all(axis=1)
        if odd.any():
            status = np.where(np.isnan(vectors[odd]).any(axis=1), np.nan, np.inf)
            for numbers in found.values():
                numbers[odd] = status
        return found

    def _scores(self, values: NDArray[Any], wanted: Collection[str] | None) -> dict[str, NDArray[np.float64]]:
        columns = {name: self._columns_of(name) for name in self.fits}
        if wanted is not None:
            columns = {name: own for name, own in columns.items() if not set(own).isdisjoint(wanted)}
        found = {name: np.empty((len(own), values.shape[1])) for name, own in columns.items()}
        for part in self._chunks(values.shape):
            coordinates = self.coordinates(values[:, part])
            for name, numbers in found.items():
                numbers[:, part] = FITTED[name].apply(self.fits[name], coordinates)
        return {
            column: row
            for name, own in columns.items()
            for column, row in zip(own, found[name], strict=True)
            if wanted is None or column in wanted
        }

    @staticmethod
    def _chunks(shape: tuple[int, ...]) -> Iterator[slice]:
        size = max(64, min(CHUNK_MAX, CHUNK_VALUES // shape[0]))
        return (slice(start, start + size) for start in range(0, shape[1], size))


def stacked(inputs: Sequence[str], categorical: Sequence[bool], columns: Mapping[str, Values]) -> NDArray[np.float64]:
    """Return the raw values of inputs.

    Parameters
    ----------
    inputs : sequence of str
        Columns, in order.
    categorical : sequence of bool
        Which of them are categorical.
    columns : mapping of str to Values
        With all inputs.

    Returns
    -------
    ndarray of float64, shape (n_raw, n_events)
        NaN where an input is missing, infinite where it is invalid.

    Raises
    ------
    ColumnError
        When an input is of the other kind.
    """
    rows: list[NDArray[Any]] = []
    for name, kind in zip(inputs, categorical, strict=True):
        values = columns[name]
        if isinstance(values, Codes) != kind:
            raise ColumnError(f"column {name!r} is {'numeric' if kind else 'categorical'} here only")
        rows.append(_located(values) if isinstance(values, Codes) else values)
    return np.array(rows, dtype=np.float64)


def lacking(values: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Tell which events lack more than half of their raw values.

    Parameters
    ----------
    values : ndarray of float64, shape (n_raw, n_events)
        Raw values.

    Returns
    -------
    ndarray of bool, shape (n_events,), or None
        None when nothing is lacking at all.
    """
    usable = np.isfinite(values)
    if usable.all():
        return None
    return np.asarray(usable.mean(axis=0) < 1.0 - ABSENT_SHARE)


def _located(values: Codes) -> NDArray[np.float64]:
    """Return the place of each event's label; NaN for a missing one, infinite for an invalid one."""
    # Codes -2 and -1 count from the end of this table: invalid and missing.
    table = np.array([*map(place_of, values.labels), np.inf, np.nan])
    return np.asarray(table[values.codes])

"""From the inputs of an event to whole-number coordinates, and from those to its fitted scores."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.columns import Values
from detectors.errors import ColumnError, DetectorError
from detectors.exact import DIMENSIONS_MAX, Coordinates, Fitted, length_of
from detectors.numbers import signs_of
from detectors.registry import FITTED
from detectors.spaces.inputs import lacking, stacked
from detectors.spaces.line import Line
from detectors.spaces.standard import Standard
from detectors.spaces.tilts import Tilts

CHUNK_VALUES = 262_144
"""So many coordinates are worked on at once: they stay in the processor's cache."""
CHUNK_MAX = 2_048
INPUTS_MAX = 2**14
"""Sums of so many coordinates of 10 bits fit into the 24 bits of float32."""
WHITENED = "mahalanobis"
"""The score whose map makes events round."""


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
    tilts : Tilts or None, optional
        What bets on sums need, of the pairs of inputs or of an embedding's directions.
    line : Line or None, optional
        What the bet along a learned line needs, of a space that has tilts as well.

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
    ('score.mahalanobis', 'score.typicality', 'score.pairs')
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
    tilts: Tilts | None = None
    line: Line | None = None

    def __post_init__(self) -> None:
        self._check_sizes()
        for name, fitted in self.fits.items():
            score = FITTED.get(name)
            of = "embeddings" if self.name else "features"
            if score is None or score.of not in {None, of} or score.weighted != bool(len(fitted.amplitudes)):
                raise DetectorError(f"space {self.name!r}: {name!r} is no score that is fitted so")
            if fitted.weights.shape[1] != self.dimensions:
                raise DetectorError(f"space {self.name!r}: {name!r} is for {fitted.weights.shape[1]} coordinates")
        self._check_tilts()
        self._check_line()

    def _check_tilts(self) -> None:
        if self.tilts is None:
            return
        told = self.fits.get("direction" if self.name else "pairs")
        parts = 0 if told is None else len(told.weights) if self.name else self.dimensions
        if self.tilts.parts != parts or self.tilts.products == bool(self.name):
            raise DetectorError(f"space {self.name!r}: tilts of {self.tilts.parts} parts do not fit {parts}")

    def _check_line(self) -> None:
        whitened = self.fits.get(WHITENED)
        if self.line is not None and (
            self.tilts is None or whitened is None or self.line.size != len(whitened.weights)
        ):
            raise DetectorError(f"space {self.name!r}: a line of {self.line.size} parts does not fit")

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
        return tuple(score_column(name, self.name) for name in self.fits)

    @cached_property
    def parts_number(self) -> int:
        """How many parts of an event are added up, besides 1 for each that counts; 0 when none are."""
        return 0 if self.tilts is None else self.tilts.parts + (0 if self.line is None else self.line.size)

    @cached_property
    def sums_number(self) -> int:
        """How many sums of them a tick has: those for tilts, and behind them the parts for the learned line."""
        return 0 if self.tilts is None else self.tilts.size + (0 if self.line is None else self.line.size)

    @cached_property
    def tilted(self) -> str:
        """The column that the bets on sums belong to."""
        return score_column("direction" if self.name else "pairs", self.name)

    @cached_property
    def parts_name(self) -> str:
        """Under which name ``values`` returns the parts that are added up for those bets."""
        return f"{self.tilted} parts"

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
        return self._scores_only(self.values(columns, wanted))

    def values(self, columns: Mapping[str, Values], wanted: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
        """Return the fitted scores of events, and the parts that are added up.

        Parameters
        ----------
        columns : mapping of str to Values
            With all inputs; they are not changed.
        wanted : collection of str, optional
            Only these columns of scores; all by default.

        Returns
        -------
        dict of str to ndarray
            As from ``scores``; and under ``parts_name``, when the column that the bets on sums belong to is wanted,
            the parts, shape (n_events, 1 + n_parts), float32: the first is 1 for each event that counts.
        """
        values = stacked(self.inputs, self.categorical, columns)
        found = self._found(values, wanted)
        gaps = lacking(values)
        if gaps is not None:
            for numbers in found.values():
                numbers[gaps] = np.nan if numbers.ndim == 1 else 0.0
        return found

    def _scores_only(self, found: dict[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
        return {name: numbers for name, numbers in found.items() if name != self.parts_name}

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
        return self._scores_only(self.values_of_embedding(vectors, wanted))

    def values_of_embedding(
        self, vectors: NDArray[np.float32], wanted: Collection[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Return the fitted scores of embeddings, and the parts that are added up.

        Parameters
        ----------
        vectors : ndarray of float32, shape (n_events, n_raw)
            One row per event; they are not changed.
        wanted : collection of str, optional
            Only these columns of scores; all by default.

        Returns
        -------
        dict of str to ndarray
            As from ``values``.

        Raises
        ------
        ColumnError
            When the embeddings have another dimension.
        """
        raw = len(self.standard.centre)
        if vectors.ndim != 2 or vectors.shape[1] != raw:  # noqa: PLR2004 - events by components
            raise ColumnError(f"embedding {self.name!r} has shape {vectors.shape}; (events, {raw}) is needed")
        found = self._found(vectors.T, wanted)
        odd = ~np.isfinite(vectors).all(axis=1)
        if odd.any():
            status = np.where(np.isnan(vectors[odd]).any(axis=1), np.nan, np.inf)
            for numbers in found.values():
                numbers[odd] = status if numbers.ndim == 1 else 0.0
        return found

    def _found(self, values: NDArray[Any], wanted: Collection[str] | None) -> dict[str, NDArray[Any]]:
        columns = {name: score_column(name, self.name) for name in self.fits}
        columns = {name: column for name, column in columns.items() if wanted is None or column in wanted}
        events = values.shape[1]
        found: dict[str, NDArray[Any]] = {column: np.empty(events) for column in columns.values()}
        parts = None
        if self.tilts is not None and self.tilted in found:
            parts = np.ones((1 + self.parts_number, events), dtype=np.float32)
            found[self.parts_name] = parts.T
        for part in self._chunks(values.shape):
            coordinates = self.coordinates(values[:, part])
            image, lengths = (None, None) if parts is None or self.line is None else self.whitened(coordinates)
            for name, column in columns.items():
                known = lengths if name == WHITENED else None
                found[column][part] = FITTED[name].apply(self.fits[name], coordinates) if known is None else known
            if self.tilts is not None and parts is not None:
                parts[1 : 1 + self.tilts.parts, part] = self._parts(coordinates)
                if self.line is not None and image is not None and lengths is not None:
                    parts[1 + self.tilts.parts :, part] = self.line.parts_of(image, lengths)
        return found

    def whitened(self, coordinates: Coordinates) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Make events round.

        Parameters
        ----------
        coordinates : ndarray of float32, shape (n_coordinates, n_events)
            From ``coordinates``.

        Returns
        -------
        image : ndarray of float64, shape (n_coordinates, n_events)
            Whole numbers in units of 2^-8 deviations.
        lengths : ndarray of float64, shape (n_events,)
            Their lengths in deviations: the Mahalanobis distance.
        """
        fitted = self.fits[WHITENED]
        image = fitted.image(coordinates)
        return image, length_of(image, fitted.exponent)

    def parts(self, coordinates: Coordinates) -> Coordinates:
        """Return what parts are made of: the coordinates, or of an embedding where they lie along each direction.

        Parameters
        ----------
        coordinates : ndarray of float32, shape (n_coordinates, n_events)
            From ``coordinates``.

        Returns
        -------
        ndarray of float32, shape (n_parts, n_events)
            Whole numbers.
        """
        return self.fits["direction"].products(coordinates) if self.name else coordinates

    def _parts(self, coordinates: Coordinates) -> Coordinates:
        return coordinates if self.tilts is None else self.tilts.parts_of(self.parts(coordinates))

    @staticmethod
    def _chunks(shape: tuple[int, ...]) -> Iterator[slice]:
        size = max(64, min(CHUNK_MAX, CHUNK_VALUES // shape[0]))
        return (slice(start, start + size) for start in range(0, shape[1], size))

"""Requests as points of one small space, so that they can be compared: from an embedding, or from the features.

Numbers are scaled by what is usual in the reference and labels stand for fixed vectors; both are then projected on 32
random directions that a key chooses. Distances survive that (Johnson and Lindenstrauss), and what can be read back does
not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import shake_256

import numpy as np
from numpy.typing import NDArray

from detectors.columns import Codes, Values
from detectors.errors import DetectorError

PROJECTED = 32
CLIP = 5.0
"""Scaled numbers beyond it are at it."""
LABEL_WEIGHT = 0.5
CACHED_LABELS = 65_536


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """Makes points of columns.

    Parameters
    ----------
    numeric : tuple of str
        Columns of numbers.
    centre : ndarray of shape (len(numeric),)
        Their medians in the reference.
    scale : ndarray of shape (len(numeric),)
        Their interquartile ranges, 1 where that is 0.
    categorical : tuple of str
        Columns of labels.
    key : bytes
        Chooses the directions.
    """

    numeric: tuple[str, ...]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    categorical: tuple[str, ...]
    key: bytes

    @classmethod
    def fit(cls, columns: Mapping[str, Values], names: Sequence[str], key: bytes) -> "Projection":
        """Scale columns by the reference.

        Parameters
        ----------
        columns : mapping of str to values
            Of the reference.
        names : sequence of str
            Those that make the points.
        key : bytes
            Chooses the directions.

        Returns
        -------
        Projection
            For requests with these columns.

        Raises
        ------
        DetectorError
            Without any column.
        """
        if not names:
            raise DetectorError("no column makes a point")
        numeric = tuple(name for name in names if not isinstance(columns[name], Codes))
        quartiles = np.array([_quartiles(columns[name]) for name in numeric]).reshape(-1, 3)
        spread = quartiles[:, 2] - quartiles[:, 0]
        return cls(
            numeric=numeric,
            centre=quartiles[:, 1].copy(),
            scale=np.where(spread > 0.0, spread, 1.0),
            categorical=tuple(name for name in names if name not in numeric),
            key=key,
        )

    def of(self, columns: Mapping[str, Values]) -> NDArray[np.float32]:
        """Return the points of requests.

        Parameters
        ----------
        columns : mapping of str to values
            With all columns of the projection.

        Returns
        -------
        ndarray of shape (n, 32)
            A number that is missing or invalid counts as its median, a label that is as one of its own.

        Raises
        ------
        DetectorError
            If a column is not there.
        """
        missing = [name for name in (*self.numeric, *self.categorical) if name not in columns]
        if missing:
            raise DetectorError(f"columns {', '.join(missing[:5])} are needed for a point")
        rows = _rows(columns[(*self.numeric, *self.categorical)[0]])
        points = np.zeros((rows, PROJECTED))
        directions = _directions(self.key, len(self.numeric))
        for row, name in enumerate(self.numeric):
            values = np.asarray(columns[name], np.float64)
            scaled = (values - self.centre[row]) / self.scale[row]
            scaled = np.clip(np.where(np.isfinite(scaled), scaled, 0.0), -CLIP, CLIP)
            # Column by column, so that a request has the same bits in whatever batch it comes.
            points += scaled[:, None] * directions[row]
        for name in self.categorical:
            coded = columns[name]
            if not isinstance(coded, Codes):
                raise DetectorError(f"column {name!r} is numeric here only")
            table = np.array([_label(self.key, name, label) for label in ("\x00invalid", "\x00missing", *coded.labels)])
            points += table[coded.codes + 2]
        return points.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Embedded:
    """Makes points of embeddings.

    Parameters
    ----------
    dimension : int
        Of the embeddings.
    key : bytes
        Chooses the directions.
    """

    dimension: int
    key: bytes

    def of(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the points of embeddings.

        Parameters
        ----------
        embeddings : ndarray of shape (n, dimension)
            Rows that are not finite give points that are not.

        Returns
        -------
        ndarray of shape (n, min(dimension, 32))
            The embeddings themselves where they are small.

        Raises
        ------
        DetectorError
            If they have another dimension.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self.dimension:  # noqa: PLR2004 - a matrix
            raise DetectorError(f"embeddings of shape {embeddings.shape}, not (n, {self.dimension})")
        if self.dimension <= PROJECTED:
            return np.asarray(embeddings, np.float32)
        directions = _directions(self.key, self.dimension)
        # Row by row, as above.
        with np.errstate(invalid="ignore", over="ignore"):
            rows = [np.asarray(row, np.float64) @ directions for row in embeddings]
        return np.array(rows, np.float32).reshape(-1, PROJECTED)


def _rows(values: Values) -> int:
    return len(values.codes) if isinstance(values, Codes) else len(values)


def _quartiles(values: Values) -> NDArray[np.float64]:
    numbers = np.asarray(values, np.float64)
    finite = numbers[np.isfinite(numbers)]
    return np.quantile(finite, [0.25, 0.5, 0.75]) if len(finite) else np.array([0.0, 0.0, 0.0])


@lru_cache(maxsize=64)
def _directions(key: bytes, count: int) -> NDArray[np.float64]:
    bits = np.frombuffer(shake_256(b"directions" + key).digest(count * PROJECTED // 8), np.uint8)
    signs = np.unpackbits(bits).reshape(count, PROJECTED)
    directions: NDArray[np.float64] = (2.0 * signs - 1.0) / np.sqrt(PROJECTED)
    return directions


@lru_cache(maxsize=CACHED_LABELS)
def _label(key: bytes, column: str, label: str) -> NDArray[np.float64]:
    name = column.encode()
    message = b"label" + len(name).to_bytes(4, "little") + name + label.encode() + key
    signs = np.unpackbits(np.frombuffer(shake_256(message).digest(PROJECTED // 8), np.uint8))
    direction: NDArray[np.float64] = LABEL_WEIGHT * (2.0 * signs - 1.0) / np.sqrt(PROJECTED)
    return direction

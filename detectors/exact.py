"""Sums of products without rounding, so that a score has the same bits in whatever batch, order or machine it is made.

A matrix product in floating point depends on how the linear algebra library cuts it into tiles, and so on how many
events come together. Here coordinates and weights are whole numbers, few enough bits each that every sum of products
is a whole number that float64 (or float32) holds exactly: then the order of summation cannot show.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.errors import DetectorError

DIMENSIONS_MAX = 128
"""Coordinates of an event, at most."""
COMPONENTS_MAX = 256
"""Rows of a linear map, at most."""
GRID_BITS = 7
"""Coordinates are multiples of 2^-7 deviations."""
CLIP = 8.0
"""Coordinates further from the centre than so many deviations count as so many."""
WIDE_BITS = 26
"""Weights have at most so many bits where float64 adds them up: 10 + 26 + 7 bits are fewer than 53."""
NARROW_BITS = 7
"""Weights have at most so many bits where float32 adds them up: 10 + 7 + 7 bits are the 24 of float32."""
OFFSET_MAX = 2**50
LENGTH_BITS = 8
"""Lengths are worked out from components that are multiples of 2^-8."""
COMPONENT_MAX = 2.0**22
"""128 squares of whole numbers up to here are less than 2^53."""

Coordinates = NDArray[np.float32]
"""Whole numbers: coordinates of events in units of 2^-7 deviations, shape (n_coordinates, n_events)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """What a score learned from the reference: a linear map in whole numbers, and perhaps a weight for each row of it.

    Parameters
    ----------
    weights : ndarray of int32, shape (n_components, n_coordinates)
        The map, in units of ``2**-exponent``.
    offsets : ndarray of int64, shape (n_components,)
        What is taken off each component, in units of ``2**-(exponent + 7)``.
    exponent : int
        From -64 to 64.
    amplitudes : ndarray of int32, shape (n_components,) or (0,)
        Weights of the components, for the scores that have them.

    Notes
    -----
    Memory is ``4 * n_components * n_coordinates`` bytes in the artefact, three times that when in use.

    Examples
    --------
    >>> fit = fitted_of(np.array([[0.5, -0.25]]), np.array([1.0]), bits=NARROW_BITS)
    >>> fit.weights, fit.exponent
    (array([[128, -64]], dtype=int32), 8)
    >>> fit.image(np.array([[128.0], [0.0]], dtype=np.float32)) * 2.0**-(fit.exponent + GRID_BITS)
    array([[-0.5]])
    """

    weights: NDArray[np.int32]
    offsets: NDArray[np.int64]
    exponent: int
    amplitudes: NDArray[np.int32]

    def __post_init__(self) -> None:
        components, coordinates = self.weights.shape if self.weights.ndim == 2 else (0, 0)  # noqa: PLR2004 - a matrix
        if not (1 <= components <= COMPONENTS_MAX and 1 <= coordinates <= DIMENSIONS_MAX):
            limits = f"1 to {COMPONENTS_MAX} by 1 to {DIMENSIONS_MAX}"
            raise DetectorError(f"weights have shape {self.weights.shape}; {limits} are possible")
        if self.offsets.shape != (components,) or self.amplitudes.shape not in {(0,), (components,)}:
            raise DetectorError(f"offsets and amplitudes must be one for each of {components} components")
        if not -64 <= self.exponent <= 64:  # noqa: PLR2004 - far beyond any use
            raise DetectorError(f"the exponent is {self.exponent}; it must be from -64 to 64")
        large = np.abs(self.weights.astype(np.int64)).max() > 2**WIDE_BITS
        if large or np.abs(self.offsets.astype(np.float64)).max() > OFFSET_MAX:
            raise DetectorError("weights or offsets have too many bits for exact sums")

    @cached_property
    def narrow(self) -> bool:
        """Whether float32 is wide enough to add up the products."""
        return bool(np.abs(self.weights.astype(np.int64)).max() <= 2**NARROW_BITS)

    @cached_property
    def _matrix(self) -> NDArray[Any]:
        return self.weights.astype(np.float32 if self.narrow else np.float64)

    def image(self, coordinates: Coordinates) -> NDArray[np.float64]:
        """Map events.

        Parameters
        ----------
        coordinates : ndarray of float32, shape (n_coordinates, n_events)
            Whole numbers, at most 1024 in size.

        Returns
        -------
        ndarray of float64, shape (n_components, n_events)
            Whole numbers, in units of ``2**-(exponent + 7)``; exact.
        """
        return np.asarray(self.products(coordinates) - self.offsets[:, None].astype(np.float64))

    def products(self, coordinates: Coordinates) -> NDArray[Any]:
        """Map events without taking the offsets off.

        Parameters
        ----------
        coordinates : ndarray of float32, shape (n_coordinates, n_events)
            Whole numbers, at most 1024 in size.

        Returns
        -------
        ndarray of float32 or float64, shape (n_components, n_events)
            Whole numbers, exact; float32 where it is wide enough.
        """
        return np.asarray(self._matrix @ coordinates.astype(self._matrix.dtype, copy=False))


def fitted_of(
    matrix: NDArray[np.float64],
    offsets: NDArray[np.float64],
    *,
    bits: int = WIDE_BITS,
    amplitudes: NDArray[np.int32] | None = None,
) -> Fitted:
    """Round a linear map to whole numbers.

    Parameters
    ----------
    matrix : ndarray of float64, shape (n_components, n_coordinates)
        Finite; per deviation of a coordinate.
    offsets : ndarray of float64, shape (n_components,)
        What is taken off each component.
    bits : int, optional
        Of the largest weight.
    amplitudes : ndarray of int32, shape (n_components,), optional
        Weights of the components.

    Returns
    -------
    Fitted
        The map.

    Examples
    --------
    >>> fitted_of(np.array([[3.0]]), np.array([0.0]), bits=4).weights
    array([[12]], dtype=int32)
    """
    largest = float(np.abs(matrix).max())
    exponent = int(np.clip(np.floor(np.log2(2.0**bits / largest)), -64, 64)) if largest > 0.0 else 0
    limit = float(OFFSET_MAX)
    return Fitted(
        weights=np.rint(matrix * 2.0**exponent).astype(np.int32),
        offsets=np.clip(np.rint(offsets * 2.0 ** (exponent + GRID_BITS)), -limit, limit).astype(np.int64),
        exponent=exponent,
        amplitudes=np.zeros(0, dtype=np.int32) if amplitudes is None else amplitudes,
    )


def length_of(image: NDArray[np.float64], exponent: int) -> NDArray[np.float64]:
    """Return the Euclidean length of each event's image.

    Parameters
    ----------
    image : ndarray of float64, shape (n_components, n_events)
        From ``Fitted.image``; it is overwritten.
    exponent : int
        Of the map.

    Returns
    -------
    ndarray of float64, shape (n_events,)
        At least 0.

    Notes
    -----
    Components are rounded to multiples of 2^-8 before they are squared, so that the sum of the squares is exact.

    Examples
    --------
    >>> length_of(np.array([[3.0], [4.0]]) * 2.0**17, exponent=10)
    array([5.])
    """
    image *= 2.0 ** (LENGTH_BITS - GRID_BITS - exponent)
    np.rint(image, out=image)
    np.clip(image, -COMPONENT_MAX, COMPONENT_MAX, out=image)
    return np.asarray(np.sqrt(np.einsum("ij,ij->j", image, image)) * 2.0**-LENGTH_BITS)

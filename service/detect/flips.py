"""Inputs whose label flipped among near-duplicates: known again, whoever sends them."""

import numpy as np
from numpy.typing import NDArray

from detectors.errors import StateError

FLIPPED_MAX = 256
"""Inputs whose label flipped that are remembered, to see them come again."""


class Flips:
    """The latest inputs whose label flipped among near-duplicates, and who found them; a look costs about 10 µs."""

    def __init__(self, dimension: int) -> None:
        self._points = np.zeros((FLIPPED_MAX, dimension), np.float32)
        self._labels = np.full(FLIPPED_MAX, -1)
        self._whose: list[str] = []
        self._next = 0

    @property
    def finders(self) -> set[str]:
        """Who found those that are remembered."""
        return set(self._whose)

    def add(self, point: NDArray[np.float32], label: int, principal: str) -> None:
        """Remember one; the oldest is forgotten."""
        self._points[self._next], self._labels[self._next] = point, label
        self._whose[self._next : self._next + 1] = [principal]
        self._next = (self._next + 1) % FLIPPED_MAX

    def stored(self) -> tuple[NDArray[np.float32], NDArray[np.int64], list[str], int]:
        """Return all that is remembered."""
        return self._points, self._labels, self._whose, self._next

    def adopt(self, points: NDArray[np.float32], labels: NDArray[np.int64], whose: list[str], following: int) -> None:
        """Take that back; raise ``StateError`` when it does not fit."""
        fits = (points.shape, labels.shape) == (self._points.shape, self._labels.shape)
        if not fits or len(whose) > FLIPPED_MAX or not 0 <= following < FLIPPED_MAX:
            raise StateError("flips of another shape")
        self._points, self._labels, self._whose, self._next = points, labels, whose, following

    def finder(self, point: NDArray[np.float32], label: int, within: float) -> str | None:
        """Return who found an input that is the same; ``None`` when nobody did."""
        if not self._whose:
            return None
        away = self._points[: len(self._whose)] - point
        same = np.einsum("ij,ij->i", away, away) <= within * within
        found = np.flatnonzero(same & (self._labels[: len(self._whose)] == label))
        return self._whose[int(found[0])] if len(found) else None

"""Combinations of two inputs that the reference hardly has, although each input by itself is usual.

Every input is cut into a few bins. The rarity of a combination is a rank: the share of reference requests whose
combination of these two inputs is no more frequent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from detectors.columns import Codes
from detectors.requests.precision import UNIT, USUAL

EDGES = 7
"""Of numbers there are so many and one bins, of the same number of requests each."""
LABELS = 10
"""Labels with a bin of their own."""
WIDTH = LABELS + 2
PAIRS_MAX = 128
"""Pairs that are looked at: those that tell most of each other."""
INPUTS_MAX = 48
"""Among the pairs of so many inputs, the first ones."""


@dataclass(frozen=True, eq=False)
class Bins:
    """How inputs are cut.

    Parameters
    ----------
    edges : tuple of ndarray of float64
        For each numeric input, the upper ends of its bins but the last, increasing.
    labels : tuple of tuple of str
        For each categorical input, the labels that have a bin.
    """

    edges: tuple[NDArray[np.float64], ...]
    labels: tuple[tuple[str, ...], ...]

    @classmethod
    def fit(cls, numeric: NDArray[np.float64], categorical: Sequence[Codes]) -> "Bins":
        """Cut the inputs of a reference.

        Parameters
        ----------
        numeric : ndarray of shape (n_numeric, n)
            NaN where there is no number.
        categorical : sequence of Codes
            As many requests.

        Returns
        -------
        Bins
            At most 8 bins of a number, and one for each of the ten most frequent labels.
        """
        edges = []
        for row in numeric[:INPUTS_MAX]:
            finite = row[np.isfinite(row)]
            at = np.arange(1, EDGES + 1) / (EDGES + 1)
            cuts = np.unique(np.quantile(finite, at, method="inverted_cdf")) if len(finite) else np.zeros(0)
            # A last bin without any request would say nothing.
            edges.append(cuts[cuts < finite.max()] if len(finite) else cuts)
        labels = []
        for column in list(categorical)[: max(0, INPUTS_MAX - len(edges))]:
            counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.labels))
            ranked = sorted(range(len(column.labels)), key=lambda i: (-counts[i], column.labels[i]))
            labels.append(tuple(column.labels[i] for i in ranked[:LABELS] if counts[i]))
        return cls(tuple(edges), tuple(labels))

    @property
    def inputs(self) -> int:
        """How many inputs are cut."""
        return len(self.edges) + len(self.labels)

    def codes(self, numeric: NDArray[np.float64], categorical: Sequence[Codes]) -> NDArray[np.int64]:
        """Return the bins of requests.

        Parameters
        ----------
        numeric : ndarray of shape (n_numeric, n)
            NaN where there is no number.
        categorical : sequence of Codes
            As many requests.

        Returns
        -------
        ndarray of int64, shape (inputs, n)
            From 0 to 11; 11 is missing or invalid, 10 any other label.
        """
        rows = numeric.shape[1] if len(self.edges) else len(categorical[0].codes) if self.labels else 0
        found = np.empty((self.inputs, rows), np.int64)
        for i, edges in enumerate(self.edges):
            found[i] = np.where(np.isnan(numeric[i]), WIDTH - 1, np.searchsorted(edges, numeric[i]))
        for i, labels in enumerate(self.labels):
            known = {label: place for place, label in enumerate(labels)}
            # Codes -2 and -1 count from the end of this table.
            table = [known.get(label, WIDTH - 2) for label in categorical[i].labels] + [WIDTH - 1, WIDTH - 1]
            found[len(self.edges) + i] = np.array(table)[categorical[i].codes]
        return found


@dataclass(frozen=True, eq=False)
class Rarity:
    """How often the reference has each combination of two inputs.

    Parameters
    ----------
    bins : Bins
        How inputs are cut.
    pairs : ndarray of int64, shape (n_pairs, 2)
        The inputs that are looked at together.
    counts : ndarray of int64, shape (n_pairs, 144)
        Reference requests by combination.

    Notes
    -----
    Memory is 2.3 kB for each pair, twice that while in use; a request costs about 4 ns for each pair.
    """

    bins: Bins
    pairs: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def fit(cls, numeric: NDArray[np.float64], categorical: Sequence[Codes]) -> "Rarity":
        """Count the combinations of a reference.

        Parameters
        ----------
        numeric : ndarray of shape (n_numeric, n)
            NaN where there is no number.
        categorical : sequence of Codes
            As many requests.

        Returns
        -------
        Rarity
            Of the pairs with the largest mutual information.
        """
        bins = Bins.fit(numeric, categorical)
        codes = bins.codes(numeric, categorical)
        tables, told = [], []
        pairs = [(i, j) for i in range(len(codes)) for j in range(i + 1, len(codes))]
        for i, j in pairs:
            table = np.bincount(codes[i] * WIDTH + codes[j], minlength=WIDTH * WIDTH)
            tables.append(table)
            told.append(_information(table.reshape(WIDTH, WIDTH)))
        chosen = sorted(sorted(range(len(pairs)), key=lambda place: -told[place])[:PAIRS_MAX])
        return cls(
            bins,
            np.array([pairs[place] for place in chosen], np.int64).reshape(-1, 2),
            np.array([tables[place] for place in chosen], np.int64).reshape(-1, WIDTH * WIDTH),
        )

    @cached_property
    def surprise(self) -> NDArray[np.int64]:
        """Of each combination, in 1/64 nats beyond 4, shape (n_pairs, 144)."""
        found = np.empty(self.counts.shape, np.int64)
        for place, row in enumerate(self.counts):
            order = np.sort(row)
            below = np.concatenate([[0], np.cumsum(order)])[np.searchsorted(order, row, side="right")]
            nats = -np.log((1.0 + below) / (1.0 + row.sum()))
            found[place] = np.maximum(np.rint(nats * UNIT) - USUAL, 0)
        return found

    @cached_property
    def _flat(self) -> NDArray[np.int64]:
        return self.surprise.ravel()

    def each(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how surprising each combination is.

        Parameters
        ----------
        codes : ndarray of int64, shape (inputs, n)
            From ``Bins.codes``.

        Returns
        -------
        ndarray of int64, shape (n_pairs, n)
            In 1/64 nats beyond 4.
        """
        first, second = self.pairs.T
        cells = codes[first] * WIDTH
        cells += codes[second]
        cells += np.arange(len(self.pairs))[:, None] * (WIDTH * WIDTH)
        return np.asarray(self._flat[cells])


def _information(table: NDArray[np.int64]) -> float:
    """Return the mutual information of the two sides of a table, in nats."""
    shares = table / max(1, table.sum())
    alone = shares.sum(axis=1, keepdims=True) * shares.sum(axis=0, keepdims=True)
    seen = shares > 0.0
    return float((shares[seen] * np.log(shares[seen] / alone[seen])).sum())

"""The bins of a column, and how often the reference data fell into each."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.baseline.profile import Season
from detectors.baseline.slow import Slow
from detectors.columns import ColumnSpec

REMEMBERED_MAX = 20_000
"""Labels whose bins a column keeps at hand."""
REMEMBERED_CHARACTERS = 64
"""Longer ones are looked up every time, so that the memory is bounded in bytes too."""
KNOWN_MAX = 10_000
"""How many labels beyond the most frequent ones a categorical column remembers, as 8-byte hashes."""

Edges = NDArray[np.floating[Any]]


def compact(counts: NDArray[Any]) -> NDArray[np.unsignedinteger[Any]]:
    """Keep counts in the smallest unsigned integers that hold them.

    Parameters
    ----------
    counts : ndarray of integers
        None of them negative.

    Returns
    -------
    ndarray of uint8, uint16, uint32 or uint64, of the same shape
        The same numbers.

    Examples
    --------
    >>> compact(np.array([0, 255])).dtype, compact(np.array([0, 256])).dtype
    (dtype('uint8'), dtype('uint16'))
    """
    largest = int(counts.max(initial=0))
    return counts.astype(next(t for t in (np.uint8, np.uint16, np.uint32, np.uint64) if largest <= np.iinfo(t).max))


def label_hash(label: str) -> int:
    """Hash a label to 64 bits, the same on every machine.

    Parameters
    ----------
    label : str
        Any text.

    Returns
    -------
    int
        From 0 to 2**64 - 1.

    Notes
    -----
    Rare labels may name people, so a baseline remembers only their hash. Two labels share one with probability
    2**-64; then an unseen label counts as ``other``.

    Examples
    --------
    >>> label_hash("DE") == label_hash("DE"), label_hash("DE") == label_hash("FR")
    (True, False)
    """
    return int.from_bytes(hashlib.blake2b(label.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


@dataclass(frozen=True, kw_only=True, eq=False)
class NumericColumn:
    """The bins of a numeric column.

    The bins are, in order: ``below`` the reference range, the regular bins, ``above``, ``between`` (only for a
    column of few distinct values: inside the range, but none of them), ``missing`` (NaN) and ``invalid`` (infinite).

    Parameters
    ----------
    spec : ColumnSpec
        Name, kind and group.
    edges : ndarray of float32 or float64, shape (n_segments + 1,)
        Strictly increasing. Segment ``i`` is ``edges[i] <= x < edges[i + 1]``; the last edge is the smallest number
        above the range. The type of the edges is the type that values are compared in.
    targets : ndarray of int32, shape (n_segments,)
        The regular bin of each segment, 0 for the first one, or -1 for ``between``.
    counts : ndarray of int64, shape (n_bins,)
        Reference rows per bin.
    blocks : ndarray of unsigned integers, shape (n_blocks, n_bins)
        The same, for contiguous blocks of the reference rows in their given order; they add up to ``counts``. The
        type is the smallest that holds them.
    inflation : ndarray of float64, shape (n_directions + 1, n_scales)
        How much more the rows move together than independent ones would, by direction; see
        ``detectors.baseline.inflation``. Without columns when the rows are in no order of time.
    singles : int
        Distinct values that occurred exactly once, of a column of few distinct values; 0 otherwise.
    bin_means : ndarray of float64, shape (n_regular,)
        Mean of the reference values in each regular bin; 0 where there were none.
    bin_stds : ndarray of float64, shape (n_regular,)
        Their standard deviation.
    mean : float
        Mean of all finite reference values; 0 when there were none.
    std : float
        Their standard deviation (divided by n).
    season : Season or None, optional
        What is normal at each hour, of a column that follows the hours.
    slow : Slow or None, optional
        The course over the reference, of a column that moves smoothly as well.
    growth : float, optional
        The power of the length with which the inflation still grows where the reference ends; 0 where it levels off.
        See ``detectors.baseline.ties``.

    Notes
    -----
    Memory is about ``(n_blocks + 32) * n_bins`` bytes, twice that from about 40,000 reference rows on.

    Examples
    --------
    >>> from detectors.baseline import compile_baseline
    >>> from detectors.columns import ColumnKind
    >>> spec = ColumnSpec(name="doors", kind=ColumnKind.NUMERIC)
    >>> values = np.array([2.0, 4.0, 4.0, 5.0, np.nan] * 20)
    >>> column = compile_baseline([(spec, values)]).baseline.columns[0]
    >>> column.bin_labels
    ('below', '2', '4', '5', 'above', 'between', 'missing', 'invalid')
    >>> column.counts
    array([ 0, 20, 40, 20,  0,  0, 20,  0])
    """

    spec: ColumnSpec
    edges: Edges
    targets: NDArray[np.int32]
    counts: NDArray[np.int64]
    blocks: NDArray[np.unsignedinteger[Any]]
    inflation: NDArray[np.float64]
    singles: int
    bin_means: NDArray[np.float64]
    bin_stds: NDArray[np.float64]
    mean: float
    std: float
    season: Season | None = None
    slow: Slow | None = None
    growth: float = 0.0

    @property
    def regular(self) -> int:
        """Number of regular bins."""
        return len(self.bin_means)

    @property
    def discrete(self) -> bool:
        """Whether each regular bin is one value, so that there is a bin ``between``."""
        return bool(np.any(self.targets < 0))

    @property
    def ordered(self) -> int:
        """Number of leading bins that are in the order of the values: ``below``, the regular bins, ``above``."""
        return self.regular + 2

    @property
    def specials(self) -> tuple[tuple[int, str], ...]:
        """Bin and name of everything but the regular bins."""
        named = [(0, "below"), (self.regular + 1, "above")]
        named += [(self.regular + 2 + i, name) for i, name in enumerate(self._tail)]
        return tuple(named)

    @property
    def _tail(self) -> tuple[str, ...]:
        return ("between", "missing", "invalid") if self.discrete else ("missing", "invalid")

    @cached_property
    def bin_labels(self) -> tuple[str, ...]:
        """One readable label per bin."""
        return ("below", *self._regular_labels(), "above", *self._tail)

    def _regular_labels(self) -> Iterable[str]:
        if self.edges[0] == np.finfo(self.edges.dtype).min and self.regular == 1 and self.edges[-1] == np.inf:
            return ["any value"]
        lows = self.edges[:-1][self.targets >= 0]
        highs = self.edges[1:][self.targets >= 0]
        labels = []
        for i, (low, high) in enumerate(zip(lows, highs, strict=True)):
            last = np.nextafter(high, low)
            if last <= low:
                labels.append(f"{low:.7g}")
            elif i == len(lows) - 1:
                labels.append(f"[{low:.7g}, {last:.7g}]")
            else:
                labels.append(f"[{low:.7g}, {high:.7g})")
        return labels

    @cached_property
    def cuts(self) -> Edges:
        """The edges with what sorts before and after them, so that one search tells every bin.

        Numpy sorts -inf first, then finite numbers, +inf, and NaN last; ``x < cuts[0]`` holds for -inf only.
        """
        ends = np.array([np.finfo(self.edges.dtype).min, np.inf, np.nan], dtype=self.edges.dtype)
        return np.concatenate([ends[:1], self.edges, ends[1:]])

    @cached_property
    def segment_bins(self) -> NDArray[np.int64]:
        """The bin of each segment between ``cuts``, shape (len(cuts) + 1,)."""
        above, last = self.regular + 1, len(self.counts) - 1
        inner = np.where(self.targets < 0, above + 1, self.targets.astype(np.int64) + 1)
        return np.concatenate([[last, 0], inner, [above, last, last - 1]]).astype(np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class CategoricalColumn:
    """The bins of a categorical column.

    The bins are, in order: the labels, most frequent first; ``other`` (known from the reference, but not frequent
    enough for a bin); ``unseen`` (not known from the reference); ``missing``; ``invalid``.

    Parameters
    ----------
    spec : ColumnSpec
        Name, kind and group.
    labels : tuple of str
        Labels with a bin of their own.
    known : ndarray of uint64, shape (n_known,)
        Hashes of the other known labels, increasing, at most 10,000 of them.
    counts : ndarray of int64, shape (n_labels + 4,)
        Reference rows per bin. Rows whose label found no place in ``known`` count as ``unseen``, and so do those of
        known labels without a bin that only one twentieth of the rows holds: see ``detectors.baseline.rare``.
    blocks : ndarray of unsigned integers, shape (n_blocks, n_labels + 4)
        The same, for contiguous blocks of the reference rows in their given order; they add up to ``counts``. The
        type is the smallest that holds them.
    inflation : ndarray of float64, shape (n_labels + 5, n_scales)
        How much more the rows move together than independent ones would, by direction; see
        ``detectors.baseline.inflation``. Without columns when the rows are in no order of time.
    singles : int
        Labels with a bin that occurred exactly once: a measure of how many labels are yet unseen. Those without a bin
        are counted as ``unseen`` themselves.
    season : Season or None, optional
        What is normal at each hour, of a column that follows the hours.
    slow : Slow or None, optional
        The course over the reference, of a column that moves smoothly as well.
    growth : float, optional
        The power of the length with which the inflation still grows where the reference ends; 0 where it levels off.
        See ``detectors.baseline.ties``.

    Notes
    -----
    Memory is the labels, 8 bytes per known label and about ``n_blocks + 100`` bytes per bin, up to twice that for
    many reference rows.

    Examples
    --------
    >>> from detectors.baseline import compile_baseline
    >>> from detectors.columns import Codes, ColumnKind
    >>> spec = ColumnSpec(name="country", kind=ColumnKind.CATEGORICAL)
    >>> codes = Codes(("DE", "FR"), np.array([1, 1, 0, -1] * 50, dtype=np.int32))
    >>> column = compile_baseline([(spec, codes)]).baseline.columns[0]
    >>> column.bin_labels
    ('FR', 'DE', 'other', 'unseen', 'missing', 'invalid')
    """

    spec: ColumnSpec
    labels: tuple[str, ...]
    known: NDArray[np.uint64]
    counts: NDArray[np.int64]
    blocks: NDArray[np.unsignedinteger[Any]]
    inflation: NDArray[np.float64]
    singles: int
    season: Season | None = None
    slow: Slow | None = None
    growth: float = 0.0

    @property
    def ordered(self) -> int:
        """Number of leading bins that are in the order of the values: labels have none."""
        return 0

    @property
    def specials(self) -> tuple[tuple[int, str], ...]:
        """Bin and name of everything but the labels."""
        return tuple((len(self.labels) + i, name) for i, name in enumerate(("other", "unseen", "missing", "invalid")))

    @cached_property
    def bin_labels(self) -> tuple[str, ...]:
        """One readable label per bin."""
        return (*self.labels, *(name for _, name in self.specials))

    @cached_property
    def _bins(self) -> dict[str, int]:
        return {label: i for i, label in enumerate(self.labels)}

    @cached_property
    def _remembered(self) -> dict[str, int]:
        """Bins by label, of labels that were asked for: hashing the rare ones again and again would cost more."""
        return {}

    @cached_property
    def _known(self) -> frozenset[int]:
        return frozenset(self.known.tolist())

    def bin_of(self, label: str) -> int:
        """Return the bin of a label.

        Parameters
        ----------
        label : str
            Any text.

        Returns
        -------
        int
            Index of the label's own bin, or of ``other`` or ``unseen``.
        """
        own = self._bins.get(label)
        if own is not None:
            return own
        known = bool(self._known) and label_hash(label) in self._known
        return len(self.labels) + (0 if known else 1)

    def bins_of(self, labels: Sequence[str]) -> list[int]:
        """Return the bins of several labels, as ``bin_of`` does of each.

        Parameters
        ----------
        labels : sequence of str
            Any texts.

        Returns
        -------
        list of int, of the same length
            Bins.
        """
        bins = self._remembered
        found = list(map(bins.get, labels))
        if None in found:
            if len(bins) > REMEMBERED_MAX:
                bins.clear()
            for i, place in enumerate(found):
                if place is None:
                    found[i] = self.bin_of(labels[i])
                    if len(labels[i]) <= REMEMBERED_CHARACTERS:
                        bins[labels[i]] = found[i]  # type: ignore[assignment]  # was set in the line before
        return found  # type: ignore[return-value]  # none is None any more


Column = NumericColumn | CategoricalColumn

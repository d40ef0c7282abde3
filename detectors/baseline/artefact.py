"""The compiled baseline: the bins of every column in one artefact with a digest."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from detectors.baseline.bins import Column
from detectors.baseline.codec import decode, encode
from detectors.baseline.season import settled
from detectors.errors import BaselineError
from detectors.spaces import Space


@dataclass(frozen=True, kw_only=True, eq=False)
class Baseline:
    """Reference data, compiled: the bins of every column and how often each was hit.

    Parameters
    ----------
    columns : tuple of NumericColumn or CategoricalColumn
        At least one, with different names.
    rows : int
        Reference rows.
    ordered : bool, optional
        Whether the reference rows came in the order of time.
    spaces : tuple of Space, optional
        What the fitted scores need, whose columns are among the others.

    Notes
    -----
    A vector of counts over all bins of all columns is *flat*: column ``j`` has ``flat[slices[j]]``. Two baselines
    are the same when their ``digest`` is; ``==`` compares identity.

    Examples
    --------
    >>> from detectors.baseline import compile_baseline
    >>> from detectors.columns import ColumnKind, ColumnSpec
    >>> spec = ColumnSpec(name="x", kind=ColumnKind.NUMERIC)
    >>> baseline = compile_baseline([(spec, np.arange(1000.0))]).baseline
    >>> baseline.names, baseline.rows, baseline.total
    (('x',), 1000, 36)
    >>> Baseline.from_bytes(baseline.to_bytes()).digest == baseline.digest
    True
    """

    columns: tuple[Column, ...]
    rows: int
    ordered: bool = True
    spaces: tuple[Space, ...] = ()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(column.spec.name for column in self.columns)

    @cached_property
    def index(self) -> dict[str, int]:
        """The place of each column, by name."""
        return {name: i for i, name in enumerate(self.names)}

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Where each column begins in a flat vector, shape (n_columns,)."""
        sizes = [len(column.counts) for column in self.columns]
        return np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)

    @cached_property
    def total(self) -> int:
        """Bins of all columns together."""
        return sum(len(column.counts) for column in self.columns)

    @cached_property
    def tilted(self) -> tuple[Space, ...]:
        """The spaces whose events are added up as well, for bets on sums."""
        return tuple(space for space in self.spaces if space.tilts is not None and space.tilted in self.index)

    @cached_property
    def sums(self) -> int:
        """How many such sums a tick has, see ``detectors.sums``."""
        return sum(space.sums_number for space in self.tilted)

    @cached_property
    def width(self) -> int:
        """How many numbers a tick has: a count for each bin, and the sums behind them."""
        return self.total + self.sums

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """Where each column lies in a flat vector."""
        return tuple(
            slice(int(start), int(start) + len(column.counts))
            for start, column in zip(self.starts, self.columns, strict=True)
        )

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Reference rows per bin, flat, shape (total,)."""
        return np.concatenate([column.counts for column in self.columns])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of ``to_bytes()``, 64 hexadecimal digits."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @cached_property
    def seasonal(self) -> tuple[int, ...]:
        """The places of the columns that follow the hours."""
        return tuple(i for i, column in enumerate(self.columns) if column.season is not None)

    @cached_property
    def settled(self) -> "Baseline":
        """The same reference once its seasons are taken away; this one when it has none."""
        if not self.seasonal:
            return self
        return replace(self, columns=tuple(settled(column) for column in self.columns))

    def without_seasons(self) -> "Baseline":
        """Return the baseline that knows no hours: for events whose time is not known.

        Returns
        -------
        Baseline
            Each column as a whole; this one when it has no seasons.
        """
        if not self.seasonal:
            return self
        return replace(self, columns=tuple(replace(column, season=None) for column in self.columns))

    def only(self, names: Collection[str]) -> "Baseline":
        """Return the baseline of some of the columns.

        Parameters
        ----------
        names : collection of str
            At least one of them is a column's.

        Returns
        -------
        Baseline
            These columns, in the same order.

        Raises
        ------
        BaselineError
            When no column is left.
        """
        kept = tuple(column for column in self.columns if column.spec.name in names)
        if not kept:
            raise BaselineError(f"none of the columns {', '.join(self.names[:8])} is to be kept")
        left = {column.spec.name for column in kept}
        spaces = tuple(space for space in self.spaces if left.intersection(space.columns))
        return Baseline(columns=kept, rows=self.rows, ordered=self.ordered, spaces=spaces)

    def joined(self, other: "Baseline", spaces: tuple[Space, ...] = ()) -> "Baseline":
        """Return the baseline of the columns of both.

        Parameters
        ----------
        other : Baseline
            Of other columns of the same rows.
        spaces : tuple of Space, optional
            What is known of the columns together.

        Returns
        -------
        Baseline
            The columns of this one first.

        Raises
        ------
        BaselineError
            When the rows or their blocks are not the same.
        """
        blocks, others = len(self.columns[0].blocks), len(other.columns[0].blocks)
        if (self.rows, self.ordered, blocks) != (other.rows, other.ordered, others):
            raise BaselineError(f"baselines of {self.rows} and {other.rows} rows cannot be joined")
        return Baseline(
            columns=self.columns + other.columns,
            rows=self.rows,
            ordered=self.ordered,
            spaces=self.spaces + other.spaces + spaces,
        )

    def to_bytes(self) -> bytes:
        """Return the canonical bytes: equal baselines give equal bytes on every machine.

        Returns
        -------
        bytes
            See ``detectors.baseline.codec`` for the format.
        """
        return encode(self.columns, self.rows, ordered=self.ordered, spaces=self.spaces)

    @staticmethod
    def from_bytes(data: bytes) -> "Baseline":
        """Read canonical bytes.

        Parameters
        ----------
        data : bytes
            From ``to_bytes``, or from anybody: they are checked.

        Returns
        -------
        Baseline
            The same baseline.

        Raises
        ------
        BaselineError
            When the bytes are no baseline; the message names the place.
        """
        columns, rows, ordered, spaces = decode(data)
        return Baseline(columns=columns, rows=rows, ordered=ordered, spaces=spaces)

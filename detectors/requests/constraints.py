"""What holds between the numbers of a request, and which requests break it.

A rule is about numeric columns only: labels that nobody knew have a bin of their own in the baseline. Numbers are
compared as float32, which is how some clients send them: a bound that float32 cannot tell from a value is not broken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from detectors.errors import DetectorError

CONSTRAINTS_MAX = 256
COLUMNS_MAX = 32
"""Of one rule."""
EQUAL_WITHIN = 2.0**-20
"""Of the sizes of what is compared: a few roundings to float32."""
_LARGEST = float(np.finfo(np.float32).max)


class Kind(StrEnum):
    """What a rule says.

    Examples
    --------
    >>> Kind("one_hot")
    <Kind.ONE_HOT: 'one_hot'>
    """

    RANGE = "range"
    """The column lies between ``low`` and ``high``, both included."""
    INTEGER = "integer"
    """The column holds whole numbers."""
    ONE_HOT = "one_hot"
    """One of the columns is 1, all others are 0."""
    ORDER = "order"
    """The first column is at most the second."""
    EQUAL = "equal"
    """The first column is ``factor`` times the sum of the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """One rule.

    Parameters
    ----------
    kind : Kind
        What it says.
    columns : tuple of str
        About which columns: one for a range and for whole numbers, two for an order, two or more for the others.
    low, high : float, optional
        Of a range.
    factor : float, optional
        Of an equality.
    declared : bool, optional
        Whether a person said so; else the reference did.

    Raises
    ------
    DetectorError
        When it has the wrong number of columns, one of them twice, or numbers that are none.

    Examples
    --------
    >>> Constraint(kind=Kind.EQUAL, columns=("total", "net", "tax")).name
    'total = net + tax'
    """

    kind: Kind
    columns: tuple[str, ...]
    low: float = -np.inf
    high: float = np.inf
    factor: float = 1.0
    declared: bool = False

    def __post_init__(self) -> None:
        least, most = {
            Kind.RANGE: (1, 1),
            Kind.INTEGER: (1, 1),
            Kind.ORDER: (2, 2),
        }.get(self.kind, (2, COLUMNS_MAX))
        if not least <= len(self.columns) <= most or len(set(self.columns)) < len(self.columns):
            raise DetectorError(f"a rule of kind {self.kind} about {len(self.columns)} columns, or one of them twice")
        if not self.low <= self.high or not np.isfinite(self.factor) or self.factor == 0.0:
            raise DetectorError(f"a rule from {self.low} to {self.high} with factor {self.factor}")

    @property
    def name(self) -> str:
        """What people call it: without the bounds of a range, with the factor of an equality."""
        first, *others = self.columns
        if self.kind is Kind.RANGE:
            return f"range of {first}"
        if self.kind is Kind.INTEGER:
            return f"{first} is whole"
        if self.kind is Kind.ONE_HOT:
            return f"one of {', '.join(self.columns)}"
        if self.kind is Kind.ORDER:
            return f"{first} <= {others[0]}"
        factor = "" if self.factor == 1.0 else f"{self.factor:g} * "
        total = " + ".join(others)
        return f"{first} = {factor}({total})" if factor and len(others) > 1 else f"{first} = {factor}{total}"

    def told(self, values: Mapping[str, float]) -> str:
        """Say how a request breaks it.

        Parameters
        ----------
        values : mapping of str to float
            Those of its columns.

        Returns
        -------
        str
            With the values, and the bounds of a range.

        Examples
        --------
        >>> Constraint(kind=Kind.RANGE, columns=("age",), low=18.0, high=90.0).told({"age": 200.0})
        'age is 200, not from 18 to 90'
        """
        first, *others = self.columns
        if self.kind is Kind.RANGE:
            return f"{first} is {values[first]:.9g}, not from {self.low:.9g} to {self.high:.9g}"
        if self.kind is Kind.INTEGER:
            return f"{first} is {values[first]:.9g}, not a whole number"
        if self.kind is Kind.ONE_HOT:
            ones = ", ".join(f"{name} is {values[name]:.9g}" for name in self.columns if values[name] != 0.0)
            return f"not one of {', '.join(self.columns)} is 1 and the others 0: {ones or 'all are 0'}"
        if self.kind is Kind.ORDER:
            return f"{first} is {values[first]:.9g}, more than {others[0]}, which is {values[others[0]]:.9g}"
        rest = ", ".join(f"{name} is {values[name]:.9g}" for name in self.columns)
        return f"not {self.name}: {rest}"


def plain(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return numbers as they are compared: rounded to float32, NaN where there is no finite one.

    Parameters
    ----------
    values : ndarray of shape (...)
        Any numbers.

    Returns
    -------
    ndarray of float64, shape (...)
        What float32 cannot hold is at its largest number.
    """
    kept = np.where(np.isfinite(values), np.clip(values, -_LARGEST, _LARGEST), np.nan)
    return np.asarray(kept.astype(np.float32).astype(np.float64))


@dataclass(frozen=True, kw_only=True, eq=False)
class Rules:
    """Some rules over columns, checked together.

    Parameters
    ----------
    names : tuple of str
        Numeric columns, in the order in which their values come.
    constraints : tuple of Constraint
        At most ``CONSTRAINTS_MAX``, each about columns that there are.

    Raises
    ------
    DetectorError
        When there are more, or one is about another column.

    Notes
    -----
    All rules of a kind cost one comparison: about 1 ns for each rule and request, and 60 µs for a call.

    Examples
    --------
    >>> rules = Rules(names=("low", "high"), constraints=(Constraint(kind=Kind.ORDER, columns=("low", "high")),))
    >>> rules.broken(np.array([[1.0, 3.0, np.nan], [2.0, 2.0, 2.0]]))
    array([[False,  True, False]])
    """

    names: tuple[str, ...]
    constraints: tuple[Constraint, ...]

    def __post_init__(self) -> None:
        if len(self.constraints) > CONSTRAINTS_MAX:
            raise DetectorError(f"{len(self.constraints)} rules; at most {CONSTRAINTS_MAX} are checked")
        known = set(self.names)
        for one in self.constraints:
            unknown = [name for name in one.columns if name not in known]
            if unknown:
                raise DetectorError(f"a rule is about the column {unknown[0]!r}, which is not there")

    @cached_property
    def _places(self) -> dict[Kind, NDArray[np.int64]]:
        return {
            kind: np.array([i for i, one in enumerate(self.constraints) if one.kind is kind], np.int64) for kind in Kind
        }

    @cached_property
    def _columns(self) -> tuple[NDArray[np.int64], ...]:
        at = {name: i for i, name in enumerate(self.names)}
        return tuple(np.array([at[name] for name in one.columns], np.int64) for one in self.constraints)

    @cached_property
    def _simple(self) -> dict[Kind, tuple[NDArray[np.int64], ...]]:
        """The columns of the rules about one or two of them, so that they are compared at once."""
        columns = self._columns
        return {
            kind: tuple(np.array([columns[i][j] for i in self._places[kind]], np.int64) for j in range(count))
            for kind, count in ((Kind.RANGE, 1), (Kind.INTEGER, 1), (Kind.ORDER, 2))
        }

    @cached_property
    def _bounds(self) -> NDArray[np.float64]:
        rows = [(self.constraints[i].low, self.constraints[i].high) for i in self._places[Kind.RANGE]]
        bounds = np.array(rows, np.float64).reshape(-1, 2)
        return np.where(np.isinf(bounds), bounds, np.clip(bounds, -_LARGEST, _LARGEST).astype(np.float32))

    def broken(self, values: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Tell which requests break which rules.

        Parameters
        ----------
        values : ndarray of shape (len(names), n)
            A number that is missing or invalid breaks nothing: nobody can tell.

        Returns
        -------
        ndarray of bool, shape (len(constraints), n)
            One row for each rule.
        """
        values = plain(values)
        broken = np.zeros((len(self.constraints), values.shape[1]), np.bool_)
        (at,) = self._simple[Kind.RANGE]
        if len(at):
            low, high = self._bounds.T[:, :, None]
            broken[self._places[Kind.RANGE]] = (values[at] < low) | (values[at] > high)
        (at,) = self._simple[Kind.INTEGER]
        if len(at):
            own = values[at]
            broken[self._places[Kind.INTEGER]] = (own != np.rint(own)) & ~np.isnan(own)
        first, second = self._simple[Kind.ORDER]
        if len(first):
            broken[self._places[Kind.ORDER]] = values[first] > values[second]
        for place in self._places[Kind.ONE_HOT].tolist():
            own = values[self._columns[place]]
            fits = ((own == 0.0) | (own == 1.0)).all(axis=0) & (own.sum(axis=0) == 1.0)
            broken[place] = ~fits & ~np.isnan(own).any(axis=0)
        for place in self._places[Kind.EQUAL].tolist():
            broken[place] = _unequal(values[self._columns[place]], self.constraints[place].factor)
        return broken


def _unequal(values: NDArray[np.float64], factor: float) -> NDArray[np.bool_]:
    """Tell where the first row is not so many times the sum of the others, added up in their order."""
    total, size = np.zeros(values.shape[1]), np.abs(values[0])
    for row in values[1:]:
        total = total + row
        size = size + abs(factor) * np.abs(row)
    # NaN compares as false: where a number is missing nothing is broken.
    return np.asarray(np.abs(values[0] - factor * total) > EQUAL_WITHIN * size)


def reduced(constraints: Sequence[Constraint]) -> tuple[Constraint, ...]:
    """Return rules without repetition, the first of each name kept, at most ``CONSTRAINTS_MAX``.

    Parameters
    ----------
    constraints : sequence of Constraint
        The more important ones first.

    Returns
    -------
    tuple of Constraint
        In the same order.
    """
    kept: dict[str, Constraint] = {}
    for one in constraints:
        kept.setdefault(one.name, one)
    return tuple(kept.values())[:CONSTRAINTS_MAX]

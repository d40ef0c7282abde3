"""What an operator may say about evidence."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from detectors.baseline import Baseline, CategoricalColumn
from detectors.columns import ColumnGroup
from detectors.errors import DetectorError

EFFECT_MAX = 10.0
DIRECTIONS = ("both", "up", "down")
WEIGHT_MAX = 1000.0
QUALITY = "quality"
"""The group of the bets on missing, invalid, unknown and out-of-range values, of whatever column."""
GROUPS = (*(group.value for group in ColumnGroup), QUALITY)
"""What shares of the budget may be given to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnOptions:
    """Options of one column.

    Parameters
    ----------
    name : str
        The column.
    direction : str, optional
        ``up`` or ``down`` when only larger or only smaller numbers are news; ``both`` otherwise. Missing, invalid and
        unknown values are news in any case.
    minimum_effect : float or None, optional
        Instead of the engine's; from 0 to 10.
    weight : float, optional
        Share of the false-alarm budget, relative to the other columns' (of its group, when groups have shares); above
        0, at most 1000.
    ignore : bool, optional
        Whether the column raises no evidence at all.

    Raises
    ------
    DetectorError
        When a value is out of range, or the column is ignored and yet has options.

    Examples
    --------
    >>> ColumnOptions(name="latency", direction="up").direction
    'up'
    """

    name: str
    direction: str = "both"
    minimum_effect: float | None = None
    weight: float = 1.0
    ignore: bool = False

    def __post_init__(self) -> None:
        place = f"columns[{self.name!r}]"
        if self.direction not in DIRECTIONS:
            raise DetectorError(f"{place}.direction is {self.direction!r}; it must be one of {', '.join(DIRECTIONS)}")
        if not 0.0 < self.weight <= WEIGHT_MAX:
            raise DetectorError(f"{place}.weight is {self.weight}; it must be above 0 and at most {WEIGHT_MAX:.0f}")
        if self.minimum_effect is not None and not 0.0 <= self.minimum_effect <= EFFECT_MAX:
            raise DetectorError(f"{place}.minimum_effect is {self.minimum_effect}; it must be from 0 to {EFFECT_MAX}")
        told = {
            "direction": self.direction != "both",
            "minimum_effect": self.minimum_effect is not None,
            "weight": self.weight != 1.0,
        }
        for key, given in told.items():
            if self.ignore and given:
                raise DetectorError(f"{place}.ignore is true, but {place}.{key} is {getattr(self, key)!r}: say one")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceOptions:
    """Options of an evidence engine.

    Parameters
    ----------
    minimum_effect : float, optional
        The smallest change worth a page, in standard deviations of the direction it happens in (for a share ``p``,
        one standard deviation is ``sqrt(p * (1 - p))``); from 0 to 10. Smaller changes raise no evidence.
    standard_errors : float, optional
        How many standard errors of the baseline itself every direction may be off; from 0 to 8.
    learned_events : float, optional
        How many of the latest events per column the learned bet remembers; from 1 to 10**9.
    tick_events : float, optional
        How many events every tick has at least; from 1 to 10**9. What ties together fewer events than a tick holds,
        such as the hours of a day in ticks of a day, then costs no evidence.
    calibrate : bool, optional
        Whether bets heed how much the reference's rows move together. False is for comparison: on clusters and
        seasons it breaks the promise.
    columns : tuple of ColumnOptions, optional
        Options of single columns, in any order.
    shares : tuple of (str, float), optional
        Shares of the false-alarm budget by group of columns, in any order, relative to one another; above 0, at most
        1000. See ``detectors.evidence.shares``. Without any, every column has the same share, times its weight.

    Raises
    ------
    DetectorError
        When a value is out of range, a group is not known, or two entries speak about the same column or group.

    Examples
    --------
    >>> EvidenceOptions(minimum_effect=0.1)  # doctest: +NORMALIZE_WHITESPACE
    EvidenceOptions(minimum_effect=0.1, standard_errors=3.0, learned_events=1000.0, tick_events=1.0, calibrate=True,
     columns=(), shares=())
    """

    minimum_effect: float = 0.02
    standard_errors: float = 3.0
    learned_events: float = 1000.0
    tick_events: float = 1.0
    calibrate: bool = True
    columns: tuple[ColumnOptions, ...] = ()
    shares: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        ranges = (
            ("minimum_effect", 0, EFFECT_MAX),
            ("standard_errors", 0, 8),
            ("learned_events", 1, 10**9),
            ("tick_events", 1, 10**9),
        )
        for name, low, high in ranges:
            value = getattr(self, name)
            if not low <= value <= high:
                raise DetectorError(f"{name} is {value}; it must be from {low} to {high}")
        ordered = tuple(sorted(self.columns, key=lambda column: column.name))
        for first, second in pairwise(ordered):
            if first.name == second.name:
                places = [i for i, column in enumerate(self.columns) if column.name == first.name]
                raise DetectorError(f"columns[{places[0]}] and columns[{places[1]}] both speak about {first.name!r}")
        object.__setattr__(self, "columns", ordered)
        object.__setattr__(self, "shares", _checked(self.shares))

    def of(self, baseline: Baseline) -> tuple[ColumnOptions, ...]:
        """Return the options of each column of a baseline.

        Parameters
        ----------
        baseline : Baseline
            Whose columns.

        Returns
        -------
        tuple of ColumnOptions
            In the baseline's order.

        Raises
        ------
        DetectorError
            When options do not fit the columns: an unknown name, a direction for labels, or nothing left to watch.
        """
        told = {column.name: column for column in self.columns}
        found = [told.get(name, ColumnOptions(name=name)) for name in baseline.names]
        _check_fit(baseline, told, found)
        return tuple(found)


def _checked(shares: Sequence[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    ordered = tuple(sorted(shares))
    for group, share in ordered:
        if group not in GROUPS:
            raise DetectorError(f"shares[{group!r}]: no such group; there are {', '.join(GROUPS)}")
        if not 0.0 < share <= WEIGHT_MAX:
            raise DetectorError(f"shares[{group!r}] is {share}; it must be above 0 and at most {WEIGHT_MAX:.0f}")
    for (first, _), (second, _) in pairwise(ordered):
        if first == second:
            raise DetectorError(f"shares speaks twice about {first!r}")
    return ordered


def _check_fit(baseline: Baseline, told: dict[str, ColumnOptions], found: Sequence[ColumnOptions]) -> None:
    for name in told:
        if name not in baseline.index:
            raise DetectorError(f"columns[{name!r}]: the baseline has no such column; it has {baseline.names[:8]}")
    for column, own in zip(baseline.columns, found, strict=True):
        if own.direction != "both" and isinstance(column, CategoricalColumn):
            place = f"columns[{own.name!r}].direction"
            raise DetectorError(f"{place} is {own.direction!r}, but the baseline's column {own.name!r} is categorical")
    if all(own.ignore for own in found):
        raise DetectorError(f"all columns of the baseline are ignored: {', '.join(baseline.names[:8])}")

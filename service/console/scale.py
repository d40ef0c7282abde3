"""Where times and powers of ten lie in a drawing."""

from collections.abc import Callable
from dataclasses import dataclass

from service.console.words import hour_minute, moment

ABOVE_THRESHOLD = 2.5
"""The axis ends at this multiple of the threshold's exponent; what lies above is drawn at the edge and said."""
LANES = 92
"""Height of what stands under the plot: states, incidents and traffic."""


@dataclass(frozen=True, slots=True)
class Size:
    """A drawing in its own units, with room for the labels."""

    name: str
    width: int
    height: int
    left: int = 58
    right: int = 12
    top: int = 54
    """Above the plot stand the labels of the marks, in three rows."""
    bottom: int = 26 + LANES

    @property
    def floor(self) -> int:
        """Where the plot ends."""
        return self.height - self.bottom

    @property
    def inner(self) -> int:
        """Width of the plot."""
        return self.width - self.left - self.right


WIDE, NARROW = Size("wide", 960, 372), Size("narrow", 400, 352)


@dataclass(frozen=True, slots=True)
class Tick:
    """A label on an axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Scale:
    """The time from left to right, and powers of ten from the floor up."""

    size: Size
    first_us: int
    last_us: int
    top: float
    """The highest power."""

    @classmethod
    def over(cls, size: Size, first_us: int, last_us: int, budget: float, highest: float) -> "Scale":
        """Choose the axis: the budget and what lies above it, as far as the budget stays readable."""
        top = min(max(budget * 1.25, highest * 1.05, 1.0), max(budget * ABOVE_THRESHOLD, 1.0))
        return cls(size, first_us, last_us, top)

    def x(self, at_us: float) -> float:
        """Return where a time lies."""
        share = (at_us - self.first_us) / (self.last_us - self.first_us)
        return round(self.size.left + share * self.size.inner, 1)

    def y(self, power: float) -> float:
        """Return where a power of ten lies."""
        share = min(max(power, 0.0), self.top) / self.top
        return round(self.size.floor - share * (self.size.floor - self.size.top), 1)


def powers(top: float) -> list[float]:
    """Return the powers of ten that get a label, so many as fit."""
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1e9) if top / s <= 6)  # noqa: PLR2004 - labels that fit
    return [step * i for i in range(int(top / step) + 1)]


def time_ticks(scale: Scale) -> tuple[Tick, ...]:
    """Put about one label per 120 units on round times."""
    span = (scale.last_us - scale.first_us) / 1e6
    wanted = (scale.size.width - scale.size.left) / 120
    steps = (1, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400, 7 * 86_400)
    step = next((s for s in steps if span / s <= wanted), steps[-1]) * 1_000_000
    first = -(-scale.first_us // step) * step
    room_us = (scale.last_us - scale.first_us) * 20 // scale.size.width
    times = range(max(first, scale.first_us), scale.last_us - room_us, step)
    label = _label_of(step, span)
    return tuple(Tick(scale.x(at), label(at)) for at in times)


def _label_of(step_us: int, span_seconds: float) -> Callable[[int], str]:
    if step_us < 60_000_000:  # noqa: PLR2004 - a minute
        return lambda at_us: moment(at_us)[11:19]
    if step_us >= 86_400_000_000:  # noqa: PLR2004 - a day
        return lambda at_us: moment(at_us)[5:10]
    # Over more than a day, midnight says which day begins.
    if span_seconds > 86_400:  # noqa: PLR2004 - a day
        return lambda at_us: moment(at_us)[5:10] if moment(at_us)[11:16] == "00:00" else hour_minute(at_us)
    return hour_minute

"""What stands under the evidence on the same time axis: states, incidents and traffic."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from service.console.scale import Scale
from service.console.words import moment, number

BARS_MAX = 120
BLOCKS_MAX = 60
LETTER = 6.6
"""Width of a letter of a block's label."""
BLOCK_HEIGHT = 15
STATES_AT, INCIDENTS_AT, TRAFFIC_AT, TRAFFIC_HEIGHT = 8, 27, 50, 40
"""Below the floor of the plot."""
MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Stretch:
    """Something that lasted."""

    first_us: int
    last_us: int
    label: str
    text: str
    """What it was, in full."""
    tone: str
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """How many events came in some time."""

    since_us: int
    until_us: int
    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What is to be drawn."""

    states: Sequence[Stretch] = ()
    incidents: Sequence[Stretch] = ()
    counts: Sequence[Count] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch, placed."""

    x: float
    width: float
    label: str
    """Empty where there is no room for it."""
    text: str
    tone: str
    address: str | None


@dataclass(frozen=True, slots=True)
class Bar:
    """Events of some time, placed."""

    x: float
    width: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lanes:
    """All that the template needs; heights are below the floor of the plot."""

    states_y: int
    states: tuple[Block, ...]
    incidents_y: int
    incidents: tuple[Block, ...]
    traffic_y: int
    height: int
    traffic_height: int
    path: str
    bars: tuple[Bar, ...]
    most: str | None
    """The highest rate, in words."""


def lanes_of(beside: Beside, scale: Scale) -> Lanes:
    """Lay out what is to be drawn."""
    floor = scale.size.floor
    path, bars, most = _traffic(beside.counts, scale)
    return Lanes(
        states_y=floor + STATES_AT,
        states=_blocks(beside.states, scale),
        incidents_y=floor + INCIDENTS_AT,
        incidents=_blocks(beside.incidents, scale),
        traffic_y=floor + TRAFFIC_AT,
        height=BLOCK_HEIGHT,
        traffic_height=TRAFFIC_HEIGHT,
        path=path,
        bars=bars,
        most=most,
    )


def _blocks(stretches: Sequence[Stretch], scale: Scale) -> tuple[Block, ...]:
    inside = [one for one in stretches if one.last_us >= scale.first_us and one.first_us <= scale.last_us]
    placed = []
    for one in inside[-BLOCKS_MAX:]:
        x = scale.x(max(one.first_us, scale.first_us))
        end = scale.x(min(one.last_us, scale.last_us))
        width = round(max(end - x, 3.0), 1)
        x = min(x, round(scale.size.width - scale.size.right - width, 1))
        placed.append(Block(x, width, one.label, one.text, one.tone, one.address))
    return tuple(replace(block, label=_fitting(block, placed[n + 1 :])) for n, block in enumerate(placed))


def _fitting(block: Block, later: Sequence[Block]) -> str:
    """Return the label of a block, empty when there is no room for it before the next block that lies over it."""
    end = min([block.x + block.width, *(other.x for other in later if other.x >= block.x)])
    return block.label if block.x + len(block.label) * LETTER + 8 <= end else ""


def _traffic(counts: Sequence[Count], scale: Scale) -> tuple[str, tuple[Bar, ...], str | None]:
    # The first minute may have begun before the first tick that is drawn.
    inside = [
        replace(one, since_us=max(one.since_us, scale.first_us))
        for one in counts
        if one.until_us > scale.first_us and one.since_us < scale.last_us
    ]
    joined = _joined(inside)
    rates = [one.events * MINUTE_US / max(one.until_us - one.since_us, 1) for one in joined]
    highest = max(rates, default=0.0)
    if highest <= 0:
        return "", (), None
    bottom = scale.size.floor + TRAFFIC_AT + TRAFFIC_HEIGHT
    path, bars = [], []
    for one, rate in zip(joined, rates, strict=True):
        x, end = scale.x(one.since_us), scale.x(min(one.until_us, scale.last_us))
        y = round(bottom - TRAFFIC_HEIGHT * rate / highest, 1)
        path.append(f"M{x:g},{bottom}V{y:g}H{max(end, x + 0.5):g}V{bottom}Z")
        bars.append(Bar(x, round(max(end - x, 0.5), 1), _bar_text(one, rate)))
    return "".join(path), tuple(bars), f"{_short(highest)}/min"


def _short(amount: float) -> str:
    """Write a number where there is little room."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if amount >= size:
            return f"{number(amount / (1e3 if letter == 'k' else size))}{letter}"
    return number(amount)


def _bar_text(one: Count, rate: float) -> str:
    return f"{moment(one.since_us)[:19]} to {moment(one.until_us)[11:]}: {one.events:,} events, {number(rate)} a minute"


def _joined(counts: Sequence[Count]) -> list[Count]:
    """Join neighbours until at most ``BARS_MAX`` are left; pauses between them count as time without events."""
    if len(counts) <= BARS_MAX:
        return list(counts)
    first_us, span_us = counts[0].since_us, counts[-1].since_us - counts[0].since_us + 1
    parts = [list(part) for _, part in groupby(counts, lambda one: (one.since_us - first_us) * BARS_MAX // span_us)]
    return [Count(part[0].since_us, part[-1].until_us, sum(one.events for one in part)) for part in parts]

"""Geometry of the evidence chart: pure numbers, drawn by the template as SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from service.console.lanes import Beside, Lanes, lanes_of
from service.console.scale import Scale, Size, Tick, powers, time_ticks
from service.console.words import LN10, exponent, moment

POINTS_MAX = 160
"""More are thinned to the highest of each stretch, so that a page stays small and no peak is lost."""

LETTER = 8.0
"""Room for one letter of a mark's label; marks that are closer than that share one."""
LABEL_ROWS = 3
FLIP_FROM = 0.7
"""Right of this share of the width, labels stand left of their lines."""
NOTHING_BESIDE = Beside()


@dataclass(frozen=True, slots=True)
class Point:
    """The highest evidence within a stretch of time."""

    since_us: int
    at_us: int
    """Where the stretch ends."""
    log_evidence: float


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened, as a vertical line."""

    at_us: int
    text: str
    tone: str
    """``bad``, ``good`` or ``plain``."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One readable step of the line."""

    left: float
    width: float
    y: float
    text: str
    over: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A mark, placed."""

    x: float
    row: int
    """Labels that would touch are put on different rows."""
    text: str
    tone: str
    flip: bool
    """The label stands left of the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceChart:
    """All that the template needs."""

    size: Size
    first_us: int
    last_us: int
    paths: tuple[str, ...]
    areas: tuple[str, ...]
    dots: tuple[Dot, ...]
    y_ticks: tuple[Tick, ...]
    x_ticks: tuple[Tick, ...]
    threshold_y: float
    lines: tuple[Line, ...]
    lanes: Lanes
    clipped: str | None
    """The highest exponent, when it lies above the axis."""


def thin(points: Sequence[Point], most: int = POINTS_MAX) -> tuple[Point, ...]:
    """Join neighbours until at most ``most`` points are left; each keeps the highest evidence of what it joined.

    Neighbours are those within the same part of the time shown, as ticks and minutes may stand side by side.
    """
    if len(points) <= most:
        return tuple(points)
    first_us, span_us = points[0].since_us, points[-1].since_us - points[0].since_us + 1
    parts = [list(part) for _, part in groupby(points, lambda point: (point.since_us - first_us) * most // span_us)]
    return tuple(Point(part[0].since_us, part[-1].at_us, max(point.log_evidence for point in part)) for part in parts)


def evidence_chart(
    points: Sequence[Point],
    threshold_log: float,
    marks: Sequence[Mark],
    size: Size,
    beside: Beside = NOTHING_BESIDE,
) -> EvidenceChart | None:
    """Lay out the chart as steps, one for each stretch of time; ``None`` when there is nothing to draw."""
    shown = thin([point for point in points if not math.isnan(point.log_evidence)])
    if not shown:
        return None
    highest = max(point.log_evidence for point in shown) / LN10
    scale = _scale(shown, threshold_log / LN10, highest, marks, size)
    dots = _dots(shown, threshold_log, scale)
    stretches = _stretches(shown, dots)
    floor = scale.y(0.0)
    return EvidenceChart(
        size=size,
        first_us=scale.first_us,
        last_us=scale.last_us,
        paths=tuple(f"M{part[0].left:g},{part[0].y:g}{_steps(part)}" for part in stretches),
        areas=tuple(f"M{part[0].left:g},{floor:g}V{part[0].y:g}{_steps(part)}V{floor:g}Z" for part in stretches),
        dots=dots,
        y_ticks=tuple(Tick(scale.y(power), f"{power:g}") for power in powers(scale.top)),
        x_ticks=time_ticks(scale),
        threshold_y=scale.y(threshold_log / LN10),
        lines=_lines(marks, scale),
        lanes=lanes_of(beside, scale),
        clipped=exponent(highest * LN10) if highest > scale.top else None,
    )


def _scale(points: Sequence[Point], budget: float, highest: float, marks: Sequence[Mark], size: Size) -> Scale:
    first_us, last_us = points[0].since_us, max(points[-1].at_us, points[0].since_us + 1)
    # Events stop when the gate closes, so what people did next lies right of the line's end: leave it some room.
    room_us = last_us + (last_us - first_us) // 4
    last_us = max([last_us, *(mark.at_us for mark in marks if mark.at_us <= room_us)])
    return Scale.over(size, first_us, last_us, budget, highest)


def _steps(part: Sequence[Dot]) -> str:
    return "".join(f"V{dot.y:g}H{dot.left + dot.width:g}" for dot in part)


def _dots(points: Sequence[Point], threshold_log: float, scale: Scale) -> tuple[Dot, ...]:
    return tuple(
        Dot(
            left=scale.x(point.since_us),
            width=round(scale.x(point.at_us) - scale.x(point.since_us), 1),
            y=scale.y(point.log_evidence / LN10),
            text=f"{_stretch_text(point)}: evidence {_power_text(point.log_evidence)}",
            over=point.log_evidence >= threshold_log,
        )
        for point in points
    )


def _stretch_text(point: Point) -> str:
    return f"{moment(point.since_us)[:19]} to {moment(point.at_us)[11:]}"


def _power_text(log_evidence: float) -> str:
    power = exponent(log_evidence)
    return "none yet" if power is None else f"10^{power}"


def _stretches(points: Sequence[Point], dots: Sequence[Dot]) -> list[list[Dot]]:
    """Break the line where nothing was measured."""
    parts: list[list[Dot]] = [[dots[0]]]
    for (before, point), dot in zip(pairwise(points), dots[1:], strict=True):
        if point.since_us > before.at_us:
            parts.append([])
        parts[-1].append(dot)
    return parts


def _lines(marks: Sequence[Mark], scale: Scale) -> tuple[Line, ...]:
    """Place the marks so that no label covers another one.

    Labels on the right side stand left of their lines; placed from the right, no line crosses the label before it.
    """
    shown = _merged([mark for mark in marks if scale.first_us <= mark.at_us <= scale.last_us], scale)
    middle = scale.size.width * FLIP_FROM
    left = [mark for mark in shown if scale.x(mark.at_us) <= middle]
    right = [mark for mark in shown if scale.x(mark.at_us) > middle]
    rows: list[list[tuple[float, float]]] = [[] for _ in range(LABEL_ROWS)]
    placed: list[Line] = []
    for mark in (*left, *reversed(right)):
        x, length = scale.x(mark.at_us), LETTER * len(mark.text) + LETTER
        flip = x > middle
        low, high = (x - length, x) if flip else (x, x + length)
        free = [row for row, taken in enumerate(rows) if all(high <= start or low >= end for start, end in taken)]
        # Where three rows are not enough, the line stands without its label; the history below has them all.
        row = free[0] if free else LABEL_ROWS - 1
        if free:
            rows[row].append((low, high))
        placed.append(Line(x, row, mark.text if free else "", mark.tone, flip))
    return tuple(sorted(placed, key=lambda line: line.x))


def _merged(marks: Sequence[Mark], scale: Scale) -> list[Mark]:
    """Make one of marks that would be drawn as one line."""
    merged: list[Mark] = []
    for mark in marks:
        last = merged[-1] if merged else None
        if last is not None and scale.x(mark.at_us) - scale.x(last.at_us) < LETTER:
            merged[-1] = Mark(last.at_us, f"{last.text}, {mark.text}", mark.tone)
        else:
            merged.append(mark)
    return merged

"""Two baselines side by side, column by column: what was normal, and what would be."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.console import words
from service.detect.baselines import BaselineView, ColumnView

QUANTILES = ((0.05, "5 %"), (0.25, "25 %"), (0.5, "median"), (0.75, "75 %"), (0.95, "95 %"))
CATEGORIES_SHOWN = 12
SPECIAL = ("missing", "invalid")
LARGEST, DIGITS_MAX = 1e9, 6
OUTER = frozenset({"below", "above", "between", *SPECIAL})
CATEGORICAL_SPECIAL = 4
"""The last bins of a categorical column: other, unseen, missing, invalid."""
_BIN = re.compile(r"\[(\S+), (\S+)[)\]]")


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of a column, in both baselines."""

    label: str
    before: str
    after: str
    differs: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedColumn:
    """One column of both."""

    name: str
    kind: str
    said: str
    """What the comparison at its arrival found; empty for what does not differ much."""
    lines: tuple[Line, ...]
    lines_left: int


def compared_names(before: BaselineView, after: BaselineView, said: Mapping[str, str]) -> Sequence[str]:
    """Return the columns that both have: those that differ first, as the comparison found them."""
    old, new = ({column.name for column in view.columns} for view in (before, after))
    both = [column.name for column in before.columns if column.name in new]
    return [name for name in said if name in old & new] + [name for name in both if name not in said]


def compared_columns(
    before: BaselineView, after: BaselineView, said: Mapping[str, str], names: Sequence[str]
) -> tuple[ComparedColumn, ...]:
    """Lay some columns of two baselines side by side."""
    old, new = ({column.name: column for column in view.columns} for view in (before, after))
    return tuple(_column(old[name], new[name], said.get(name, "")) for name in names)


def _column(before: ColumnView, after: ColumnView, said: str) -> ComparedColumn:
    numeric = before.kind == after.kind == "numeric"
    lines = _numeric(before, after) if numeric else _categorical(before, after)
    return ComparedColumn(
        name=after.name,
        kind=after.kind,
        said=said,
        lines=tuple(lines[:CATEGORIES_SHOWN]),
        lines_left=max(0, len(lines) - CATEGORIES_SHOWN),
    )


def _numeric(before: ColumnView, after: ColumnView) -> list[Line]:
    old, new = quantiles(before), quantiles(after)
    lines = []
    if old and new:
        spread = abs(old[-1] - old[0]) or abs(old[2]) or 1.0
        digits = 2 - math.floor(math.log10(spread))
        for (_, label), was, now in zip(QUANTILES, old, new, strict=True):
            lines.append(Line(label, _decimal(was, digits), _decimal(now, digits), abs(now - was) > spread / 20))
    shares = [(name, _share(before, name), _share(after, name)) for name in SPECIAL]
    lines += [_shares(name, was, now) for name, was, now in shares if was or now]
    return lines


def _decimal(value: float, digits: int) -> str:
    """Write a number with the digits that its column's spread leaves worth reading."""
    if abs(value) >= LARGEST or digits > DIGITS_MAX:
        return words.number(value)
    return f"{round(value, digits) + 0.0:,.{max(0, digits)}f}"


def quantiles(column: ColumnView) -> list[float]:
    """Return the quantiles of a numeric column, between the ends of its bins on straight lines; nothing of no bins."""
    ends = []
    for label, number in zip(column.bins, column.counts, strict=True):
        if label in OUTER:
            continue
        found = _BIN.fullmatch(label)
        try:
            low, high = (float(found[1]), float(found[2])) if found else (float(label), float(label))
        except ValueError:
            return []
        ends.append((low, high, number))
    whole = sum(number for _, _, number in ends)
    return [_at(ends, share * whole) for share, _ in QUANTILES] if whole else []


def _at(ends: Sequence[tuple[float, float, int]], place: float) -> float:
    for low, high, number in ends:
        if number and place <= number:
            return low + (high - low) * place / number
        place -= number
    return ends[-1][1]


def _categorical(before: ColumnView, after: ColumnView) -> list[Line]:
    old, new = _named(before), _named(after)
    names = sorted(old.keys() | new.keys(), key=lambda name: (-abs(new.get(name, 0.0) - old.get(name, 0.0)), name))
    return [_shares(name, old.get(name, 0.0), new.get(name, 0.0)) for name in names if old.get(name) or new.get(name)]


def _named(column: ColumnView) -> dict[str, float]:
    """Return the share of each category; the special bins have names that no category takes from them."""
    whole = max(1, sum(column.counts))
    places = len(column.bins) - CATEGORICAL_SPECIAL if column.kind != "numeric" else len(column.bins)
    return {
        label if place < places else f"({label})": number / whole
        for place, (label, number) in enumerate(zip(column.bins, column.counts, strict=True))
    }


def _share(column: ColumnView, label: str) -> float:
    whole = max(1, sum(column.counts))
    return sum(number for name, number in zip(column.bins, column.counts, strict=True) if name == label) / whole


def _shares(label: str, was: float, now: float) -> Line:
    return Line(label, f"{100 * was:.1f}%", f"{100 * now:.1f}%", abs(now - was) >= 0.02)  # noqa: PLR2004 - two of a hundred rows

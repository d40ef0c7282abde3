"""Odd values of a version's columns: missing, invalid, unseen and out of range, against the baseline."""

from collections.abc import Iterator
from dataclasses import dataclass

from service.console.facts import Current, Facts
from service.console.histograms import special_places
from service.console.window import window_sentence
from service.detect.baselines import BaselineView, ColumnView, inflation_of, share_limits

ROWS_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRow:
    """One kind of odd value in one column; shares between 0 and 1."""

    column: str
    kind: str
    baseline: float
    current: float
    limits: tuple[float, float]
    """Between which the true current share lies, 95 of 100 times."""
    worse: bool
    """The interval of the current share lies above that of the baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualitySection:
    """The section; without rows everything is as it should be."""

    text: str
    rows: tuple[QualityRow, ...]
    rows_left: int


SHOWN_FROM = 0.001
"""A smaller share, before and now, is counted and not listed."""


@dataclass(frozen=True, slots=True)
class _Odd:
    column: ColumnView
    place: int
    baseline: float
    rows: int
    """Of the reference, that have it."""
    hits: int
    events: int

    @property
    def current(self) -> float:
        return self.hits / self.events

    @property
    def listed(self) -> bool:
        return max(self.baseline, self.current) >= SHOWN_FROM


def quality_section(facts: Facts) -> QualitySection | None:
    """Decide what the page shows; ``None`` while there is nothing to compare."""
    view, current = facts.baseline, facts.current
    if view is None or current is None:
        return None
    found = sorted(_odd(view, current), key=lambda one: one.baseline - one.current)
    odd = [one for one in found if one.listed]
    sentence = window_sentence(facts, current)
    if not odd:
        text = f"No column has 0.1% or more missing, invalid, unseen or out-of-range values in {sentence}."
    else:
        text = f"In {sentence}, against the baseline; the largest increase first."
    return QualitySection(
        text=text,
        rows=tuple(_row(view, one) for one in odd[:ROWS_SHOWN]),
        rows_left=max(0, len(odd) - ROWS_SHOWN),
    )


def _odd(view: BaselineView, current: Current) -> Iterator[_Odd]:
    for column in view.columns:
        counts = current.counts[column.place]
        events, rows = int(counts.sum()), sum(column.counts)
        if not events:
            continue
        for place in special_places(column):
            if column.counts[place] or counts[place]:
                known = column.counts[place]
                yield _Odd(column, place, known / max(rows, 1), known, int(counts[place]), events)


def _row(view: BaselineView, one: _Odd) -> QualityRow:
    name, inflation = one.column.name, inflation_of(view, one.column.name)
    (limits,) = share_limits([one.hits], one.events, inflation)
    ((_, usual),) = share_limits([one.rows], max(sum(one.column.counts), 1), inflation)
    return QualityRow(
        column=name,
        kind=one.column.bins[one.place],
        baseline=one.baseline,
        current=one.current,
        limits=limits,
        worse=limits[0] > usual,
    )

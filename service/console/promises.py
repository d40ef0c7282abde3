"""What the baseline can promise, in words: for the page of a version, folded so that it does not get in the way."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.console import words
from service.domain.calibration import Calibration, ColumnCalibration, Tolerance
from service.domain.policy import Policy

COLUMNS_SHOWN = 40
LINES_SHOWN = 10
"""Of a column; directions that tolerate the same for the same reason share a line."""
NAMES_SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnPromise:
    """What one column tolerates."""

    name: str
    summary: str
    why: str
    season: str | None
    insufficient: str | None
    lines: tuple[str, ...]
    lines_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What the baseline as a whole can promise, and what each column tolerates."""

    tone: str
    text: str
    self_test: str
    self_test_tone: str
    outdated: bool
    notes: tuple[str, ...]
    columns: tuple[ColumnPromise, ...]
    columns_left: int


def promise_of(calibration: Calibration | None, policy: Policy) -> Promise | None:
    """Decide what the page says; ``None`` when it was not worked out."""
    if calibration is None:
        return None
    missing, tested = calibration.insufficient, calibration.self_test
    return Promise(
        tone="plain" if missing is None else "warn",
        text=f"It supports the promise of {words.budget_sentence(policy.budget)}."
        if missing is None
        else f"It cannot support a promise, so nothing raises an alert: {missing}.",
        self_test=f"{tested.text[:1].upper()}{tested.text[1:]}.",
        self_test_tone="warn" if len(tested.alarms) > max(1.0, tested.allowed) else "plain",
        outdated=not calibration.holds_under(policy),
        notes=tuple(f"{note.at}: {note.reason}" for note in calibration.notes),
        columns=tuple(map(_column, calibration.columns[:COLUMNS_SHOWN])),
        columns_left=max(0, len(calibration.columns) - COLUMNS_SHOWN),
    )


def _column(column: ColumnCalibration) -> ColumnPromise:
    lines = _lines(column.tolerances) if column.share else ()
    worth = f"its rows are worth {column.independent_rows:,.0f} independent ones"
    return ColumnPromise(
        name=column.name,
        summary=f"{100 * column.share:.3g} % of the budget, {worth}" if column.share else "ignored by the policy",
        why=f"{column.why[:1].upper()}{column.why[1:]}.",
        season=column.season and f"{column.season[:1].upper()}{column.season[1:]}.",
        insufficient=column.insufficient,
        lines=lines[:LINES_SHOWN],
        lines_left=max(0, len(lines) - LINES_SHOWN) + column.left_out,
    )


def _lines(tolerances: Sequence[Tolerance]) -> tuple[str, ...]:
    """Put directions that may move equally far for the same reason into one line, as 'mean up, mean down: may move'."""
    said: dict[str, list[str]] = {}
    for tolerance in tolerances:
        said.setdefault(tolerance.text.removeprefix(f"{tolerance.direction}: "), []).append(tolerance.direction)
    return tuple(f"{_named(names)}: {rest}" for rest, names in said.items())


def _named(names: Sequence[str]) -> str:
    left = len(names) - NAMES_SHOWN
    shown = ", ".join(names[:NAMES_SHOWN])
    return f"{shown} and {left} more" if left > 0 else shown

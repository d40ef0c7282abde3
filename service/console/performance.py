"""How well answers agree with their labels, on the page of a version: figures beside those of the reference."""

from collections.abc import Iterator
from dataclasses import dataclass

from service.console import words
from service.console.facts import Facts
from service.domain.performance import TOTAL, FiguresSeen, PerformanceSeen, Share, WindowSeen

SHOWN = ("1d", "7d", TOTAL)
NAMES = {"1h": "last hour", "1d": "last day", "7d": "last 7 days", TOTAL: "all labels"}
CLASSES_SHOWN = 6
"""In the table of confusion; the others are one more row and column."""
NOTHING = "-"


Cell = tuple[str, str]
"""A figure, and the limits between which the true one lies, if there are any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureRow:
    """One figure over the windows, and of the reference."""

    name: str
    values: tuple[Cell, ...]
    baseline: Cell
    worse: bool
    """The limits of the newest window lie beyond those of the reference, the worse way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfusionRow:
    """One true class."""

    name: str
    cells: tuple[tuple[str, str, bool], ...]
    """Number, share of the row, and whether the answer was right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformanceSection:
    """The section."""

    text: str
    notes: tuple[str, ...]
    windows: tuple[str, ...]
    rows: tuple[FigureRow, ...]
    classes: tuple[str, ...]
    confusion: tuple[ConfusionRow, ...]
    confusion_of: str


def performance_section(facts: Facts) -> PerformanceSection | None:
    """Decide what the page shows; ``None`` while no label has come, and none is awaited as the reference has some."""
    seen = facts.status.performance
    if seen is None or not (_labels_came(seen) or seen.baseline is not None):
        return None
    windows = _told_apart(seen)
    names, table = _collapsed(windows[0][1].figures) if windows else ([], [])
    return PerformanceSection(
        text=_text(seen, windows),
        notes=tuple(_notes(seen)),
        windows=tuple(f"{NAMES[name]}: {window.figures.answers:,}" for name, window in windows),
        rows=tuple(_rows(seen, [window.figures for _, window in windows])),
        classes=tuple(names),
        confusion=tuple(_confusion(names, table)),
        confusion_of=NAMES[windows[0][0]] if windows else "",
    )


def _labels_came(seen: PerformanceSeen) -> bool:
    return bool(seen.joined or seen.late or seen.unknown or seen.waiting or seen.unfit)


def _told_apart(seen: PerformanceSeen) -> list[tuple[str, WindowSeen]]:
    """Return the windows that say more than the shorter ones before them; one that holds all labels is called so."""
    found: list[tuple[str, WindowSeen]] = []
    for name in SHOWN:
        window = seen.windows.get(name)
        if window is not None and not (found and found[-1][1].figures.answers == window.figures.answers):
            found.append((name, window))
    return found


def _text(seen: PerformanceSeen, windows: list[tuple[str, WindowSeen]]) -> str:
    if not _labels_came(seen):
        return (
            "No label has come yet. The reference has labels: once some come for this version's events, its "
            "answers are compared with them."
        )
    if not windows:
        return "Labels have come, and none of them met an answer that is remembered."
    newest = windows[0][1]
    delay = ""
    if newest.delay_median_seconds is not None and newest.delay_p95_seconds is not None:
        median, most = (_duration(s) for s in (newest.delay_median_seconds, newest.delay_p95_seconds))
        delay = f" A label comes {median} after its answer (median); 95 of 100 within {most}."
    share = f"{seen.labelled / seen.remembered:.1%}" if seen.remembered else "none"
    return (
        f"{seen.joined:,} labels have met their answer; of the latest {seen.remembered:,} answers {share} have one."
        f"{delay}"
    )


def _notes(seen: PerformanceSeen) -> Iterator[str]:
    if seen.lacking is not None:
        yield f"Not bet on: {seen.lacking}."
    lost = [
        (seen.late, "came after their answer was forgotten"),
        (seen.unknown, "are about no event that is known"),
        (seen.repeated, "came for answers that had one already"),
        (seen.unfit, "are no numbers"),
        (seen.waiting, "wait for their event"),
    ]
    told = [f"{number:,} {what}" for number, what in lost if number]
    if told:
        yield f"Of other labels {', '.join(told)}."


def _rows(seen: PerformanceSeen, windows: list[FiguresSeen]) -> Iterator[FigureRow]:
    known = windows if seen.baseline is None else [*windows, seen.baseline]
    for name, label in (
        ("wrong", "Wrong answers"),
        ("mae", "Mean absolute error"),
        ("bias", "Mean error (answer less label)"),
    ):
        if any(getattr(figures, name) is not None for figures in known):
            shares = [getattr(figures, name) for figures in windows]
            usual = None if seen.baseline is None else getattr(seen.baseline, name)
            write = _percent if name == "wrong" else _number
            worse = name != "bias" and bool(windows) and _is_worse(shares[0], usual)
            yield FigureRow(name=label, values=tuple(map(write, shares)), baseline=write(usual), worse=worse)
    for name, label in (
        ("balanced_accuracy", "Balanced accuracy"),
        ("log_loss", "Log loss"),
        ("brier", "Brier score"),
        ("calibration_error", "Calibration error"),
        ("rmse", "Root mean squared error"),
    ):
        values = [getattr(figures, name) for figures in windows]
        if any(value is not None for value in values):
            usual = None if seen.baseline is None else getattr(seen.baseline, name)
            yield FigureRow(name=label, values=tuple(map(_plain, values)), baseline=_plain(usual), worse=False)
    yield from _class_rows(seen, windows)
    if windows and windows[0].quantiles:
        for share in ("0.5", "0.95"):
            values = [figures.quantiles.get(share) for figures in windows]
            usual = None if seen.baseline is None else seen.baseline.quantiles.get(share)
            label = f"Error of {float(share):.0%} of the answers, at most"
            yield FigureRow(name=label, values=tuple(map(_plain, values)), baseline=_plain(usual), worse=False)


def _class_rows(seen: PerformanceSeen, windows: list[FiguresSeen]) -> Iterator[FigureRow]:
    if not windows:
        return
    for row in windows[0].classes[:CLASSES_SHOWN]:
        for what in ("recall", "precision"):
            shares = [_of_class(figures, row.name, what) for figures in windows]
            usual = None if seen.baseline is None else _of_class(seen.baseline, row.name, what)
            if any(share is not None for share in shares):
                yield FigureRow(
                    name=f"{what.capitalize()} of {row.name}",
                    values=tuple(map(_percent, shares)),
                    baseline=_percent(usual),
                    worse=_is_lower(shares[0], usual),
                )


def _of_class(figures: FiguresSeen, name: str, what: str) -> Share | None:
    own = next((row for row in figures.classes if row.name == name), None)
    return None if own is None else getattr(own, what)


def _is_worse(now: Share | None, usual: Share | None) -> bool:
    return now is not None and usual is not None and now[1] > usual[2]


def _is_lower(now: Share | None, usual: Share | None) -> bool:
    return now is not None and usual is not None and now[2] < usual[1]


def _collapsed(figures: FiguresSeen) -> tuple[list[str], list[list[int]]]:
    """Return the classes that are shown and their table; where others came, they are one more row and column."""
    names = [row.name for row in figures.classes[:CLASSES_SHOWN]]
    shown = len(names)
    wide = [[*row[:shown], sum(row[shown:])] for row in figures.confusion]
    rest = [sum(column) for column in zip(*wide[shown:], strict=True)]
    if any(rest) or any(row[shown] for row in wide[:shown]):
        return [*names, "other"], [*wide[:shown], rest]
    return names, [row[:shown] for row in wide[:shown]]


def _confusion(names: list[str], table: list[list[int]]) -> Iterator[ConfusionRow]:
    for place, (name, row) in enumerate(zip(names, table, strict=True)):
        whole = max(1, sum(row))
        right = place < CLASSES_SHOWN
        cells = tuple((f"{n:,}", f"{n / whole:.0%}", right and i == place) for i, n in enumerate(row))
        yield ConfusionRow(name=name, cells=cells)


def _duration(seconds: float) -> str:
    return "less than a second" if seconds < 1 else words.duration(seconds)


def _percent(share: Share | None) -> Cell:
    return (NOTHING, "") if share is None else (f"{share[0]:.1%}", f"{share[1]:.1%} to {share[2]:.1%}")


def _number(share: Share | None) -> Cell:
    if share is None:
        return NOTHING, ""
    return words.number(share[0]), f"{words.number(share[1])} to {words.number(share[2])}"


def _plain(value: float | None) -> Cell:
    return (NOTHING if value is None else words.number(value)), ""

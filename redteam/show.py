"""A run's summary for people: on a terminal, or as Markdown."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from redteam.report import AttackRow, ScenarioRow, Summary, head_text, number_text, rate_text, tiers_text

if TYPE_CHECKING:
    from rich.console import Console

ATTACK_COLUMNS = (
    "victim",
    "attack",
    "ATLAS",
    "sessions",
    "successes",
    "seen in time",
    "by intent",
    "queries to alarm",
    "tiers",
)
BENIGN_COLUMNS = ("victim", "workload", "kind", "sessions", "alarmed", "tiers")
SCENARIO_COLUMNS = ("scenario", "STRIDE", "ids", "expected", "outcome", "checks", "evidence")
BLIND_COLUMNS = ("victim", "attack", "seen in time", "ATLAS")
WIDTH = 160
"""Where there is no terminal that has one."""
NO_SPOT = "No attack of this run that succeeds was seen in time in less than half of its successes."
ALL_HELD = "Every defence of the service that was tried held."
NO_SUCCESS = "No success, so nothing is said of being seen in time: "
WRONGED = "Benign clients are wronged, so that being seen in time is worth less than it looks: "
FOR_PEOPLE = "a new baseline is compared with the old one, and accepted by a person; no request tells"


def attack_cells(row: AttackRow) -> tuple[str, ...]:
    """Return the cells of an attack."""
    return (
        row.victim,
        row.attack,
        ", ".join(one.id for one in row.techniques),
        str(row.sessions) + (f" ({row.errors} broken)" if row.errors else ""),
        str(row.successes),
        rate_text(row.timely),
        rate_text(row.by_intent),
        number_text(row.queries_median),
        tiers_text(row.tiers, row.campaigns),
    )


def blind_cells(row: AttackRow) -> tuple[str, ...]:
    """Return the cells of a blind spot."""
    named = "; ".join(f"{one.id} {one.name}".strip() for one in row.techniques)
    return (row.victim, row.title, rate_text(row.timely), f"{named} ({FOR_PEOPLE})" if row.for_people else named)


def scenario_cells(row: ScenarioRow) -> tuple[str, ...]:
    """Return the cells of a scenario; the evidence is what did not hold, or the first thing that did."""
    held = [row.evidence[0]] if row.evidence and not row.failed else []
    return (
        row.scenario,
        ", ".join(row.stride),
        ", ".join(one.id for one in row.techniques),
        row.defence,
        row.outcome,
        f"{row.checks - row.failed} of {row.checks} held",
        "; ".join([row.error] if row.error else [*row.evidence[: row.failed], *held]),
    )


def broken_cells(row: ScenarioRow) -> tuple[str, ...]:
    """Return the cells of a broken defence among the blind spots."""
    named = "; ".join(f"{one.id} {one.name}".strip() for one in row.techniques)
    return ("service", row.title, f"{row.failed} of {row.checks} defences broken", named)


def benign_cells(summary: Summary) -> list[tuple[str, ...]]:
    """Return the rows of the benign workloads."""
    return [
        (
            row.victim,
            row.workload,
            row.kind,
            str(row.sessions) + (f" ({row.errors} broken)" if row.errors else ""),
            rate_text(row.alarmed),
            tiers_text(row.tiers),
        )
        for row in summary.benign
    ]


def notes(summary: Summary) -> list[str]:
    """Return what else is to be said."""
    silent = sorted({row.attack for row in summary.attacks if not row.successes})
    found = [NO_SUCCESS + ", ".join(silent) + "."] if silent else []
    wronged = [f"{row.workload} on {row.victim}" for row in summary.benign if row.wronged]
    if wronged:
        found.append(WRONGED + ", ".join(wronged) + ".")
    if summary.scenarios and all(row.outcome == "held" for row in summary.scenarios):
        found.append(ALL_HELD)
    if summary.skipped:
        found.append("Not run: " + ", ".join(f"{name} does not fit {victim}" for victim, name in summary.skipped) + ".")
    found += [f"Broken off by: {text}" for text in summary.errors]
    if not summary.complete:
        found.append("Not all sessions are done; the same command goes on.")
    return found


def blind_rows(summary: Summary) -> list[tuple[str, ...]]:
    """Return the cells of what is not seen in time, and of the defences that do not hold."""
    blind = [blind_cells(row) for row in summary.attacks if row.blind]
    return blind + [broken_cells(row) for row in summary.scenarios if row.broken]


def print_report(summary: Summary, *, width: int | None = None) -> None:
    """Print the tables on the terminal, blind spots in red."""
    from rich.console import Console
    from rich.text import Text

    console = Console(width=width)
    if width is None and not console.is_terminal:
        console = Console(width=WIDTH)

    console.print(Text(head_text(summary)))
    if summary.attacks:
        attacks = [(attack_cells(row), "red" if row.blind else "") for row in summary.attacks]
        _print_table(console, "Attacks", ATTACK_COLUMNS, attacks)
    if summary.benign:
        styles = ["yellow" if row.wronged else "" for row in summary.benign]
        _print_table(console, "Benign clients", BENIGN_COLUMNS, list(zip(benign_cells(summary), styles, strict=True)))
    if summary.scenarios:
        scenes = [(scenario_cells(row), "red" if row.broken else "") for row in summary.scenarios]
        _print_table(console, "Scenarios", SCENARIO_COLUMNS, scenes)
    blind = [(cells, "red") for cells in blind_rows(summary)]
    if blind:
        _print_table(console, "Blind spots", BLIND_COLUMNS, blind)
    elif summary.attacks:
        console.print(Text(NO_SPOT))
    for note in notes(summary):
        console.print(Text(note))


def _print_table(
    console: "Console", title: str, columns: Sequence[str], rows: Sequence[tuple[Sequence[str], str]]
) -> None:
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=title, title_justify="left")
    for column in columns:
        shown.add_column(column, overflow="fold")
    for cells, style in rows:
        # As text: titles may hold brackets, which rich would take for its own markup.
        shown.add_row(*(Text(cell) for cell in cells), style=style)
    console.print(shown)


def markdown(summary: Summary) -> str:
    """Return the report as Markdown; a red square stands before each blind spot."""
    parts = [f"{head_text(summary).capitalize()}.", ""]
    if summary.attacks:
        rows = [_marked(attack_cells(row), blind=row.blind) for row in summary.attacks]
        parts += [*_table(ATTACK_COLUMNS, rows), ""]
    if summary.benign:
        parts += [*_table(BENIGN_COLUMNS, benign_cells(summary)), ""]
    if summary.scenarios:
        scenes = [_first_marked(scenario_cells(row), broken=row.broken) for row in summary.scenarios]
        parts += [*_table(SCENARIO_COLUMNS, scenes), ""]
    blind = [_marked(cells, blind=True) for cells in blind_rows(summary)]
    if blind:
        parts += ["Blind spots:", "", *_table(BLIND_COLUMNS, blind), ""]
    elif summary.attacks:
        parts += [NO_SPOT, ""]
    parts += [f"* {note}" for note in notes(summary)]
    return "\n".join(parts).rstrip() + "\n"


def _marked(cells: Sequence[str], *, blind: bool) -> tuple[str, ...]:
    return (cells[0], f"\N{LARGE RED SQUARE} {cells[1]}" if blind else cells[1], *cells[2:])


def _first_marked(cells: Sequence[str], *, broken: bool) -> tuple[str, ...]:
    return (f"\N{LARGE RED SQUARE} {cells[0]}" if broken else cells[0], *cells[1:])


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines]

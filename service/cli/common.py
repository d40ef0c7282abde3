"""Options and output that commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

if TYPE_CHECKING:
    from service.settings import Settings
    from service.store import Store

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where the data is; also LAZARETTO_DATA_DIR.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def load_settings(**given: Any) -> "Settings":
    """Return the settings; what was given on the command line wins."""
    from service.settings import Settings

    return Settings(**{name: value for name, value in given.items() if value is not None})


def open_state(settings: "Settings") -> "Store":
    """Open the state store of the data directory; a fresh one gets its tables."""
    from service.store import open_store

    settings.data_dir.mkdir(parents=True, exist_ok=True)
    return open_store(settings.state_url, timeout_seconds=settings.store_timeout_seconds)


def print_json(content: Any) -> None:
    """Print one JSON object on one line."""
    typer.echo(msgspec.json.encode(content).decode())


def plain(text: str) -> str:
    """Return a text that a terminal shows and does not obey."""
    return "".join(
        sign if sign.isprintable() else " " if sign.isspace() else "\N{REPLACEMENT CHARACTER}" for sign in text
    )


WIDTH = 160
WHOLE = frozenset({"since", "state", "time", "attack", "workload", "scenario"})
"""Columns that are never broken into lines."""


def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for column in columns:
        # A time or a state that is cut in two is hard to read; a reason may take several lines.
        table.add_column(column, overflow="fold", no_wrap=column in WHOLE)
    for row in rows:
        # As text: names and reasons may hold brackets, which rich would take for its own markup.
        table.add_row(*(Text(plain(cell)) for cell in row))
    console = Console()
    # Where there is no terminal, such as in a pipe, nobody has said how wide a line may be.
    (console if console.is_terminal else Console(width=WIDTH)).print(table)

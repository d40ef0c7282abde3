"""How far a replay is, on a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from service.replay.engine import Report
from service.replay.sources import Format, ReplayError, open_source


@contextmanager
def shown(file: Path, err: TextIO, *, wanted: bool) -> Iterator[Report | None]:
    """Show bars on ``err`` while the block runs, when it is a terminal; they vanish at the end."""
    if not (wanted and err.isatty()):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} rows"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    total = rows_of(file)
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(file=err), transient=True) as bars:

        def report(what: str, rows: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.advance(tasks[what], rows)

        yield report


def rows_of(file: Path) -> int | None:
    """Return how many rows a file has where that costs nothing: Parquet says it, of others nobody knows."""
    from pyarrow import ArrowException, parquet

    try:
        source = open_source(file)
        if source.format is not Format.PARQUET or source.gzip:
            return None
        return int(parquet.read_metadata(str(file)).num_rows)
    except (OSError, ArrowException, ReplayError):
        return None

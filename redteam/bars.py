"""Progress on a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from redteam.run import Told


@contextmanager
def bars(*, shown: bool) -> Iterator[Told]:
    """Yield what a run tells its progress to: a bar on standard error where that is a terminal, or nobody."""
    if not shown:
        yield lambda _done, _total, _key: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("making ready", total=None)

        def told(done: int, total: int, key: str) -> None:
            # No markup of a victim's name: it may hold brackets.
            progress.update(bar, completed=done, total=total, description=key.replace("[", "(") or "done")

        yield told

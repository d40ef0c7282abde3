"""``lazaretto replay``."""

import csv
from pathlib import Path
from typing import TextIO

from service.replay.engine import ReplayOptions, replay_file
from service.replay.render import render_json, render_text
from service.replay.sources import ReplayError

BAD_INPUT = 2
"""Exit code when the input cannot be replayed. Alarms are a result, not an error: they exit 0."""


def replay_command(  # noqa: PLR0913 - one argument per option of the command line
    file: Path,
    baseline: Path,
    *,
    tick_rows: int,
    budget: float,
    columns: str | None,
    ignore: str | None,
    as_json: bool,
    out: TextIO,
    err: TextIO,
) -> int:
    """Replay a file and print the result; return the exit code.

    Parameters
    ----------
    file : Path
        What to replay.
    baseline : Path
        Reference data, or a saved baseline.
    tick_rows : int
        Rows in a tick.
    budget : float
        The promised mean number of ticks between false alarms.
    columns, ignore : str or None
        Column names with commas between them; a name with a comma goes in double quotes.
    as_json : bool
        Print one JSON object instead of text.
    out, err : TextIO
        Where the result goes, and where a message about bad input goes.
    """
    try:
        options = ReplayOptions(
            tick_rows=tick_rows,
            budget=budget,
            columns=_split(columns, "--columns"),
            ignore=_split(ignore, "--ignore") or (),
        )
        result = replay_file(file, baseline, options)
    except ReplayError as error:
        print(f"lazaretto replay: {error}", file=err)
        return BAD_INPUT
    print(render_json(result) if as_json else render_text(result), file=out)
    return 0


def _split(text: str | None, option: str) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = tuple(name.strip() for name in next(csv.reader([text], skipinitialspace=True), []))
    if not names or not all(names):
        raise ReplayError(f"{option} {text!r}: names with commas between them are needed")
    return names

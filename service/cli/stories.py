"""``lazaretto demo`` and ``lazaretto replay``: thin words over what does the work."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from service.cli.common import AsJson, DataDir


def demo(
    port: Annotated[int | None, typer.Option("--port", help="Of the service; by default a free one.")] = None,
    data_dir: DataDir = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the images and their order.")] = 0,
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Unattended: exit 0 only if everything went as it should.")
    ] = False,
) -> None:
    """Watch a real model drift, be quarantined, and be released."""
    from service.demo.command import demo_command

    raise typer.Exit(demo_command(check=check, port=port, data_dir=data_dir, seed=seed))


def replay(  # noqa: PLR0913 - one per option
    file: Annotated[Path, typer.Argument(help="CSV, NDJSON, Parquet or Arrow; gzip too.")],
    baseline: Annotated[Path, typer.Option("--baseline", help="Reference data, or a saved baseline.")],
    tick_rows: Annotated[int, typer.Option("--tick-rows", min=1, help="Rows in a tick.")] = 1,
    budget: Annotated[
        float, typer.Option("--budget", min=1, help="Promised mean number of ticks between false alarms.")
    ] = 100_000,
    columns: Annotated[
        str | None, typer.Option("--columns", help="Only these; by default all that both share.")
    ] = None,
    ignore: Annotated[str | None, typer.Option("--ignore", help="Not these.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Run a file through the same detectors, without a server."""
    from service.replay.command import replay_command

    code = replay_command(
        file,
        baseline,
        tick_rows=tick_rows,
        budget=budget,
        columns=columns,
        ignore=ignore,
        as_json=as_json,
        out=sys.stdout,
        err=sys.stderr,
    )
    raise typer.Exit(code)

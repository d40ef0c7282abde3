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


SegmentsAsked = Annotated[
    str | None, typer.Option("--segments", metavar="COLUMN[=A,B]", help="Parts of the rows with evidence of their own.")
]


def replay(  # noqa: PLR0913 - one per option
    file: Annotated[Path, typer.Argument(help="CSV, NDJSON, Parquet or Arrow; gzip too.")],
    baseline: Annotated[Path, typer.Option("--baseline", help="Reference data, or a saved baseline.")],
    *,
    tick_rows: Annotated[int | None, typer.Option("--tick-rows", min=1, help="Rows in a tick; default 1.")] = None,
    budget: Annotated[
        float | None,
        typer.Option("--budget", min=1, help="Promised mean number of ticks between false alarms; default 100000."),
    ] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", help="Only these; by default all that both share.")
    ] = None,
    ignore: Annotated[str | None, typer.Option("--ignore", help="Not these.")] = None,
    time: Annotated[
        str | None, typer.Option("--time", metavar="COLUMN", help="Ticks are stretches of its times, not rows.")
    ] = None,
    tick: Annotated[
        str | None, typer.Option("--tick", metavar="LENGTH", help="Of a tick of --time, as 60s or 1h; default 1s.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="TOML with a model's policy: shows which pages it would send.")
    ] = None,
    current: Annotated[
        Path | None, typer.Option("--current", help="What --policy is compared with; by default the default policy.")
    ] = None,
    segments: SegmentsAsked = None,
    no_calibration: Annotated[
        bool, typer.Option("--no-calibration", help="For comparison: take rows for independent of each other.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a file through the same detectors, without a server."""
    from service.replay.command import Asked, replay_command

    asked = Asked(
        file=file,
        baseline=baseline,
        tick_rows=tick_rows,
        budget=budget,
        columns=columns,
        ignore=ignore,
        time=time,
        tick=tick,
        policy=policy,
        current=current,
        calibrate=not no_calibration,
        segments=segments,
    )
    raise typer.Exit(replay_command(asked, as_json=as_json, out=sys.stdout, err=sys.stderr))

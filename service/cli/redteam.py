"""``lazaretto redteam``: attacks that run against a model, and what the monitor saw of them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.common import AsJson, print_json, print_table

if TYPE_CHECKING:
    from datetime import datetime

    from redteam.lazaretto import Monitor
    from redteam.plan import Plan
    from redteam.report import Summary
    from redteam.run import Run

app = typer.Typer(no_args_is_help=True)

NEEDED = ("art", "sklearn")
URL_NAME, KEY_NAME = "LAZARETTO_URL", "LAZARETTO_API_KEY"
TIMEOUT_SECONDS = 60.0
BROKEN_OFF = 130
HURRY = 2
"""The so-manieth signal is taken for the one before it, sent once more."""

PlanFile = Annotated[Path, typer.Option("--plan", help="What to run, TOML.")]
Output = Annotated[Path | None, typer.Option("--output", help="Folder of the results instead of the plan's.")]


@app.command()
def run(  # noqa: PLR0913, PLR0917 - one per option
    plan: PlanFile,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Instead of the plan's.")] = None,
    output: Output = None,
    scope: Annotated[
        Path | None, typer.Option("--scope", help="Who has signed off targets that are not this machine, TOML.")
    ] = None,
    url: Annotated[
        str | None, typer.Option("--url", envvar=URL_NAME, help="A running Lazaretto; by default one is started.")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", envvar=KEY_NAME, help="For --url; needs every scope.")] = None,
    file_under: Annotated[
        str | None, typer.Option("--file-under", metavar="MODEL/VERSION", help="Of --url: file the results there too.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Attack the victims of a plan, and tell what a Lazaretto saw of it; run again to go on."""
    require_extra()
    from redteam.bars import bars
    from redteam.problems import Stopped
    from redteam.run import open_run
    from service.cli.failures import Failure

    kept = output
    if file_under is not None and (url is None or "/" not in file_under):
        raise Failure("--file-under takes MODEL/VERSION of the Lazaretto that --url names")
    try:
        chosen = _plan(plan, seed, output)
        kept = Path(chosen.output)
        _check_targets(chosen, url, scope)
        with _heeding(), _monitor(url, key, chosen.requests_per_second) as (monitor, folder):
            _tidy(monitor, chosen, anew=url is not None)
            with bars(shown=not as_json) as told, open_run(chosen, monitor, told, folder) as running:
                try:
                    running.go()
                finally:
                    if url is not None:
                        running.leave()
            summary = _summary(kept)
            if url is not None:
                _file(monitor, running, file_under, summary)
    except Stopped as error:
        raise Failure(str(error)) from error
    except KeyboardInterrupt:
        typer.echo(f"Broken off. What is done is in {kept or 'the output folder'}; the same command goes on.", err=True)
        raise typer.Exit(BROKEN_OFF) from None
    _show(summary, as_json=as_json)


@app.command()
def clean(
    url: Annotated[str, typer.Option("--url", envvar=URL_NAME, help="A running Lazaretto.")],
    key: Annotated[str, typer.Option("--key", envvar=KEY_NAME, help="Needs the scopes read, operate and admin.")],
    scope: Annotated[Path | None, typer.Option("--scope", help="As of run.")] = None,
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Also models of runs that may be at work, and of earlier releases.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Retire what runs have left that were killed; every run against a running Lazaretto begins with it."""
    from redteam.leftovers import sweep
    from redteam.problems import Stopped
    from service.cli.failures import Failure

    try:
        _refuse_strangers([("--url", url)], scope)
        with _monitor(url, key, 1.0) as (monitor, _):
            swept = sweep(monitor.ask, _now(), every=every)
    except Stopped as error:
        raise Failure(str(error)) from error
    if as_json:
        print_json({"retired": swept.retired, "failed": swept.failed, "cut": swept.cut})
    else:
        typer.echo(f"Retired: {', '.join(swept.retired) or 'nothing was left over'}")
    if swept.cut:
        typer.echo("there are more models than a list holds: some were not looked at", err=True)
    if swept.failed:
        raise Failure(f"not retired: {', '.join(swept.failed)}")


@app.command("list")
def list_known(*, as_json: AsJson = False) -> None:
    """List the attacks, the benign workloads and the scenarios that a plan may name."""
    from redteam.attacks import ATTACKS
    from redteam.benign import WORKLOADS
    from redteam.plan import VICTIMS
    from redteam.scenarios import SCENARIOS

    if as_json:
        attacks = [
            {"name": a.name, "title": a.title, "family": a.family, "techniques": a.techniques, "needs": sorted(a.needs)}
            for a in ATTACKS.values()
        ]
        benign = [{"name": w.name, "title": w.title, "kind": w.kind} for w in WORKLOADS.values()]
        scenarios = [
            {
                "name": s.name,
                "title": s.title,
                "stride": s.stride,
                "ids": s.ids,
                "defence": s.defence,
                "needs": sorted(s.needs),
            }
            for s in SCENARIOS.values()
        ]
        print_json({"victims": VICTIMS, "attacks": attacks, "benign": benign, "scenarios": scenarios})
        return
    rows = [[a.name, a.title, a.family, " ".join(a.techniques), ", ".join(sorted(a.needs))] for a in ATTACKS.values()]
    print_table("Attacks", ["attack", "what", "family", "ATLAS", "needs"], rows)
    print_table(
        "Benign workloads", ["workload", "what", "kind"], [[w.name, w.title, w.kind] for w in WORKLOADS.values()]
    )
    scenes = [[s.name, s.title, ", ".join(s.stride), " ".join(s.ids), s.defence] for s in SCENARIOS.values()]
    print_table("Scenarios against the service", ["scenario", "what", "STRIDE", "ids", "expected"], scenes)
    typer.echo(f"Victims: {', '.join(VICTIMS)}, or an endpoint of your own ([victim.http]).")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Of the results of a run.")],
    *,
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown instead of text.")] = False,
) -> None:
    """Show what a run found, also one that goes on or was broken off."""
    from redteam.problems import Refused
    from service.cli.failures import Failure

    try:
        summary = _summary(folder)
    except Refused as error:
        raise Failure(str(error)) from error
    if markdown:
        from redteam.show import markdown as as_markdown

        typer.echo(as_markdown(summary), nl=False)
        return
    _show(summary, as_json=as_json)


def require_extra() -> None:
    """Raise Failure when what the red team needs is not installed."""
    from service.cli.failures import Failure

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise Failure(
            f"the red team needs more than is installed ({', '.join(missing)}): pip install 'lazaretto[redteam]'"
        )


def _plan(path: Path, seed: int | None, output: Path | None) -> "Plan":
    from dataclasses import replace

    from redteam.plan import load_plan

    plan = load_plan(path).seeded(seed)
    return plan if output is None else replace(plan, output=str(output))


def _check_targets(plan: "Plan", url: str | None, scope: Path | None) -> None:
    """Check what a plan and an option name."""
    targets = [] if plan.http is None else [("victim.http.url", plan.http.url)]
    targets += [] if url is None else [("--url", url)]
    _refuse_strangers(targets, scope)


def _refuse_strangers(targets: list[tuple[str, str]], scope: Path | None) -> None:
    """Refuse targets that are not this machine, unless somebody has signed them off."""
    from redteam.problems import Refused
    from redteam.scope import read_scope, refuse_strangers

    try:
        permissions = [] if scope is None else read_scope(scope.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"cannot read the scope file {scope}: {error}") from None
    refuse_strangers(targets, permissions, _now())


def _now() -> "datetime":
    from datetime import UTC, datetime, timedelta

    from service.clock import SystemClock

    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=SystemClock().now_us())


def _tidy(monitor: "Monitor", plan: "Plan", *, anew: bool) -> None:
    """Say when the run is over, and retire what earlier ones have left that were killed, where some may have."""
    from redteam.leftovers import end_of, sweep

    now = _now()
    monitor.ends = end_of(now, plan.seconds_max)
    if anew and (swept := sweep(monitor.ask, now)).retired:
        typer.echo(f"Retired what a run had left that was killed: {', '.join(swept.retired)}", err=True)


@contextmanager
def _heeding() -> Iterator[None]:
    """End in order when whoever started the run ends it: what was made is retired first.

    By Ctrl-C or SIGTERM; whoever sends both, or one twice as ``timeout`` does, means it once. The third one gives up.
    """
    import signal

    came = 0

    def heed(_number: int, _frame: object) -> None:
        nonlocal came
        came += 1
        if came == HURRY:
            typer.echo("Ending in order; once more ends it at once, and leaves what it made.", err=True)
            return
        raise KeyboardInterrupt

    # Who starts it so that nobody heeds Ctrl-C, as the background of a shell does, means that, too.
    heeded = [one for one in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(one) is not signal.SIG_IGN]
    before = [signal.signal(one, heed) for one in heeded]
    try:
        yield
    finally:
        for one, handler in zip(heeded, before, strict=True):
            signal.signal(one, handler)


@contextmanager
def _monitor(url: str | None, key: str | None, rate: float) -> Iterator[tuple["Monitor", Path | None]]:
    """Yield the monitor under test, the one that runs, or one of the run's own with its data directory."""
    from contextlib import ExitStack

    import httpx

    from redteam.lazaretto import Monitor
    from redteam.local import own_lazaretto
    from service.cli.failures import Failure

    if url is not None and key is None:
        raise Failure(f"a key with every scope is needed for {url}: --key or {KEY_NAME}")
    folder = None
    with ExitStack() as stack:
        if url is None:
            url, key, folder = stack.enter_context(own_lazaretto([sys.executable, "-m", "service"]))
        headers = {"authorization": f"Bearer {key}"}
        client = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False)
        yield Monitor(stack.enter_context(client), rate), folder


def _summary(folder: Path) -> "Summary":
    from redteam.records import Folder
    from redteam.report import summary_of
    from service.cli.failures import Failure
    from service.domain.atlas import atlas

    found = summary_of(Folder(folder), {one.id: one.name for one in atlas().techniques.values()})
    if found is None:
        raise Failure(f"{folder} holds no results of a red-team run")
    return found


def _file(monitor: "Monitor", running: "Run", under: str | None, summary: "Summary") -> None:
    """Put the results on record: those of each victim at its shadow, and all where they are wanted.

    Scenarios concern no victim: without one they are filed at the first model that they were tried on.
    """
    import msgspec

    for name, shadow in running.shadows.items():
        monitor.file(shadow.model, shadow.version, msgspec.to_builtins(summary.of_victim(name)))
    if not running.shadows and running.stages:
        monitor.file(running.stages[0], "1", msgspec.to_builtins(summary))
    if under is not None:
        model, _, version = under.partition("/")
        monitor.file(model, version, msgspec.to_builtins(summary))


def _show(summary: "Summary", *, as_json: bool) -> None:
    if as_json:
        print_json(summary)
        return
    from redteam.show import print_report

    print_report(summary)

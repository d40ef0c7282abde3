"""The command line. Commands import what they need when they run: ``lazaretto --help`` must not load the service."""

import os
import sys
from typing import Annotated, NoReturn

import typer

import service
from service.cli import (
    bundles,
    data,
    decide,
    drill,
    health,
    incidents,
    keys,
    models,
    notifications,
    redteam,
    serve,
    stories,
    vouch,
)

LINEAR_ALGEBRA_THREADS = "OPENBLAS_NUM_THREADS"
"""Read when numpy is first imported. Matrices are small here: threads that share one wait for each other, which gains
nothing on an idle machine and costs many times as much on a busy one; and the bits of a fit depend on their number."""


def _tell_version(asked: bool) -> None:  # noqa: FBT001 - typer's protocol
    if asked:
        typer.echo(f"lazaretto {service.__version__}")
        raise typer.Exit


app = typer.Typer(
    name="lazaretto",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def lazaretto(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Production model monitoring: telemetry in, evidence out, quarantine enforced at the gate."""


app.command("serve")(serve.serve)
app.command("api")(serve.api)
app.command("worker")(serve.worker)
app.command("demo")(stories.demo)
app.command("health")(health.health)
app.command("migrate")(serve.migrate)
app.command("doctor")(serve.doctor)
app.add_typer(keys.app, name="keys", help="Make, list and revoke API keys.")
app.add_typer(models.app, name="models", help="Look at models.")
app.add_typer(data.app, name="baseline", help="Push reference data.")
app.add_typer(bundles.app, name="bundle", help="Save and verify signed evidence of incidents.")
app.command("alert-quality")(incidents.alert_quality)
app.add_typer(notifications.app, name="notifications", help="Look at notifications, try them again, test channels.")
app.add_typer(redteam.app, name="redteam", help="Attack a model, and see what the monitor saw.")
app.command("vouch")(vouch.vouch)
app.command("status")(models.status)
app.command("decide")(decide.decide)
data.app.command("accept")(decide.accept)
data.app.command("refuse")(decide.refuse)
app.command("drill")(drill.drill)
app.command("replay")(stories.replay)


def main() -> None:
    """Run a command; an expected failure is one sentence and exit code 1."""
    from service.cli.failures import Failure, expected, sentences

    os.environ.setdefault(LINEAR_ALGEBRA_THREADS, "1")
    try:
        app()
    except SystemExit:
        raise  # how every command ends: what may have failed need not be known
    except Failure as error:
        _give_up([str(error)])
    except expected() as error:
        _give_up(sentences(error))


def _give_up(sentences: list[str]) -> NoReturn:
    for one in sentences:
        print(f"lazaretto: {one}", file=sys.stderr)  # noqa: T201 - the command line speaks
    sys.exit(1)

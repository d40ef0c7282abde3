"""The command line. Commands import what they need when they run: ``lazaretto --help`` must not load the service."""

import sys
from typing import Annotated

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
    triage,
    vouch,
)


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
app.add_typer(triage.app, name="incidents", help="Look at incidents, and act on them.")
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
    from pydantic import ValidationError

    from service.cli.failures import EXPECTED, sentence

    try:
        app()
    except ValidationError as error:
        for one in error.errors():
            where = ".".join(str(part) for part in one["loc"])
            print(f"lazaretto: setting '{where}': {one['msg']}", file=sys.stderr)  # noqa: T201 - the command line speaks
        sys.exit(1)
    except EXPECTED as error:
        print(f"lazaretto: {sentence(error)}", file=sys.stderr)  # noqa: T201 - the command line speaks
        sys.exit(1)

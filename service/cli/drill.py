"""``lazaretto drill``: whether a quarantine reaches the gateway, and how quickly."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.common import AsJson, plain, print_json

if TYPE_CHECKING:
    import httpx

    from service.drill import Report

URL_NAME, KEY_NAME, SECOND_NAME = "LAZARETTO_URL", "LAZARETTO_API_KEY", "LAZARETTO_SECOND_API_KEY"
TIMEOUT_SECONDS = 10.0
WAITS = 3
"""Exit code when all was measured and the release waits for more people."""


def drill(  # noqa: PLR0913, PLR0917 - one per option
    model: Annotated[str, typer.Argument(help="A model for drills.")],
    version: Annotated[str, typer.Argument(help="The version to quarantine; no other is touched.")],
    through: Annotated[
        str, typer.Option("--through", help="URL of an inference request for this version at the gateway.")
    ],
    key: Annotated[str, typer.Option("--key", envvar=KEY_NAME, help="May ingest, read and operate.")],
    url: Annotated[
        str, typer.Option("--url", envvar=URL_NAME, help="Of the running Lazaretto.")
    ] = "http://127.0.0.1:8080",
    second_key: Annotated[
        str | None, typer.Option("--second-key", envvar=SECOND_NAME, help="Of another person, to release with.")
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", min=1, max=3600, help="Seconds until the refusal.")] = 60.0,
    *,
    create: Annotated[
        bool, typer.Option("--create", help="Register a model for drills, if there is none of this name (needs admin).")
    ] = False,
    in_service: Annotated[
        bool, typer.Option("--in-service", help="Also a version that serves traffic: it is taken out of service.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Quarantine a version on purpose, measure how long a gateway takes to refuse, and release it again."""
    from service.cli.failures import Failure
    from service.drill import Drill, DrillFailed, Target

    target = Target(
        model=model,
        version=version,
        through=through,
        create=create,
        in_service=in_service,
        timeout_seconds=timeout,
    )
    with ExitStack() as stack:
        api = stack.enter_context(_client(url, key))
        gateway = stack.enter_context(_client(url, None))
        second = None if second_key is None else stack.enter_context(_client(url, second_key))
        try:
            report = Drill(api, gateway, second).run(target, _say_nothing if as_json else _tell)
        except DrillFailed as failure:
            raise Failure(str(failure)) from failure
    _show(report, as_json=as_json)
    if not report.released:
        raise typer.Exit(WAITS)


def _client(url: str, key: str | None) -> "httpx.Client":
    import httpx

    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False)


def _say_nothing(step: str, at: float) -> None:
    """Keep quiet: the whole report follows."""


def _tell(step: str, at: float) -> None:
    typer.echo(f"{at:9.3f} s  {step}")


def _show(report: "Report", *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "drill_id": report.drill_id,
                "model": report.target.model,
                "version": report.target.version,
                "through": report.target.through,
                "seconds_to_refusal": report.seconds_to_refusal,
                "steps": report.steps,
                "released": report.released,
                "waits_for": report.waits_for,
            }
        )
        return
    typer.echo(
        f"From the first bad event to a refusal at {plain(report.target.through)}: {report.seconds_to_refusal:.3f} s"
    )
    if report.released:
        typer.echo("Released; the drill is in the audit chain.")
    else:
        typer.echo(f"NOT released: it waits for {report.waits_for} more to approve; the drill is in the audit chain.")

"""``lazaretto serve``, ``api``, ``worker``, ``migrate`` and ``doctor``."""

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.common import AsJson, DataDir, load_settings, print_json

if TYPE_CHECKING:
    from service.cli.supervisor import Supervisor
    from service.settings import Settings

Host = Annotated[str | None, typer.Option("--host", help="Address to listen on; by default 127.0.0.1.")]
Port = Annotated[int | None, typer.Option("--port", help="Port to listen on; by default 8080, 0 takes a free one.")]


def serve(host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Run everything on this machine: the API, and a worker process beside it."""
    from service.cli.supervisor import Supervisor, worker_command, worker_environment

    settings: Settings = load_settings(host=host, port=port, data_dir=data_dir)
    supervisor = Supervisor(worker_command(), worker_environment(str(settings.data_dir)))
    _run_api(settings, supervisor)


def api(host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Run the API only; workers run elsewhere."""
    _run_api(load_settings(host=host, port=port, data_dir=data_dir), None)


def worker(
    data_dir: DataDir = None,
    *,
    until_stdin_closes: Annotated[bool, typer.Option("--until-stdin-closes", hidden=True)] = False,
) -> None:
    """Run a worker only: evidence, alerts, states, notifications."""
    from service.observability import configure_logging, log_uncaught
    from service.worker_main import run_worker

    settings = load_settings(data_dir=data_dir)
    configure_logging(settings.log_level)
    log_uncaught()
    run_worker(settings, until_stdin_closes=until_stdin_closes)


def migrate(data_dir: DataDir = None) -> None:
    """Bring the state store to the schema of this version."""
    from service.store.migrate import status, upgrade

    settings = load_settings(data_dir=data_dir)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    before = status(settings.state_url)
    upgrade(settings.state_url)
    after = status(settings.state_url)
    typer.echo("The store is current." if before is after else f"The store was {before}; now it is {after}.")


def doctor(data_dir: DataDir = None, *, as_json: AsJson = False) -> None:
    """Check everything that a working service needs, and say what is wrong in plain words."""
    from service.cli.doctor import FAILED, examine

    findings = examine(load_settings(data_dir=data_dir))
    if as_json:
        print_json({"findings": findings})
    else:
        for finding in findings:
            typer.echo(f"{finding.verdict:>6}  {finding.what}: {finding.text}")
    if any(finding.verdict == FAILED for finding in findings):
        raise typer.Exit(1)


def _run_api(settings: "Settings", supervisor: "Supervisor | None") -> None:
    from service.api.server import listen, run_server
    from service.app import create_app
    from service.cli.failures import Failure
    from service.cli.schedule import own_url, schedule_of
    from service.observability import configure_logging, log_uncaught
    from service.wiring import build_runtime

    configure_logging(settings.log_level)
    log_uncaught()
    try:
        listener = listen(settings.host, settings.port)
    except OSError as error:
        raise Failure(f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}") from error
    with listener:
        runtime = build_runtime(settings)
        schedule = schedule_of(settings, runtime, own_url(listener))
        runtime.start()
        counted = {reason: child.inc for reason, child in runtime.api.counters.connections.items()}
        with supervisor or nullcontext():
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            typer.echo(f"Lazaretto listens on http://{shown}:{port}")
            with schedule or nullcontext():
                run_server(create_app(runtime), settings, counted, listener, runtime.api.ending)

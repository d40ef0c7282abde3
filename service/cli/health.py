"""``lazaretto health``: what a container engine asks every few seconds, so it imports little and waits briefly."""

import http.client
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.common import DataDir, load_settings
from service.cli.failures import Failure
from service.clock import SystemClock

if TYPE_CHECKING:
    from service.settings import Settings

TIMEOUT_SECONDS = 2.0
PULSE_SECONDS_MAX = 60.0
"""A pass takes seconds, and the longest wait for a store that is away is ten."""
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - what is asked is this machine
OK = 200


def health(
    data_dir: DataDir = None,
    *,
    ready: Annotated[bool, typer.Option("--ready", help="Ask whether the API may take traffic.")] = False,
    worker: Annotated[bool, typer.Option("--worker", help="Look at this machine's worker instead.")] = False,
) -> None:
    """Say whether the API of this machine answers; exit with 1 when it does not."""
    if ready and worker:
        raise Failure("--ready asks the API and --worker looks at a worker: give one of them")
    settings = load_settings(data_dir=data_dir)
    typer.echo(_worker(settings) if worker else _api(settings, "/readyz" if ready else "/healthz"))


def _api(settings: "Settings", path: str) -> str:
    host = EVERYWHERE.get(settings.host, settings.host)
    where = f"{host}:{settings.port}{path}"
    if settings.port == 0:
        raise Failure("the port is 0, a free one: nobody but the process knows which")
    connection = http.client.HTTPConnection(host, settings.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read(2_000).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise Failure(f"{where} does not answer: {str(error) or type(error).__name__}") from error
    finally:
        connection.close()
    if answer.status != OK:
        raise Failure(f"{where} says {answer.status}: {text}")
    return text


def _worker(settings: "Settings") -> str:
    path = settings.worker_pulse_file
    if path is None:
        raise Failure("no worker_pulse_file is set, so a worker gives no sign of life to look at")
    try:
        touched_us = path.stat().st_mtime_ns // 1_000
    except FileNotFoundError:
        raise Failure(f"there is no {path}: no worker has begun here") from None
    silent = (SystemClock().now_us() - touched_us) / 1e6
    if silent > PULSE_SECONDS_MAX:
        raise Failure(f"the worker has not gone round for {silent:.0f} s")
    return f"the worker went round {max(silent, 0.0):.1f} s ago"

"""``lazaretto drill``: whether a quarantine reaches the gateway, and how quickly."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from service.cli.common import AsJson, plain, print_json

if TYPE_CHECKING:
    import httpx

    from service.drill.run import Report, Target

URL_NAME, KEY_NAME, SECOND_NAME = "LAZARETTO_URL", "LAZARETTO_API_KEY", "LAZARETTO_SECOND_API_KEY"
TIMEOUT_SECONDS = 10.0
WAITS = 3
"""Exit code when all was measured and the release waits for more people."""
ENDINGS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What ends a drill early: a person, an orchestrator, a terminal that is gone."""


def drill(  # noqa: PLR0913, PLR0917 - one per option
    model: Annotated[str, typer.Argument(help="A model for drills.")],
    version: Annotated[str, typer.Argument(help="The version to quarantine; no other is touched.")],
    key: Annotated[str, typer.Option("--key", envvar=KEY_NAME, help="May ingest, read and operate.")],
    through: Annotated[
        str | None, typer.Option("--through", help="URL of an inference request for this version at the gateway.")
    ] = None,
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
    bring_back: Annotated[
        bool, typer.Option("--bring-back", help="No drill: release what a drill that was killed has left behind.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Quarantine a version on purpose, measure how long a gateway takes to refuse, and release it again."""
    from service.cli.failures import Failure
    from service.drill.run import Target

    if through is None and not bring_back:
        raise Failure("--through is needed: the URL of an inference request for this version at the gateway")
    target = Target(
        model=model,
        version=version,
        through=through or "",
        create=create,
        in_service=in_service,
        timeout_seconds=timeout,
    )
    report = _done(target, (url, key, second_key), bring_back=bring_back, as_json=as_json)
    _show(report, as_json=as_json)
    if not report.released:
        raise typer.Exit(WAITS)
    if report.never_open:
        raise typer.Exit(1)


def _done(target: "Target", reach: tuple[str, str, str | None], *, bring_back: bool, as_json: bool) -> "Report":
    """Drill, or bring back what is left of one; ``reach`` is the URL and the keys."""
    from service.cli.failures import Failure
    from service.drill.line import DrillFailed
    from service.drill.run import Drill

    url, key, second_key = reach
    with ExitStack() as stack:
        api = stack.enter_context(_client(url, key))
        gateway = stack.enter_context(_client(url, None))
        second = None if second_key is None else stack.enter_context(_client(url, second_key))
        endings = stack.enter_context(Endings())
        one = Drill(api, gateway, second, endings.held, endings.let)
        try:
            return one.finish(target) if bring_back else one.run(target, _say_nothing if as_json else _tell)
        except DrillFailed as failure:
            raise Failure(str(failure)) from failure


class Endings:
    """Turns the first signal that ends a process into a drill that fails, and holds every other one back.

    It fails where it is let, and nowhere else: between two steps of the way back there is no moment in which a signal
    could leave the version closed.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._held = False
        self._first: int | None = None
        """The first signal that came."""
        self._told = False
        """Whether it has ended the drill."""

    def __enter__(self) -> Self:
        """Listen, where this is the thread that may."""
        try:
            for number in ENDINGS:
                if number.name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN:
                    continue  # started with nohup
                self._before[number] = signal.signal(number, self._take)
        except ValueError:  # signals reach the main thread only
            self._before.clear()
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no more."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let nothing end what is within."""
        self._held = True
        try:
            yield
        finally:
            self._held = False

    @contextmanager
    def let(self) -> Iterator[None]:
        """Let a signal end what is within, also one that was held back before."""
        self._held = False
        try:
            self._end_early()
            yield
        finally:
            self._held = True

    def _take(self, number: int, _frame: FrameType | None) -> None:
        first, self._first = self._first, number if self._first is None else self._first
        if not self._held and first is None:
            self._end_early()
        with suppress(OSError):  # the terminal may be what is gone
            typer.echo("lazaretto: the version is being brought back first", err=True)

    def _end_early(self) -> None:
        from service.drill.line import DrillFailed

        if self._first is not None and not self._told:
            self._told = True
            raise DrillFailed(f"ended early by {signal.Signals(self._first).name}")


def _client(url: str, key: str | None) -> "httpx.Client":
    import httpx

    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False)


def _say_nothing(step: str, at: float) -> None:
    """Keep quiet: the whole report follows."""


def _tell(step: str, at: float) -> None:
    with suppress(OSError):  # whoever reads it may be gone
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
                "outcome": report.outcome,
                "released": report.released,
                "waits_for": report.waits_for,
            }
        )
        return
    seconds = report.seconds_to_refusal
    if seconds is None:
        typer.echo(f"Drill {report.drill_id}: {plain(report.outcome)}")
    else:
        typer.echo(f"From the first bad event to a refusal at {plain(report.target.through)}: {seconds:.3f} s")
        if report.never_open:
            typer.echo(plain(report.outcome))
    if report.released:
        typer.echo("Released; the drill is in the audit chain.")
    elif report.waits_for:
        typer.echo(f"NOT released: it waits for {report.waits_for} more to approve; the drill is in the audit chain.")
    else:
        typer.echo(f"NOT released: {plain(report.outcome)}; the drill is in the audit chain.")

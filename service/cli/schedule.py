"""Lets the red team run again and again beside the service: one bounded child of low priority, on one replica."""

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, Self

from service.domain.errors import LazarettoError
from service.domain.ids import Actor, Micros
from service.domain.records import Scope
from service.domain.schedule import Outcome

if TYPE_CHECKING:
    from service.ports import Clock
    from service.settings import Settings
    from service.wiring import Runtime

logger = logging.getLogger("lazaretto.redteam")

ACTOR = Actor("red-team-schedule")
LOOK_SECONDS = 5.0
END_SECONDS = 15.0
LEASE_MARGIN_SECONDS = 60.0
"""A child that is told to end has so long before another replica takes it for lost."""
NICENESS = 19
FOLDERS_KEPT = 5
DETAIL_BYTES = 300
HOUR_US, SECOND_US = 3_600_000_000, 1_000_000
SECONDS_PER_DAY = 86_400.0


class Turn(Protocol):
    """What a runner asks of the store; ``service.store.schedule`` keeps it."""

    def claim(self, owner: str, now_us: Micros, every_us: int, lease_us: int) -> bool:
        """Begin a run when one is due."""

    def end(self, owner: str, now_us: Micros, outcome: Outcome, detail: str) -> bool:
        """End it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is run, and how far."""

    command: Sequence[str]
    """Without the folder of the results, which follows it."""
    every_us: int
    seconds_max: float
    folder: Path
    """In which each run has one of its own."""


class RedTeamSchedule:
    """Looks every few seconds whether a run is due, and runs it.

    Parameters
    ----------
    work
        What is run.
    turn
        Where the schedule is kept.
    clock
        Says when a run is due.
    key
        Called before each run: returns a key with every scope, and what revokes it.
    """

    def __init__(
        self, work: Work, turn: Turn, clock: "Clock", key: Callable[[], tuple[str, Callable[[], None]]]
    ) -> None:
        self._work, self._turn, self._clock, self._key = work, turn, clock, key
        self._owner = f"{socket.gethostname()}-{os.getpid()}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="redteam", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(2 * END_SECONDS)

    def look(self) -> bool:
        """Do a run if one is due; tell whether there was one."""
        lease_us = round((self._work.seconds_max + LEASE_MARGIN_SECONDS) * SECOND_US)
        if not self._turn.claim(self._owner, self._clock.now_us(), self._work.every_us, lease_us):
            return False
        try:
            outcome, detail = self._go()
        except (OSError, LazarettoError) as error:
            outcome, detail = Outcome.FAILED, str(error)
        logger.log(
            logging.INFO if outcome is Outcome.DONE else logging.ERROR,
            "red-team run ended",
            extra={"outcome": outcome.value, "detail": detail},
        )
        self._turn.end(self._owner, self._clock.now_us(), outcome, detail)
        return True

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            with suppress(LazarettoError):  # the store is away: the next look finds it
                self.look()

    def _go(self) -> tuple[Outcome, str]:
        """Run one child to its end, or to ours."""
        output = self._work.folder / f"{self._clock.now_us() // SECOND_US}"
        output.mkdir(parents=True, exist_ok=True)
        key, revoke = self._key()
        try:
            with output.joinpath("told.log").open("w+b") as told:
                return self._child([*self._work.command, str(output)], {"LAZARETTO_API_KEY": key}, told)
        finally:
            revoke()
            _sweep(self._work.folder)

    def _child(self, command: Sequence[str], more: Mapping[str, str], told: IO[bytes]) -> tuple[Outcome, str]:
        child = subprocess.Popen(  # noqa: S603 - this program itself
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=told,
            env={**os.environ, **more},
            process_group=0,
        )
        with suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PGRP, child.pid, NICENESS)
        waited = 0.0
        while child.poll() is None:
            if waited >= self._work.seconds_max:
                _end(child)
                return Outcome.TIMED_OUT, f"not over after {self._work.seconds_max:g} s"
            if self._stop.wait(1.0):
                _end(child)
                return Outcome.FAILED, "the service was stopped"
            waited += 1.0
        if child.returncode == 0:
            return Outcome.DONE, ""
        told.seek(max(0, told.tell() - DETAIL_BYTES))
        text = told.read(DETAIL_BYTES).decode(errors="replace").strip()
        return Outcome.FAILED, f"exit code {child.returncode}: {text}"


def schedule_of(settings: "Settings", runtime: "Runtime", url: str) -> RedTeamSchedule | None:
    """Return the schedule that the settings ask for; none without a plan.

    Raises
    ------
    Failure
        When what it needs is not installed, or the plan cannot be read: at the start, not at three in the morning.
    """
    from redteam.plan import load_plan
    from redteam.problems import Refused
    from service.cli.failures import Failure
    from service.cli.redteam import require_extra
    from service.office import KeyRequest, issue_key, revoke_key

    if settings.redteam_plan is None:
        return None
    require_extra()
    try:
        load_plan(settings.redteam_plan)
    except Refused as error:
        raise Failure(f"LAZARETTO_REDTEAM_PLAN: {error}") from error
    api = runtime.api
    days = 2.0 * (settings.redteam_seconds_max + LEASE_MARGIN_SECONDS) / SECONDS_PER_DAY
    wanted = KeyRequest(name="red-team-schedule", scopes=frozenset(Scope), expires_days=days)

    def key() -> tuple[str, Callable[[], None]]:
        made = issue_key(api.control, api.clock, api.secrets.pepper, ACTOR, wanted)
        return made.text, lambda: revoke_key(api.control, api.clock, ACTOR, made.id)

    work = Work(
        command=command_of(settings, url),
        every_us=round(settings.redteam_every_hours * HOUR_US),
        seconds_max=settings.redteam_seconds_max,
        folder=settings.data_dir / "redteam",
    )
    return RedTeamSchedule(work, runtime.store.schedule, api.clock, key)


def own_url(listener: socket.socket) -> str:
    """Return where this service is reached from this machine."""
    host, port = listener.getsockname()[:2]
    near = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared with, not bound to
    return f"http://[{near}]:{port}" if ":" in near else f"http://{near}:{port}"


def command_of(settings: "Settings", url: str) -> list[str]:
    """Return the command of a run against this service; the folder of its results follows."""
    words = [sys.executable, "-m", "service", "redteam", "run", "--json", "--url", url]
    words += ["--plan", str(settings.redteam_plan)]
    if settings.redteam_scope is not None:
        words += ["--scope", str(settings.redteam_scope)]
    if settings.redteam_file_under is not None:
        words += ["--file-under", settings.redteam_file_under]
    return [*words, "--output"]


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Ask the child and whatever it has started to end, then force them."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        try:
            child.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return


def _sweep(folder: Path) -> None:
    """Keep the results of the latest runs only; names are times, and sort as they do."""
    runs = sorted((one for one in folder.iterdir() if one.name.isdigit()), key=lambda one: int(one.name))
    for old in runs[:-FOLDERS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)

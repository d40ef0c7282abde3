"""Runs a plan: session by session against its victim, each one's telemetry through the monitor, each kept when done."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from redteam import attacks, benign
from redteam.attacks import ATTACKS
from redteam.benign import WORKLOADS, SplitName
from redteam.endpoint import Endpoint, VictimFailed, http_victim
from redteam.judge import verdict_of
from redteam.lazaretto import Monitor, Seen, Shadow
from redteam.oracle import Enough, Oracle
from redteam.plan import Plan
from redteam.problems import Stopped
from redteam.records import Folder, Record, SceneRecord
from redteam.scenarios import SCENARIOS
from redteam.scenarios.base import Checks, Need
from redteam.scenarios.service import Service
from redteam.session import Kind, Session
from redteam.tasks import Task, dealt, tasks_of
from redteam.telemetry import salts_of
from redteam.victims import Victim, cancer, digits, mnist

FAILURES_MAX = 5
"""So many sessions in a row that the victim broke off end the run: it is away."""
log = logging.getLogger(__name__)
Told = Callable[[int, int, str], None]
"""Told how many sessions are done, of how many, and which one is on."""
SERVICE = "service"
"""The victim of scenarios."""
UNSEEN = Seen(alarm=None, tiers={}, contained=0)


@dataclass
class Run:
    """A plan at work; use ``open_run``.

    Parameters
    ----------
    plan : Plan
        What to do.
    folder : Folder
        Where it is kept.
    monitor : Monitor
        What looks on.
    victims : dict of str to Victim
        Those of the plan, by name.
    told : callable
        Told of the progress.
    """

    plan: Plan
    folder: Folder
    monitor: Monitor
    victims: dict[str, Victim]
    told: Told
    data_dir: Path | None = None
    """Of the monitor, where it is the run's own."""
    shadows: dict[str, Shadow] = field(default_factory=dict)
    """Of the victims that were attacked, by name."""
    stages: list[str] = field(default_factory=list)
    """Models that scenarios were tried on."""
    complete: bool = False
    """Whether every session is done; else the time was up."""
    _deadline: float = field(default_factory=time.monotonic)
    _late: bool = False
    _asked: float = 0.0
    _tasks: list[Task] = field(default_factory=list)
    _deals: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)
    """Of each victim: on which input each session is, and its seed."""

    def go(self) -> None:
        """Run what is not done yet, until all is done or the time is up.

        Raises
        ------
        Stopped
            When the monitor fails, or a victim is away.
        """
        tasks, skipped = tasks_of(self.plan, self.victims)
        self._tasks = tasks
        scenes = scenes_of(self.plan, self.data_dir)
        lacking = tuple((SERVICE, name) for name in self.plan.scenarios if name not in scenes)
        self.folder.begin(self.plan, len(tasks) + len(scenes), skipped + lacking)
        self._deadline = time.monotonic() + self.plan.seconds_max
        failed = 0
        for task in tasks:
            if self.folder.done(task.key):
                continue
            if time.monotonic() >= self._deadline:
                return
            self.told(self._done(tasks), len(tasks) + len(scenes), task.key)
            session = self._session(task)
            if self._late:
                return
            error = self._keep(task, session)
            failed = failed + 1 if error.startswith("VictimFailed") else 0
            if failed >= FAILURES_MAX:
                raise Stopped(f"{task.victim} broke off {failed} sessions in a row: {error}")
        for name in scenes:
            if self.folder.played(name):
                continue
            if time.monotonic() >= self._deadline:
                return
            self.told(self._done(tasks), len(tasks) + len(scenes), f"{SERVICE}/{name}")
            self.folder.add_scene(self._play(name))
        self.told(self._done(tasks), len(tasks) + len(scenes), "")
        self.complete = True

    def leave(self) -> None:
        """Retire what was made in a monitor that goes on; what is on record stays."""
        for shadow in self.shadows.values():
            shadow.leave()

    def _done(self, tasks: list[Task]) -> int:
        return sum(self.folder.done(task.key) for task in tasks) + sum(map(self.folder.played, self.folder.scenes))

    def _play(self, name: str) -> SceneRecord:
        """Try a scenario; one that fails for another reason than the defence proves nothing."""
        checks, error = Checks(), ""
        rng = np.random.default_rng([self.plan.seed, *name.encode()])
        try:
            with Service(self.monitor.http, self.data_dir, ends=self.monitor.ends) as service:
                SCENARIOS[name].act(service, checks, rng)
                self.stages += service.models[:1]
        except Exception as failed:
            log.exception("%s: the scenario proves nothing", name)
            error = f"{type(failed).__name__}: {failed}"
        return SceneRecord(scenario=name, checks=tuple(checks.done), error=error)

    def _keep(self, task: Task, session: Session) -> str:
        """Let the monitor see a session, and keep both; return what broke it off, if anything did."""
        seen = UNSEEN
        try:
            if not session.error and len(session):
                seen = self._shadow(task.victim).watch(session)
        except VictimFailed as failed:  # it is asked for its reference, and for what others ask
            log.exception("%s: the session proves nothing", task.key)
            session = replace(session, error=f"{type(failed).__name__}: {failed}")
        verdict = verdict_of(session, seen.alarm)
        record = Record(
            key=task.key,
            workload=verdict.workload,
            kind=verdict.kind,
            victim=verdict.victim,
            seed=verdict.seed,
            source=verdict.source,
            requests=verdict.requests,
            success=verdict.success,
            alarm=verdict.alarm,
            queries=verdict.queries,
            seconds=verdict.seconds,
            damage=verdict.damage if np.isfinite(verdict.damage) else None,
            tiers=seen.tiers,
            contained=seen.contained,
            campaign=seen.campaign,
            error=verdict.error,
            file=f"sessions/{task.key}.npz",
        )
        self.folder.add(record, session)
        return record.error

    def _shadow(self, name: str) -> Shadow:
        if name not in self.shadows:
            self.shadows[name] = Shadow(self.monitor, self.victims[name], salts_of(self.plan).get(name))
        return self.shadows[name]

    def _session(self, task: Task) -> Session:
        victim = self._hurried(self.victims[task.victim])
        kind = Kind.ATTACK if task.workload in ATTACKS else WORKLOADS[task.workload].kind
        begun = (-1, self.plan.seed)
        try:
            begun = self._begun(task, victim)
            return self._attack(task, victim, begun) if kind is Kind.ATTACK else self._benign(task, victim, begun)
        except Stopped:
            raise
        except Enough:
            return self._broken(task, victim, kind, begun, "OutOfTime: the run's time was up")
        except Exception as error:
            log.exception("%s: the session proves nothing", task.key)
            return self._broken(task, victim, kind, begun, f"{type(error).__name__}: {error}")

    def _attack(self, task: Task, victim: Victim, begun: tuple[int, int]) -> Session:
        attack, (source, seed) = ATTACKS[task.workload], begun
        limit = attack.queries_max if self.plan.queries_max is None else min(attack.queries_max, self.plan.queries_max)
        return attacks.session_of(attack, victim, getattr(victim, self.plan.split), source, seed, limit)

    def _benign(self, task: Task, victim: Victim, begun: tuple[int, int]) -> Session:
        workload, (source, seed) = WORKLOADS[task.workload], begun
        split: SplitName = "calibration" if self.plan.split == "calibration" else "confirmation"
        length = workload.length if self.plan.queries_max is None else min(workload.length, self.plan.queries_max)
        return benign.session_of(workload, victim, split, source, seed, length)

    def _begun(self, task: Task, victim: Victim) -> tuple[int, int]:
        """Return the input of a session and its seed; all of a victim are dealt at once."""
        if task.victim not in self._deals:
            own = [one for one in self._tasks if one.victim == task.victim]
            split = getattr(victim, self.plan.split)
            attackable = attacks.sources_of(victim, split) if any(one.workload in ATTACKS for one in own) else []
            self._deals[task.victim] = dealt(own, len(split[0]), attackable, self.plan.seed)
        return self._deals[task.victim][task.key]

    def _broken(self, task: Task, victim: Victim, kind: Kind, begun: tuple[int, int], error: str) -> Session:
        oracle = Oracle(victim.predict, 1)
        source, seed = begun
        empty = oracle.session(
            workload=task.workload, kind=kind, victim=task.victim, seed=seed, source=source, error=error
        )
        none = np.zeros((0, 1), dtype=np.float32)
        return replace(empty, inputs=none, probabilities=none)

    def _hurried(self, victim: Victim) -> Victim:
        """Return a victim that answers no more when the time is up, and an endpoint no faster than the plan says."""
        paced = self.plan.http is not None and victim.name == self.plan.http.name

        def waited(inputs: NDArray[np.float64]) -> NDArray[np.float64]:
            now = time.monotonic()
            if now >= self._deadline:
                self._late = True
                raise Enough
            if paced:
                time.sleep(max(0.0, self._asked - now))
                self._asked = max(self._asked, now) + len(inputs) / self.plan.requests_per_second
            return inputs

        timed = victim.timed
        return replace(
            victim,
            predict=lambda inputs: victim.predict(waited(inputs)),
            timed=None if timed is None else lambda inputs: timed(waited(inputs)),
        )


def scenes_of(plan: Plan, data_dir: Path | None) -> list[str]:
    """Return the scenarios of a plan that can be tried."""
    return [name for name in plan.scenarios if data_dir is not None or Need.DISK not in SCENARIOS[name].needs]


def victims_of(plan: Plan, endpoint: Endpoint | None) -> dict[str, Victim]:
    """Train or reach the victims of a plan.

    Raises
    ------
    Stopped
        When the data of one is not there, or an endpoint does not answer.
    """
    folder = Path(plan.data) if plan.data else None
    found: dict[str, Victim] = {}
    for name in plan.victims:
        try:
            if name == "digits":
                found[name] = digits(folder=folder)
            elif name == "mnist" and folder is not None:
                found[name] = mnist(folder)
            else:
                found[name] = cancer(name.removeprefix("cancer-"))
        except FileNotFoundError as error:
            raise Stopped(f"the data of {name} is not there: {error}") from None
    if plan.http is not None and endpoint is not None:
        try:
            found[plan.http.name] = http_victim(plan.http, endpoint, plan.seed)
        except VictimFailed as error:
            raise Stopped(f"{plan.http.name} at {plan.http.url} cannot be attacked: {error}") from None
    return found


@contextmanager
def open_run(plan: Plan, monitor: Monitor, told: Told, data_dir: Path | None = None) -> Iterator[Run]:
    """Make everything ready, with the folder locked and what goes wrong in a session logged there."""
    folder = Folder(Path(plan.output))
    with ExitStack() as stack:
        stack.enter_context(folder.alone())
        stack.enter_context(_logged(folder.path / "run.log"))
        salts_of(plan)  # a secret that is missing is told before anything begins
        endpoint = None
        if plan.http is not None:
            endpoint = Endpoint(plan.http)
            stack.callback(endpoint.close)
        yield Run(plan, folder, monitor, victims_of(plan, endpoint), told, data_dir)


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Let the red team log to a file: tracebacks of sessions do not belong between the bars."""
    handler = logging.FileHandler(path, delay=True)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger = logging.getLogger("redteam")
    before, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = before
        handler.close()

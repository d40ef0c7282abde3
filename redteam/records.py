"""What a run keeps on disk: each session when it is done, so that a run can be broken off and gone on with."""

import fcntl
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from redteam.judge import Verdict
from redteam.plan import Plan
from redteam.problems import Refused
from redteam.scenarios.base import Check, Outcome, outcome_of
from redteam.session import Kind, Session

HEAD, LINES, SCENES, LOCK = "run.json", "sessions.jsonl", "scenarios.jsonl", "lock"
Line = TypeVar("Line")


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Which plan the folder is of."""

    digest: str
    seed: int
    total: int
    """Sessions that the plan asks for."""
    skipped: tuple[tuple[str, str], ...]
    """Attacks and workloads that a victim has no use for: (victim, name)."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One session that is done, and what the monitor said of it."""

    key: str
    """Victim, workload and number."""
    workload: str
    kind: Kind
    victim: str
    seed: int
    source: int
    requests: int
    success: int | None
    alarm: int | None
    queries: int | None
    seconds: float | None
    damage: float | None
    """``None``: it never came near."""
    tiers: dict[str, int]
    """Of each tier that was told of: the place of its first alarm."""
    contained: int
    campaign: int | None = None
    """Place of the first alarm about several accounts together."""
    error: str
    file: str
    """Its requests, in the folder."""

    @property
    def verdict(self) -> Verdict:
        """Return it as what is judged."""
        return Verdict(
            workload=self.workload,
            kind=self.kind,
            victim=self.victim,
            seed=self.seed,
            source=self.source,
            requests=self.requests,
            success=self.success,
            alarm=self.alarm,
            queries=self.queries,
            seconds=self.seconds,
            damage=math.inf if self.damage is None else self.damage,
            error=self.error,
        )


class SceneRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario that is done."""

    scenario: str
    checks: tuple[Check, ...]
    error: str
    """Why nothing can be said of it."""

    @property
    def held(self) -> bool:
        """Whether every defence held; one that was never tried has not."""
        return outcome_of(self.checks) is Outcome.HELD


@dataclass
class Folder:
    """The folder of one run."""

    path: Path
    records: dict[str, Record] = field(default_factory=dict)
    scenes: dict[str, SceneRecord] = field(default_factory=dict)

    @property
    def head(self) -> Head | None:
        """Return which plan it is of; ``None`` for a new folder.

        Raises
        ------
        Refused
            When something else stands there.
        """
        try:
            return msgspec.json.decode(self.path.joinpath(HEAD).read_bytes(), type=Head)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise Refused(f"{self.path / HEAD} is not of a red-team run: {error}") from None

    def begin(self, plan: Plan, total: int, skipped: tuple[tuple[str, str], ...]) -> None:
        """Make the folder the plan's, or check that it is, and learn what is done.

        Raises
        ------
        Refused
            When it holds the results of another plan: results of two plans never mix.
        """
        head = self.head
        if head is None:
            new = Head(digest=plan.digest, seed=plan.seed, total=total, skipped=skipped)
            _write(self.path / HEAD, msgspec.json.encode(new))
        elif head.digest != plan.digest:
            raise Refused(
                f"{self.path} holds results of another plan or seed; results of two plans are not mixed: "
                "choose another folder (--output), or remove it"
            )
        self.load()

    def load(self) -> None:
        """Read what is done; a last line that was broken off is as if it were not there."""
        self.records |= {record.key: record for record in self._read(LINES, Record)}
        self.scenes |= {scene.scenario: scene for scene in self._read(SCENES, SceneRecord)}

    def _read(self, name: str, kind: type[Line]) -> Iterator[Line]:
        try:
            content = self.path.joinpath(name).read_bytes()
        except FileNotFoundError:
            return
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            _write(self.path / name, whole)
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                yield msgspec.json.decode(line, type=kind)
            except msgspec.MsgspecError as error:
                raise Refused(f"{self.path / name}, line {number}: {error}") from None

    def played(self, scenario: str) -> bool:
        """Tell whether a scenario need not be tried: one that broke off with an error is tried again."""
        return scenario in self.scenes and not self.scenes[scenario].error

    def add_scene(self, scene: SceneRecord) -> None:
        """Keep what became of a scenario."""
        self._append(SCENES, msgspec.json.encode(scene))
        self.scenes[scene.scenario] = scene

    def _append(self, name: str, line: bytes) -> None:
        with self.path.joinpath(name).open("ab") as lines:
            lines.write(line + b"\n")
            lines.flush()
            os.fsync(lines.fileno())

    def done(self, key: str) -> bool:
        """Tell whether a session need not be run: one that broke off with an error is run again."""
        return key in self.records and not self.records[key].error

    def add(self, record: Record, session: Session) -> None:
        """Keep a session: first its requests, then its line, each whole or not at all."""
        path = self.path / record.file
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        with draft.open("wb") as file:
            np.savez_compressed(file, **_arrays(session))
        draft.replace(path)
        self._append(LINES, msgspec.json.encode(record))
        self.records[record.key] = record

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let no other run write here meanwhile; raise ``Refused`` when one does."""
        self.path.mkdir(parents=True, exist_ok=True)
        with self.path.joinpath(LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Refused(f"another run writes to {self.path}") from None
            yield


def _arrays(session: Session) -> dict[str, Any]:
    arrays: dict[str, Any] = {
        "inputs": session.inputs,
        "probabilities": session.probabilities,
        "seconds": session.seconds,
        "accounts": session.accounts,
    }
    for name in ("distance", "latency_ms", "feedback"):
        if getattr(session, name) is not None:
            arrays[name] = getattr(session, name)
    return arrays


def _write(path: Path, content: bytes) -> None:
    draft = path.with_suffix(".draft")
    draft.write_bytes(content)
    draft.replace(path)

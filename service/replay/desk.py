"""One policy at work on a version that does not exist: what it would do about each evaluation, and whom it would tell.

The decisions are those of the product: ``service.pipeline.judge`` over a store that holds one model with one version.
Nobody is there to settle alerts. The desk takes it that people do once the evidence has fallen to the square root of
the threshold: alerts are closed and the version is active again.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from service.decisions import Decisions
from service.domain.evaluation import Evaluation
from service.domain.ids import Actor, Micros, ModelId, Position, VersionId
from service.domain.notices import Kind
from service.domain.policy import Policy
from service.domain.records import ColumnFinding, Model, Snapshot, Version, Window
from service.domain.schema import Prediction, PredictionKind, Schema
from service.domain.states import SERVING, Event, State
from service.pipeline import Memory, WorkStages, judge
from service.ports import Control, LogEntry, Outcome
from service.replay.deeds import Deed

ONE = VersionId(1)
HELD_BACK = frozenset({Kind.DRY_RUN, Kind.CAPPED})


class Desk:
    """One policy, its simulated version and what it has done so far."""

    def __init__(self, policy: Policy) -> None:
        self.threshold_log = math.log(policy.ticks_per_false_alarm)
        self.settles_log = self.threshold_log / 2.0
        self.deeds: list[Deed] = []
        self._version = _version()
        store = _Store(policy, self._version)
        self._memory = Memory(WorkStages(store=store, log=store, signing_key=b"", stats=lambda: "{}"))

    @property
    def resting(self) -> bool:
        """Whether nothing can happen before people settle what there is: the version gets no traffic any more."""
        return self._memory.versions[ONE].state not in SERVING

    @property
    def busy(self) -> bool:
        """Whether an alert is open."""
        return bool(self._memory.open_alerts.get(ONE))

    def take(self, position: int, at: tuple[int, int | None], log: float, findings: Sequence[ColumnFinding]) -> None:
        """Judge one evaluation at row ``at[0]`` and time ``at[1]``; ``findings`` count only above the threshold."""
        if self.busy and log < self.settles_log:
            self.settle()
        row, at_us = at
        evaluation = Evaluation(
            version_id=ONE,
            position=Position(position),
            at_us=Micros(position if at_us is None else at_us),
            evidence_log=log,
            threshold_log=self.threshold_log,
            findings=tuple(findings) if log >= self.threshold_log else (),
            sufficient=True,
        )
        decisions = Decisions()
        judge(evaluation, self._memory, decisions)
        done = _done(decisions)
        if done is not None:
            names = tuple(dict.fromkeys(_name(finding) for finding in findings))
            action, text = done
            pages = len(decisions.notices)
            self.deeds.append(Deed(row=row, at_us=at_us, columns=names, action=action, pages=pages, text=text))

    def settle(self) -> None:
        """Do what people do when the evidence has fallen."""
        self._memory.open_alerts[ONE] = {}
        self._memory.versions[ONE] = replace(self._version, lock=self._memory.versions[ONE].lock + 1)


def _name(finding: ColumnFinding) -> str:
    return finding.name if finding.segment is None else f"{finding.name} in {finding.segment}"


def _done(decisions: Decisions) -> tuple[str, str] | None:
    """Name the strongest of what was decided, and why; ``None`` when nobody would see anything new."""
    events = {record.event: record.reason for record, _ in decisions.transitions}
    for event in (Event.QUARANTINE, Event.SUSPECT):
        if event in events:
            return event.value, events[event]
    held = [notice for notice in decisions.notices if notice.kind in HELD_BACK]
    if held:
        return "held back", held[0].summary.partition(": ")[2]
    if decisions.notices:
        return "notify", decisions.notices[0].description
    return ("record", decisions.incidents[0].title) if decisions.incidents else None


def _version() -> Version:
    return Version(
        id=ONE,
        model_id=ModelId(1),
        model="replay",
        version="1",
        schema=Schema(features=(), prediction=Prediction(kind=PredictionKind.NUMBER)),
        deployed_by=Actor("replay"),
        state=State.ACTIVE,
        since_us=Micros(0),
        reason="",
        lock=0,
        restart_position=Position(0),
        baseline_id=None,
        created_us=Micros(0),
    )


class _Store:
    """A store and a log with one model, one version and nothing else."""

    def __init__(self, policy: Policy, version: Version) -> None:
        actor, now = Actor("replay"), Micros(0)
        model = Model(
            id=version.model_id,
            name=version.model,
            owner="",
            description="",
            policy=policy,
            created_us=now,
            created_by=actor,
        )
        self._control = Control(
            revision=0, models={model.id: model}, versions={version.id: version}, baselines={}, open_alerts=()
        )

    def position(self) -> Position:
        return Position(0)

    def revision(self) -> int:
        return self._control.revision

    def control(self) -> Control:
        return self._control

    def snapshots(self) -> Mapping[VersionId, Snapshot]:
        return {}

    def windows(self, version_id: VersionId, level: str, start_us: Micros) -> Window | None:  # noqa: ARG002 - the port's
        return None

    def commit(self, outcome: Outcome) -> int:  # noqa: ARG002 - the port's
        return self._control.revision

    def read(self, after: Position, *, max_entries: int, max_bytes: int) -> Sequence[LogEntry]:  # noqa: ARG002 - the port's
        return ()

    def head(self) -> Position:
        return Position(0)

"""A small world for tests of the worker's side: two models, telemetry made from a seed, and the fakes of the ports."""

from collections.abc import Mapping, Sequence

import numpy as np

from service.detect.baselines import sign
from service.detect.reference import CompiledReference, compile_reference
from service.domain.ids import Actor, Micros, ModelId, Position, VersionId
from service.domain.policy import Budget, Policy
from service.domain.records import BaselineRecord, Model, Version
from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema
from service.domain.states import Event, State
from service.frames import Coded, Frame, encode_frame
from service.ingest.deidentify import Deidentifier
from service.ingest.limits import Limits
from service.office import (
    OfficeStages,
    TransitionAnswer,
    put_baseline,
    register_model,
    register_version,
    request_transition,
)
from service.pipeline import WorkStages
from service.ports import Control, EntryKind, LogEntry, NewEntry
from service.settings import Settings
from service.worker.loop import Worker
from service.worker.stats import WorkerStats
from tests.fakes import InMemoryLog, InMemoryStore, ManualClock

KEY = b"k" * 32
DANA, ANA, BOB = Actor("dana"), Actor("ana"), Actor("bob")
SCHEMA = Schema(
    features=(
        Feature(name="age", kind=FeatureKind.NUMERIC),
        Feature(name="income", kind=FeatureKind.NUMERIC),
        Feature(name="country", kind=FeatureKind.CATEGORICAL),
        Feature(name="face", kind=FeatureKind.EMBEDDING, dimension=4),
    ),
    prediction=Prediction(kind=PredictionKind.CLASS, classes=("fraud", "ok")),
)
COUNTRIES = ("DE", "FR", "PL")
SMALL_BUDGET = Policy(budget=Budget(false_alarms=1.0, per_days=1.0))
"""A threshold of 86,400 ticks."""


def make_frame(seed: int, rows: int, *, shift: float = 0.0, missing: float = 0.0, extras: bool = True) -> Frame:
    """Return telemetry; ``shift`` moves age and with it the answer, ``missing`` is the share of ages that are gone."""
    rng = np.random.default_rng(seed)
    age = rng.normal(40 + 10 * shift, 10, rows)
    age[rng.random(rows) < missing] = np.nan
    income = rng.lognormal(10, 0.5, rows)
    fraud = 1 / (1 + np.exp(-(np.nan_to_num(age, nan=40.0) - 40) / 10 + rng.normal(0, 1, rows)))
    numbers = {"age": age, "income": income}
    if extras:
        numbers |= {
            "probabilities.ok": 1 - fraud,
            "probabilities.fraud": fraud,
            "latency_ms": rng.gamma(4, 3, rows),
        }
    answer = Coded(("fraud", "ok"), (fraud < 0.5).astype(np.int32))
    country = Coded(COUNTRIES, rng.integers(0, 3, rows).astype(np.int32))
    return Frame(
        rows=rows,
        numeric_names=tuple(numbers),
        numeric=np.stack(list(numbers.values())).astype(np.float64),
        categorical_names=("country", "prediction") if extras else ("country",),
        categorical=(country, answer) if extras else (country,),
        embeddings={"face": rng.normal(0, 1, (rows, 4)).astype(np.float32)},
        principals=None,
        event_ids=None,
        timestamps_us=None,
        segments={},
        attributions={},
        fingerprints=b"",
    )


def compiled(rows: int = 4_000, seed: int = 99) -> CompiledReference:
    """Return a baseline of the undisturbed telemetry."""
    return compile_reference(SCHEMA, make_frame(seed, rows))


def baseline_record(
    version_id: int, reference: CompiledReference, *, from_position: int = 0, name: str = "b1"
) -> BaselineRecord:
    return BaselineRecord(
        id=name,
        version_id=VersionId(version_id),
        digest=reference.digest,
        signature=sign(KEY, reference.artefact),
        artefact=reference.artefact,
        rows=reference.rows,
        from_position=Position(from_position),
        columns=reference.columns,
        warnings=reference.warnings,
        created_us=Micros(0),
        created_by=ANA,
    )


def make_version(number: int, *, model: int = 1, state: State = State.ACTIVE, restart: int = 0) -> Version:
    return Version(
        id=VersionId(number),
        model_id=ModelId(model),
        model=f"m{model}",
        version=str(number),
        schema=SCHEMA,
        deployed_by=DANA,
        state=state,
        since_us=Micros(0),
        reason="registered",
        lock=0,
        restart_position=Position(restart),
        baseline_id=None,
        created_us=Micros(0),
    )


def make_control(
    versions: Sequence[Version], baselines: Mapping[int, Sequence[BaselineRecord]], policy: Policy = SMALL_BUDGET
) -> Control:
    models: dict[int, Model] = {
        version.model_id: Model(
            id=version.model_id,
            name=version.model,
            owner="team",
            description="",
            policy=policy,
            created_us=Micros(0),
            created_by=ANA,
        )
        for version in versions
    }
    return Control(
        revision=1,
        models=models,
        versions={version.id: version for version in versions},
        baselines={VersionId(version_id): records for version_id, records in baselines.items()},
        open_alerts=(),
    )


def batch_entry(position: int, seconds: float, version_id: int, frame: Frame) -> LogEntry:
    """Return a log entry that arrived so many seconds after the start."""
    return LogEntry(
        position=Position(position),
        arrival_us=Micros(1_795_428_000_000_000 + round(seconds * 1e6)),
        kind=EntryKind.BATCH,
        version_id=VersionId(version_id),
        rows=frame.rows,
        body=encode_frame(frame),
    )


class World:
    """Clock, log and store, with people, telemetry and a worker."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = InMemoryStore()
        self.log = InMemoryLog(self.clock)
        self.stats = WorkerStats()
        self.office = OfficeStages(
            control=self.store.control,
            clock=self.clock,
            head=self.log.head,
            limits=Limits.from_settings(Settings()),
            deidentifier=Deidentifier(KEY),
            signing_key=KEY,
        )
        self._seed = 0
        self.transcript_keys: tuple[bytes, ...] = (b"t" * 32,)

    def add_version(
        self,
        version: str = "1",
        *,
        model: str = "m1",
        policy: Policy = SMALL_BUDGET,
        reference: CompiledReference | None,
    ) -> Version:
        """Register a version, and its model when it is new, with a baseline."""
        if self.store.read.model(model) is None:
            register_model(self.office, ANA, model, "team", "", policy)
        added = register_version(self.office, ANA, model, version, SCHEMA, DANA)
        if reference is not None:
            put_baseline(self.office, ANA, added, reference)
        return added

    def ask(self, actor: Actor, event: Event, version: str = "1", *, reason: str = "looked at it") -> TransitionAnswer:
        """Let a person ask for a transition of model m1."""
        return request_transition(self.office, actor, "m1", version, event, reason, None)

    def send(self, version: Version, rows: int, *, shift: float = 0.0, missing: float = 0.0) -> Position:
        """Append one batch now."""
        self._seed += 1
        frame = make_frame(self._seed, rows, shift=shift, missing=missing)
        new = NewEntry(
            kind=EntryKind.BATCH, version_id=version.id, batch_id=str(self._seed), rows=rows, body=encode_frame(frame)
        )
        return self.log.append_now(new).position

    def send_for(self, seconds: int, version: Version, rows: int = 50, *, shift: float = 0.0) -> None:
        """Append one batch a second."""
        for _ in range(seconds):
            self.send(version, rows, shift=shift)
            self.clock.advance(1)

    def stages(self, owner: str = "w", entries_max: int = 2_048) -> WorkStages:
        return WorkStages(
            store=self.store.worker(owner, 10.0, self.clock),
            log=self.log,
            signing_key=KEY,
            stats=self.stats.to_json,
            entries_max=entries_max,
            transcript_keys=self.transcript_keys,
        )

    def worker(self, entries_max: int = 2_048) -> Worker:
        """Return a worker that remembers nothing yet."""
        return Worker(self.stages(entries_max=entries_max), self.stats)

    def catch_up(self, worker: Worker | None = None) -> None:
        """Let a worker fold all that the log holds."""
        worker = worker or self.worker()
        for _ in range(1_000):
            if worker.step() == worker.idle_seconds:
                return
        raise AssertionError("the worker does not come to rest")

    def state(self, version: Version) -> State:
        return self.store.tables.versions[version.id].state

    def kinds(self) -> list[str]:
        """Return what people were told, in order."""
        return [queued.message.kind for queued in self.store.tables.outbox.values()]

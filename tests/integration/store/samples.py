"""Values for the tests of the store, each with something unusual in every field that allows it."""

from collections.abc import Sequence
from dataclasses import replace

from service.domain.calibration import (
    Calibration,
    ColumnCalibration,
    SegmentCalibration,
    SelfTest,
    SelfTestAlarm,
    Tolerance,
)
from service.domain.errors import Place
from service.domain.ids import Actor, Micros, ModelId, Position, VersionId
from service.domain.notices import Routed, Told
from service.domain.policy import Action, Actions, Cause, ColumnChoice, Policy, Segments, Tuning
from service.domain.records import (
    Alert,
    ApiKey,
    BaselineRecord,
    ColumnFinding,
    Incident,
    IncidentStatus,
    Message,
    Model,
    Scope,
    Snapshot,
    TimelineItem,
    TransitionRecord,
    Version,
    Window,
)
from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema
from service.domain.states import TRANSITIONS, Event, State
from service.ports import ControlTx
from service.store import Store
from tests.fakes import InMemoryStore

T0 = Micros(1_795_428_000_000_000)
ANNA = Actor("anna")
BEN = Actor("ben")

SCHEMA = Schema(
    features=(
        Feature(name="zeta", kind=FeatureKind.NUMERIC),
        Feature(name="alpha", kind=FeatureKind.CATEGORICAL),
        Feature(name="e", kind=FeatureKind.EMBEDDING, dimension=8),
    ),
    prediction=Prediction(kind=PredictionKind.CLASS, classes=("zwei", "eins")),
)


def at(seconds: float) -> Micros:
    return Micros(T0 + round(seconds * 1e6))


def model(name: str = "fraud-scorer") -> Model:
    return Model(
        id=ModelId(0),
        name=name,
        owner="Team Prüfung",
        description="line one\nline 'two' \U0001f6a2",
        policy=Policy(confirmations=3, actions=Actions(latency=Action.RECORD), fallback="old/1"),
        created_us=T0,
        created_by=ANNA,
    )


def version(of: Model, name: str = "2026-11-02", state: State = State.ACTIVE) -> Version:
    return Version(
        id=VersionId(0),
        model_id=of.id,
        model=of.name,
        version=name,
        schema=SCHEMA,
        deployed_by=BEN,
        state=state,
        since_us=T0,
        reason="registered",
        lock=0,
        restart_position=Position(0),
        baseline_id=None,
        created_us=T0,
    )


def registered(tx: ControlTx, name: str = "fraud-scorer", state: State = State.ACTIVE) -> Version:
    """Add a model and one version of it."""
    return tx.add_version(version(tx.add_model(model(name)), state=state))


def baseline(of: Version, name: str = "b1", position: int = 7) -> BaselineRecord:
    return BaselineRecord(
        id=name,
        version_id=of.id,
        digest="d" * 64,
        signature="s" * 64,
        artefact=bytes(range(256)),
        rows=1_000,
        from_position=Position(position),
        columns=("zeta", "alpha", "prediction"),
        warnings=({"column": "zeta", "code": "constant", "text": "only 3.0"},),
        created_us=at(1),
        created_by=ANNA,
    )


def calibration(budget: float) -> Calibration:
    return Calibration(
        tuning=Tuning(
            columns=(("\U0001f6a2 'x'", ColumnChoice(weight=2.5)),),
            shares=(("quality", 0.1),),
            segments=Segments(column="segment.region", values=("eu",)),
        ),
        budget_ticks=budget,
        insufficient="too few\nrows",
        self_test=SelfTest(
            ticks=3,
            tick_rows=1.5,
            allowed=0.25,
            alarms=(SelfTestAlarm(first_row=0, last_row=9, columns=("zeta",)),),
            text="one 'alarm'",
        ),
        columns=(
            ColumnCalibration(
                name="zeta",
                share=1.0,
                exponent=0.125,
                why="rows move together",
                independent_rows=12.5,
                insufficient=None,
                tolerances=(Tolerance(direction="mean up", by=0.1, cause="standard_errors", exponent=0.5, text="far"),),
                left_out=7,
            ),
        ),
        notes=(Place("policy.columns.y", "no such column"),),
        segments=(SegmentCalibration(segment="region=eu", rows=9, share=0.5, exponent=None, insufficient="too few"),),
    )


def incident(of: Version, name: str = "i1", cause: Cause = Cause.DATA_DRIFT) -> Incident:
    return Incident(
        id=name,
        version_id=of.id,
        model=of.model,
        version=of.version,
        cause=cause,
        title="zeta moved",
        status=IncidentStatus.OPEN,
        assignee=None,
        verdict=None,
        note=None,
        opened_us=at(10),
        acknowledged_us=None,
        resolved_us=None,
        lock=0,
    )


def alert(of: Incident, name: str = "a1") -> Alert:
    effects = {"psi": 0.1 + 0.2, "ks": None}
    return Alert(
        id=name,
        version_id=of.version_id,
        cause=of.cause,
        status="open",
        reason="evidence 12.5 passed 11.9",
        evidence_log=28.78231366242557,
        threshold_log=27.5,
        confirmations=1,
        columns=(
            ColumnFinding(
                name="zeta", group="feature", direction="mean up", evidence_log=31.0, since_us=at(4), effects=effects
            ),
            ColumnFinding(
                name="e",
                group="score",
                direction="?",
                evidence_log=float("-inf"),
                since_us=at(5),
                effects={},
                segment="region='eu'",
            ),
        ),
        since_us=at(4),
        opened_us=at(10),
        closed_us=None,
        position=Position(40),
        incident_id=of.id,
    )


def closed(alert: Alert) -> Alert:
    return replace(alert, status="closed", closed_us=at(99))


def transition(of: Version, event: Event, *, actor: Actor = ANNA, incident_id: str | None = None) -> TransitionRecord:
    return TransitionRecord(
        version_id=of.id,
        before=of.state,
        event=event,
        after=TRANSITIONS[of.state, event],
        actor=actor,
        reason=f"{event} it",
        at_us=at(20),
        position=Position(40),
        incident_id=incident_id,
    )


def window(of: Version, level: str, start_us: int, *, baseline_id: str = "b1", events: int = 5) -> Window:
    return Window(
        version_id=of.id,
        level=level,
        start_us=Micros(start_us),
        baseline_id=baseline_id,
        events=events,
        evidence_log=float("-inf"),
        evidence_log_max=1e-300,
        column_evidence=b"\x00\x01\xff",
        counts=b"",
    )


def snapshot(of: Version, position: int, baseline_id: str | None = None) -> Snapshot:
    return Snapshot(
        version_id=of.id,
        baseline_id=baseline_id,
        position=Position(position),
        events_total=10**12,
        labels_total=0,
        leaks_total=3,
        evidence_log=float("-inf"),
        threshold_log=14.761,
        blob=b"\x00evidence\xff",
        status='{"monitoring": "warming"}',
        updated_us=at(11),
    )


def message(name: str = "m1", created: float = 10) -> Message:
    return Message(id=name, kind="incident.opened", payload='{"a": 1}', created_us=at(created))


def key(name: str = "k1") -> ApiKey:
    return ApiKey(
        id=name,
        name="grafana",
        scopes=frozenset({Scope.READ, Scope.INGEST}),
        models=frozenset({"fraud-scorer", "a"}),
        secret_hash=name.encode() * 8,
        created_us=T0,
        expires_us=at(1000),
    )


def item(kind: str = "comment", body: str = "looking", seconds: float = 30) -> TimelineItem:
    return TimelineItem(at_us=at(seconds), actor=ANNA, kind=kind, body=body)


def waiting(store: Store | InMemoryStore) -> list[str]:
    """Return the ids of the messages that nobody has routed, in order; the real store counts them as routed then."""
    if isinstance(store, InMemoryStore):
        return list(store.tables.outbox)
    found: list[str] = []

    def note(message: Message, _known: Sequence[Told], _owner: str, _now_us: Micros) -> Routed:
        found.append(message.id)
        return Routed(payload=message.payload, severity=message.severity, told=(), deliveries={})

    store.outbox.route(note, 99, T0)
    return found

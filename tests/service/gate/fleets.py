"""Small fleets to ask the gate about."""

from service.domain.ids import Actor, Micros, ModelId, Position, VersionId
from service.domain.policy import Policy
from service.domain.records import Model, Version
from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema
from service.domain.states import State
from service.gate.fleet import FleetView

SCHEMA = Schema(
    features=(Feature(name="age", kind=FeatureKind.NUMERIC),),
    prediction=Prediction(kind=PredictionKind.CLASS, classes=("fraud", "ok")),
)


def a_model(name: str, *, number: int = 1, policy: Policy | None = None) -> Model:
    return Model(
        id=ModelId(number),
        name=name,
        owner="risk",
        description="",
        policy=policy or Policy(),
        created_us=Micros(0),
        created_by=Actor("ada"),
    )


def a_version(model: str, version: str, state: State = State.ACTIVE, *, number: int = 1) -> Version:
    return Version(
        id=VersionId(number),
        model_id=ModelId(1),
        model=model,
        version=version,
        schema=SCHEMA,
        deployed_by=Actor("ada"),
        state=state,
        since_us=Micros(0),
        reason="because",
        lock=0,
        restart_position=Position(0),
        baseline_id=None,
        created_us=Micros(0),
    )


def a_fleet(*versions: tuple[str, str, State], policies: dict[str, Policy] | None = None) -> FleetView:
    """Return a fleet with these versions, oldest first."""
    names = list(dict.fromkeys(model for model, _, _ in versions))
    models = [a_model(name, number=n, policy=(policies or {}).get(name)) for n, name in enumerate(names, start=1)]
    listed = [a_version(m, v, s, number=n) for n, (m, v, s) in enumerate(versions, start=1)]
    return FleetView.of(1, models, listed)

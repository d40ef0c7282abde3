"""Findings about principals, and a bench that judges them without a worker."""

from dataclasses import replace
from typing import Any

import msgspec

from service.adversarial import Standing, judge_use
from service.decisions import Decisions
from service.domain.adversarial import Adversarial
from service.domain.evaluation import UseFound
from service.domain.ids import Actor, Micros, ModelId, Position, VersionId
from service.domain.policy import Policy
from service.domain.principals import Containment, Kind, ModelFinding
from service.domain.records import Alert, Incident, Model, PrincipalFinding, PrincipalTier, Version
from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema
from service.domain.states import State
from service.ports import Control

NOW = Micros(1_795_428_000_000_000)
SECOND = 1_000_000
HOUR = 3_600 * SECOND
ANN, BOB, CAT = ("a" * 32, "b" * 32, "c" * 32)
SCHEMA = Schema(
    features=(Feature(name="age", kind=FeatureKind.NUMERIC),), prediction=Prediction(kind=PredictionKind.NUMBER)
)
TECHNIQUES = {
    PrincipalTier.PROBING: ("AML.T0040",),
    PrincipalTier.INTENT: ("AML.T0043.001", "AML.T0015"),
    PrincipalTier.EXTRACTION: ("AML.T0024.002",),
    PrincipalTier.MEMBERSHIP: ("AML.T0024.000",),
    PrincipalTier.COST: ("AML.T0034.001",),
    PrincipalTier.PERSISTENCE: ("AML.T0040", "AML.T0043.001"),
}


def finding(principal: str = ANN, tier: PrincipalTier = PrincipalTier.PROBING, **changed: Any) -> PrincipalFinding:
    plain = PrincipalFinding(
        principal=principal,
        tier=tier,
        techniques=TECHNIQUES[tier],
        log_evidence=30.0,
        log_threshold=20.0,
        calibrated=True,
        queries=31,
        since_us=NOW - 60 * SECOND,
        until_us=NOW,
        best_margin=None,
        flips=0,
        reused=False,
        campaign=None,
        members=(),
        fidelity=None,
        reasons=("31 of 40 near-duplicates have a margin under the baseline's 5 % quantile",),
    )
    return msgspec.structs.replace(plain, **changed)


def intent(principal: str = ANN, flips: int = 1, **changed: Any) -> PrincipalFinding:
    return finding(principal, PrincipalTier.INTENT, **{"flips": flips, "best_margin": -0.1, **changed})


def done_to_model(kind: Kind, *principals: str) -> ModelFinding:
    return ModelFinding(kind=kind, since_us=NOW - SECOND, until_us=NOW, principals=principals, reasons=("it differs",))


def a_version(number: int = 1, state: State = State.ACTIVE, model: int = 1) -> Version:
    return Version(
        id=VersionId(number),
        model_id=ModelId(model),
        model=f"m{model}",
        version=str(number),
        schema=SCHEMA,
        deployed_by=Actor("dana"),
        state=state,
        since_us=NOW,
        reason="registered",
        lock=0,
        restart_position=Position(0),
        baseline_id=None,
        created_us=NOW,
    )


class Bench:
    """Versions of one model, and what has been decided about them so far."""

    def __init__(self, policy: Policy | None = None, versions: tuple[Version, ...] = (a_version(),)) -> None:
        self.versions = {version.id: version for version in versions}
        self.models: dict[int, Model] = {
            1: Model(
                id=ModelId(1),
                name="m1",
                owner="team",
                description="",
                policy=policy or Policy(),
                created_us=NOW,
                created_by=Actor("dana"),
            )
        }
        self.alerts: dict[str, Alert] = {}
        self.incidents: dict[str, Incident] = {}
        self.containments: dict[tuple[VersionId, str], Containment] = {}
        self.position = 0
        self.now_us = NOW

    @classmethod
    def under(cls, **chosen: Any) -> "Bench":
        """Return a bench whose policy for adversarial use has these members."""
        return cls(Policy(adversarial=Adversarial(**chosen)))

    def judge(self, *found: PrincipalFinding | ModelFinding, version: int = 1) -> Decisions:
        """Judge in one pass of its own, and keep what was decided as the store would."""
        self.position += 1
        one = UseFound(
            version_id=VersionId(version),
            position=Position(self.position),
            at_us=self.now_us,
            principals=tuple(f for f in found if isinstance(f, PrincipalFinding)),
            model=tuple(f for f in found if isinstance(f, ModelFinding)),
        )
        decisions = Decisions()
        judge_use([one], self.standing(), self.versions, decisions)
        self.alerts |= decisions.alerts
        self.incidents |= {incident.id: incident for incident in decisions.incidents}
        for raised in decisions.raised:
            kept = self.incidents[raised.incident_id]
            self.incidents[kept.id] = replace(kept, severity=raised.severity, title=raised.title)
        self.containments |= decisions.containments
        return decisions

    def standing(self) -> Standing:
        return Standing(
            Control(
                revision=1,
                models=self.models,
                versions=self.versions,
                baselines={},
                open_alerts=[alert for alert in self.alerts.values() if alert.status == "open"],
                unresolved=[incident for incident in self.incidents.values() if incident.resolved_us is None],
                recent_alerts=[alert for alert in self.alerts.values() if alert.status == "closed"],
                containments=list(self.containments.values()),
            )
        )

    def settle(self) -> None:
        """Close every alert and resolve every incident, as a person does."""
        self.alerts = {a.id: replace(a, status="closed", closed_us=self.now_us) for a in self.alerts.values()}
        self.incidents = {i.id: replace(i, resolved_us=self.now_us) for i in self.incidents.values()}

    def state(self) -> State:
        return self.versions[VersionId(1)].state

    def contained(self) -> set[str]:
        return {c.principal for c in self.containments.values() if c.holds(self.now_us)}

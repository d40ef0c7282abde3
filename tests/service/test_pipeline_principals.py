"""A real attack on a real classifier, told by its telemetry: through the worker to containment, and to quarantine."""

from dataclasses import replace
from functools import cache

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from redteam.attacks import ATTACKS
from redteam.attacks.sessions import session_of, sources_of
from redteam.benign.registry import WORKLOADS
from redteam.benign.registry import session_of as benign_session_of
from redteam.session import Session
from redteam.victims import Victim, digits
from service.api.status import Moment, status_of
from service.detect.flips import FLIPPED_MAX, Flips
from service.detect.reference import CompiledReference, compile_reference
from service.domain.adversarial import Adversarial, Following
from service.domain.ids import Micros
from service.domain.policy import Action, Actions, Cause, Policy
from service.domain.principals import Kind
from service.domain.records import Alert, Version
from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema
from service.domain.states import State
from service.frames import Coded, Frame, encode_frame
from service.office import put_baseline, register_model, register_version
from service.ports import EntryKind, NewEntry
from tests.service.worker.world import ANA, DANA, SMALL_BUDGET, World

CLASSES = tuple(str(digit) for digit in range(10))
SCHEMA = Schema(
    features=(Feature(name="image", kind=FeatureKind.EMBEDDING, dimension=64),),
    prediction=Prediction(kind=PredictionKind.CLASS, classes=CLASSES),
)
FOLLOW = Following(requests_per_second=10_000, share_of_one=1.0)
QUIET = Actions(
    data_drift=Action.RECORD,
    prediction_drift=Action.RECORD,
    data_quality=Action.RECORD,
)
"""All traffic is the attacker's here, which is a drift too; what that does is not looked at."""
POLICY = msgspec.structs.replace(SMALL_BUDGET, adversarial=Adversarial(follow=FOLLOW), actions=QUIET)
EVE, MALLORY, CARL = (digit * 32 for digit in "abc")
"""Pseudonyms, as ingest makes them of principals."""


@cache
def victim() -> Victim:
    return digits()


def frame_of(inputs: NDArray[np.floating], answers: NDArray[np.floating], principal: str | None) -> Frame:
    """Return the telemetry of one client's requests."""
    rows = len(inputs)
    return Frame(
        rows=rows,
        numeric_names=tuple(f"probabilities.{name}" for name in CLASSES),
        numeric=np.ascontiguousarray(np.asarray(answers, np.float32).T),
        categorical_names=("prediction",),
        categorical=(Coded(CLASSES, np.asarray(answers).argmax(axis=1).astype(np.int32)),),
        embeddings={"image": np.asarray(inputs, np.float32)},
        principals=None if principal is None else Coded((principal,), np.zeros(rows, np.int32)),
        event_ids=None,
        timestamps_us=None,
        segments={},
        attributions={},
        fingerprints=b"",
    )


@cache
def reference(*, follow: bool = True) -> CompiledReference:
    inputs = np.concatenate([victim().reference[0], victim().calibration[0]])
    return compile_reference(SCHEMA, frame_of(inputs, victim().predict(inputs), None), follow=follow)


def world_with(reference: CompiledReference | None, policy: Policy = POLICY) -> tuple[World, Version]:
    world = World()
    register_model(world.office, ANA, "m1", "team", "", policy)
    version = register_version(world.office, ANA, "m1", "1", SCHEMA, DANA)
    if reference is not None:
        put_baseline(world.office, ANA, version, reference)
    return world, version


def send(world: World, version: Version, session: Session, principal: str, rows: int = 50) -> None:
    """Append the requests of a session, one batch a second."""
    for start in range(0, len(session), rows):
        part = slice(start, start + rows)
        frame = frame_of(session.inputs[part], session.probabilities[part], principal)
        world.log.append_now(
            NewEntry(
                kind=EntryKind.BATCH,
                version_id=version.id,
                batch_id=f"{principal}-{session.workload}-{session.source}-{start}",
                rows=frame.rows,
                body=encode_frame(frame),
            )
        )
        world.clock.advance(1)


@cache
def attack(source: int) -> Session:
    held = victim().confirmation
    place = sources_of(victim(), held)[source]
    return session_of(ATTACKS["hopskipjump-l2"], victim(), held, place, 7, 400)


def uses(world: World) -> list[Alert]:
    return [alert for alert in world.store.tables.alerts.values() if alert.cause is Cause.ADVERSARIAL]


def kinds(world: World) -> set[Kind]:
    return {alert.adversarial.kind for alert in uses(world) if alert.adversarial is not None}


def test_an_attack_is_named_and_its_principal_contained_but_the_model_stays() -> None:
    world, version = world_with(reference())
    send(world, version, attack(0), EVE)
    world.catch_up()
    assert Kind.INTENT in kinds(world)
    (use,) = [alert.adversarial for alert in uses(world) if alert.adversarial and alert.adversarial.kind is Kind.INTENT]
    assert use.principals == (EVE,)
    assert "AML.T0043.001" in use.techniques
    told = [alert.adversarial for alert in uses(world) if alert.adversarial]
    assert all(one.best_margin is not None and one.fidelity is not None for one in told)
    assert {held.principal for held in world.store.tables.containments.values()} == {EVE}
    assert world.state(version) is not State.QUARANTINED


def test_two_principals_whose_attacks_flip_labels_quarantine_the_model() -> None:
    world, version = world_with(reference())
    for principal, source in ((EVE, 0), (MALLORY, 1)):
        send(world, version, attack(source), principal)
    world.catch_up()
    assert world.state(version) is State.QUARANTINED


def _last_flipped(session: Session, number: int) -> Session:
    """Return the last inputs of an attack that got another label than the first one."""
    labels = session.probabilities.argmax(axis=1)
    places = np.flatnonzero(labels != victim().predict(_root(session)).argmax())
    chosen = places[-number:]
    return replace(
        session,
        inputs=session.inputs[chosen],
        probabilities=session.probabilities[chosen],
        seconds=session.seconds[chosen],
        accounts=session.accounts[chosen],
        distance=None,
        latency_ms=None,
        feedback=None,
    )


def _root(session: Session) -> NDArray[np.float64]:
    root: NDArray[np.float64] = victim().confirmation[0][session.source][None]
    return root


def test_whoever_happens_to_send_what_an_attacker_found_is_a_bystander() -> None:
    """An attacker may end at an ordinary input that it knows others to send."""
    world, version = world_with(reference())
    send(world, version, attack(0), EVE)
    send(world, version, _last_flipped(attack(0), 3), CARL)
    world.catch_up()
    assert world.state(version) is not State.QUARANTINED
    assert {held.principal for held in world.store.tables.containments.values()} == {EVE}
    named = {one for alert in uses(world) if alert.adversarial for one in alert.adversarial.principals}
    assert CARL in named, "people are told who sent it"
    assert all(alert.adversarial.principals[0] == EVE for alert in uses(world) if alert.adversarial)


def test_one_principal_with_every_attack_there_is_quarantines_nothing() -> None:
    world, version = world_with(reference())
    for source in range(6):
        send(world, version, attack(source), EVE)
    world.catch_up()
    assert Kind.INTENT in kinds(world)
    assert world.state(version) is not State.QUARANTINED


@pytest.mark.parametrize("workload", ["iid", "retries", "lime", "occlusion", "noise"])
def test_ordinary_clients_and_explainers_are_not_accused_of_intent(workload: str) -> None:
    """Fixed seeds; the benchmark states the rate at which such sessions are accused."""
    world, version = world_with(reference())
    for source, principal in ((3, EVE), (4, CARL)):
        send(world, version, benign_session_of(WORKLOADS[workload], victim(), "confirmation", source, 7), principal)
    world.catch_up()
    assert Kind.INTENT not in kinds(world)


def test_nobody_is_followed_unless_the_policy_says_so() -> None:
    world, version = world_with(reference(), SMALL_BUDGET)
    send(world, version, attack(0), EVE)
    world.catch_up()
    assert uses(world) == []


def test_a_baseline_without_measure_says_so() -> None:
    world, version = world_with(reference(follow=False))
    send(world, version, attack(0), EVE)
    world.catch_up()
    assert uses(world) == []
    status = msgspec.json.decode(world.store.tables.snapshots[version.id].status)
    assert status["principals"] is None
    assert "nothing to measure principals with" in str(status["notes"])


def test_odd_answers_are_counted_and_never_an_error() -> None:
    world, version = world_with(reference())
    session = attack(0)
    answers = session.probabilities.copy()
    answers[:10] = 0.5
    answers[10:20] = np.nan
    inputs = session.inputs.copy()
    inputs[20:30] = np.inf
    inputs[30:40] = 1e30
    """Finite, and yet too far away for any distance."""
    send(world, version, replace(session, probabilities=answers, inputs=inputs), EVE)
    world.catch_up()
    snapshot = world.store.tables.snapshots[version.id]
    status = status_of(
        version, POLICY, snapshot, Moment(now_us=Micros(0), stale_seconds=60.0, lag_seconds=0.0)
    ).principals
    assert status is not None
    assert (status.invalid, status.invalid_answers) == (40, 20)
    assert status.examined == len(session) - 40
    assert status.thresholds.keys() == {"probing", "intent", "extraction"}
    assert status.calibrated == {"probing": True, "intent": True, "extraction": True}
    for tier, told in status.calibration.items():
        assert told["reached"] < status.thresholds[tier]
        assert told["nominal"] <= status.thresholds[tier]
        assert 0.0 < told["at_most"] < 0.08


def test_a_flipped_input_is_known_again_whoever_sends_it_and_the_oldest_is_forgotten() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(FLIPPED_MAX + 10, 8)).astype(np.float32)
    flips = Flips(8)
    assert flips.finder(points[0], 1, 1e-3) is None
    for place, point in enumerate(points):
        flips.add(point, place % 3, f"{place:032x}")
    assert [flips.finder(points[place], place % 3, 1e-3) for place in range(10)] == [None] * 10
    for place in range(10, len(points)):
        assert flips.finder(points[place], place % 3, 1e-3) == f"{place:032x}"
        assert flips.finder(points[place], (place + 1) % 3, 1e-3) is None
    assert flips.finder(points[50] + np.float32(0.1), 50 % 3, 1e-3) is None
    assert len(flips.finders) == FLIPPED_MAX


def test_a_reference_with_places_beyond_all_distances_is_measured_without_them() -> None:
    inputs = victim().reference[0].copy()
    answers = victim().predict(inputs)
    inputs[:20] = 1e30
    compiled = compile_reference(SCHEMA, frame_of(inputs, answers, None), follow=True)
    assert [warning for warning in compiled.warnings if warning["code"] == "principals"] == []


def test_a_flood_is_looked_at_within_limits() -> None:
    few = Following(requests_per_second=20, share_of_one=0.5, principals_max=2)
    policy = msgspec.structs.replace(SMALL_BUDGET, adversarial=Adversarial(follow=few))
    world, version = world_with(reference(), policy)
    for principal in (EVE, MALLORY, CARL):
        send(world, version, attack(0), principal)
    world.catch_up()
    status = msgspec.json.decode(world.store.tables.snapshots[version.id].status)["principals"]
    seconds = -(-len(attack(0)) // 50)
    assert status["examined"] <= 3 * 10 * seconds
    assert status["examined"] + status["unexamined"] + status["invalid"] == 3 * len(attack(0))
    assert status["followed"] == 2
    assert status["forgotten"] == 1

"""Cost, labels, canaries and artefacts: from telemetry through the worker to alerts and to quarantine."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from redteam.attacks import ATTACKS, session_of, sources_of
from service.api.watch import watch_of
from service.domain.adversarial import Adversarial, Following
from service.domain.errors import NotFound, Unprocessable
from service.domain.policy import Policy
from service.domain.principals import AdversarialUse, Kind
from service.domain.records import Version
from service.domain.schema import Prediction, PredictionKind
from service.domain.states import State
from service.domain.vouched import CANARIES_MAX, Canary, Vouched
from service.frames import Coded, Frame, encode_frame
from service.frames.labels import LabelRow, encode_labels
from service.office import register_model, register_version
from service.ports import EntryKind, NewEntry
from service.vouching import vouch
from tests.service.test_pipeline_principals import EVE, MALLORY, reference, send, uses, victim, world_with
from tests.service.test_pipeline_principals import POLICY as FOLLOWED
from tests.service.test_pipeline_principals import frame_of as of_images
from tests.service.worker.world import ANA, DANA, SCHEMA, SMALL_BUDGET, World

FOLLOW = Following(requests_per_second=10_000, share_of_one=1.0)
POLICY = msgspec.structs.replace(SMALL_BUDGET, adversarial=Adversarial(follow=FOLLOW))
HONEST = tuple(f"{number:032x}" for number in range(10))
GOOD, OTHER = "ab" * 32, "cd" * 32


def world_of(policy: Policy = POLICY) -> tuple[World, Version]:
    """Return a world without a baseline: none of this needs one."""
    world = World()
    register_model(world.office, ANA, "m1", "team", "", policy)
    return world, register_version(world.office, ANA, "m1", "1", SCHEMA, DANA)


def frame_of(
    principals: Sequence[str],
    latency: Sequence[float] | None = None,
    ids: Sequence[str] | None = None,
    answers: Sequence[str] | None = None,
    fraud: Sequence[float] | None = None,
    segments: dict[str, str] | None = None,
) -> Frame:
    rows = len(principals)
    numbers = {"age": [40.0] * rows, "income": [1.0] * rows}
    if latency is not None:
        numbers["latency_ms"] = list(latency)
    if fraud is not None:
        numbers["probabilities.fraud"] = list(fraud)
    names = sorted(set(principals))
    told = ("fraud", "ok")
    return Frame(
        rows=rows,
        numeric_names=tuple(numbers),
        numeric=np.array(list(numbers.values())),
        categorical_names=("country",) if answers is None else ("country", "prediction"),
        categorical=(
            Coded(("DE",), np.zeros(rows, np.int32)),
            *([] if answers is None else [Coded(told, np.array([told.index(a) for a in answers], np.int32))]),
        ),
        embeddings={"face": np.zeros((rows, 4), np.float32)},
        principals=Coded(tuple(names), np.array([names.index(p) for p in principals], np.int32)),
        event_ids=None if ids is None else tuple(ids),
        timestamps_us=None,
        segments={name: Coded((value,), np.zeros(rows, np.int32)) for name, value in (segments or {}).items()},
        attributions={},
        fingerprints=b"",
    )


def batch(version: Version, frame: Frame, name: str) -> NewEntry:
    body = encode_frame(frame)
    return NewEntry(kind=EntryKind.BATCH, version_id=version.id, batch_id=name, rows=frame.rows, body=body)


def put(world: World, version: Version, frame: Frame | list[LabelRow]) -> None:
    name = f"b{world.log.head()}"
    if isinstance(frame, list):
        body = encode_labels(frame)
        entry = NewEntry(kind=EntryKind.LABELS, version_id=version.id, batch_id=name, rows=len(frame), body=body)
    else:
        entry = batch(version, frame, name)
    world.log.append_now(entry)
    world.clock.advance(1)


def found(world: World) -> list[AdversarialUse]:
    return [alert.adversarial for alert in uses(world) if alert.adversarial is not None]


def traffic(world: World, version: Version, slow: dict[str, float], seconds: int, all_slow: float = 1.0) -> None:
    """Let ten clients and the slow ones send ten requests a second each; from half of it on all may be slower."""
    rng = np.random.default_rng(3)
    principals = [name for name in (*HONEST, *slow) for _ in range(10)]
    for second in range(seconds):
        factor = np.array([slow.get(name, 1.0) for name in principals])
        times = rng.lognormal(2.0, 0.4, len(principals)) * factor * (all_slow if second >= seconds // 2 else 1.0)
        put(world, version, frame_of(principals, latency=times.tolist()))


def test_a_client_whose_answers_take_twice_as_long_is_told_of_and_the_model_stays() -> None:
    world, version = world_of()
    traffic(world, version, {EVE: 2.5}, 40)
    world.catch_up()
    (use,) = found(world)
    assert (use.kind, use.principals) == (Kind.COST, (EVE,))
    assert {"AML.T0029", "AML.T0034.001"} <= set(use.techniques)
    assert not use.calibrated
    assert "times as long as those of others" in use.reasons[0]
    assert world.state(version) is State.ACTIVE


def test_a_network_that_becomes_slow_for_all_accuses_nobody() -> None:
    """Seven principals short of certain: each is accused with a probability below 40 / 1e6 even without tolerance."""
    world, version = world_of()
    traffic(world, version, {}, 40, all_slow=8.0)
    world.catch_up()
    assert found(world) == []
    assert watch_of(world.store.tables.snapshots[version.id]).conduct.cost_rounds > 30


def test_a_flood_is_told_of_where_the_policy_names_a_share() -> None:
    for share, kinds in ((0.3, [Kind.COST]), (None, [])):
        following = msgspec.structs.replace(FOLLOW, cost_share=share)
        world, version = world_of(msgspec.structs.replace(SMALL_BUDGET, adversarial=Adversarial(follow=following)))
        rng = np.random.default_rng(4)
        for _ in range(50):
            principals = [*(name for name in HONEST for _ in range(8)), *[EVE] * 200]
            put(world, version, frame_of(principals, latency=rng.lognormal(2.0, 0.3, len(principals)).tolist()))
        world.catch_up()
        assert [use.kind for use in found(world)] == kinds
        if kinds:
            assert "AML.T0034.000" in found(world)[0].techniques


def test_sponge_examples_are_told_of_among_other_clients() -> None:
    held = victim().confirmation
    session = session_of(ATTACKS["sponge"], victim(), held, sources_of(victim(), held)[3], 7, 600)
    assert session.latency_ms is not None
    rng = np.random.default_rng(5)
    usual = session.latency_ms[:16]
    world, version = world_of()
    for start in range(0, len(session), 10):
        mine = session.latency_ms[start : start + 10].tolist()
        others = rng.choice(usual, 10 * len(HONEST)).tolist()
        principals = [*[EVE] * len(mine), *(name for name in HONEST for _ in range(10))]
        put(world, version, frame_of(principals, latency=[*mine, *others]))
    world.catch_up()
    (use,) = found(world)
    assert (use.kind, use.principals) == (Kind.COST, (EVE,))
    assert use.queries_at_alarm <= 400


def test_whoever_costs_much_and_is_followed_is_told_of_with_its_margin_and_the_fidelity_of_a_copy() -> None:
    world, version = world_with(reference(), FOLLOWED)
    inputs, rng = victim().confirmation[0], np.random.default_rng(8)
    for second in range(40):
        for name in (*HONEST, EVE):
            rows = rng.choice(len(inputs), 10)
            frame = of_images(inputs[rows], victim().predict(inputs[rows]), name)
            took = rng.lognormal(2.0, 0.4, (1, 10)) * (2.5 if name == EVE else 1.0)
            names, numeric = (*frame.numeric_names, "latency_ms"), np.concatenate([frame.numeric, took])
            world.log.append_now(
                batch(version, replace(frame, numeric_names=names, numeric=numeric), f"{name}-{second}")
            )
        world.clock.advance(1)
    world.catch_up()
    (use,) = [one for one in found(world) if one.kind is Kind.COST]
    assert use.principals == (EVE,)
    assert use.best_margin is not None
    assert -1.0 <= use.best_margin <= 1.0
    assert use.fidelity is not None
    assert 0.0 <= use.fidelity <= 1.0


def feedback(world: World, version: Version, liars: Sequence[str], rounds: int, *, named: bool) -> None:
    """Let everybody ask, and report labels, by name or as whoever asked."""
    rng = np.random.default_rng(6)
    everybody = [*HONEST, *liars]
    for number in range(rounds):
        ids = [f"{number}-{name}" for name in everybody]
        answers = rng.choice(["fraud", "ok"], len(everybody)).tolist()
        put(world, version, frame_of(everybody, ids=ids, answers=answers))
        rows = []
        for name, event, answer in zip(everybody, ids, answers, strict=True):
            wrong = rng.random() < (0.6 if name in liars else 0.08)
            label = {"fraud": "ok", "ok": "fraud"}[answer] if wrong else answer
            rows.append(LabelRow(event, label, -1, name if named else ""))
        put(world, version, rows)


@pytest.mark.parametrize("named", [True, False])
def test_flipped_labels_name_their_reporter_and_one_quarantines_nothing(named: bool) -> None:
    world, version = world_of()
    feedback(world, version, [EVE], 80, named=named)
    world.catch_up()
    (use,) = found(world)
    assert (use.kind, use.principals) == (Kind.POISONING, (EVE,))
    assert {"AML.T0020", "AML.T0059"} == set(use.techniques)
    assert 10 <= use.queries_at_alarm <= 80
    (alert,) = world.store.tables.alerts.values()
    assert f"after {use.queries_at_alarm} labels" in alert.reason
    assert world.state(version) is State.ACTIVE


def test_poisoning_that_two_principals_feed_quarantines() -> None:
    world, version = world_of()
    feedback(world, version, [EVE, MALLORY], 160, named=True)
    world.catch_up()
    (use,) = found(world)
    assert set(use.principals) == {EVE, MALLORY}
    assert world.state(version) is State.QUARANTINED


def test_labels_of_events_nobody_remembers_are_counted() -> None:
    world, version = world_of()
    put(world, version, [LabelRow("never", "ok", -1)])
    world.catch_up()
    assert watch_of(world.store.tables.snapshots[version.id]).conduct.labels_unknown == 1


CANARIES = Vouched(
    artefact=f"SHA256:{GOOD.upper()}",
    canaries=(
        Canary(key="c1", prediction="fraud"),
        Canary(key="c2", prediction="ok"),
        Canary(key="c3", prediction="fraud", confidence=0.9, tolerance=0.05),
    ),
)


def vouched_world(vouched: Vouched = CANARIES) -> tuple[World, Version]:
    """Return a world in which nobody is followed: what is vouched for is looked at all the same."""
    world, version = world_of(SMALL_BUDGET)
    vouch(world.office, ANA, "m1", "1", vouched)
    return world, version


def say(world: World, version: Version, answer: str, fraud: float | None = None, **segments: str) -> None:
    chance = None if fraud is None else [fraud]
    put(world, version, frame_of([EVE], answers=[answer], fraud=chance, segments=segments))


def test_canaries_that_are_answered_as_known_and_the_registered_artefact_say_nothing() -> None:
    world, version = vouched_world()
    say(world, version, "fraud", canary="c1", artefact=GOOD)
    say(world, version, "ok", canary="c2", artefact=f"sha256:{GOOD}")
    say(world, version, "fraud", 0.93, canary="c3")
    world.catch_up()
    assert found(world) == []
    conduct = watch_of(world.store.tables.snapshots[version.id]).conduct
    assert (conduct.canaries_checked, conduct.canaries_wrong, conduct.vouched_odd) == (3, 0, 0)


@pytest.mark.parametrize(
    ("answer", "fraud", "segments", "kind"),
    [
        ("ok", None, {"canary": "c1"}, Kind.CANARY),
        ("fraud", 0.6, {"canary": "c3"}, Kind.CANARY),
        ("ok", None, {"artefact": OTHER}, Kind.ARTEFACT),
    ],
)
def test_another_answer_and_another_artefact_quarantine(
    answer: str, fraud: float | None, segments: dict[str, str], kind: Kind
) -> None:
    world, version = vouched_world()
    say(world, version, answer, fraud, **segments)
    world.catch_up()
    (use,) = found(world)
    assert use.kind is kind
    assert use.principals == ()
    assert "AML.T0018" in use.techniques
    assert world.state(version) is State.QUARANTINED


def test_what_is_odd_is_counted_and_accuses_nobody() -> None:
    world, version = vouched_world()
    say(world, version, "ok", canary="no such")
    say(world, version, "ok", artefact="latest")
    say(world, version, "fraud", canary="c3")
    world.catch_up()
    assert found(world) == []
    assert watch_of(world.store.tables.snapshots[version.id]).conduct.vouched_odd == 3


def test_what_came_before_it_was_vouched_for_is_not_checked() -> None:
    world, version = world_of(SMALL_BUDGET)
    say(world, version, "ok", canary="c1")
    vouch(world.office, ANA, "m1", "1", CANARIES)
    world.catch_up()
    assert found(world) == []
    say(world, version, "ok", canary="c1")
    world.catch_up()
    assert [use.kind for use in found(world)] == [Kind.CANARY]


def test_a_version_that_predicts_numbers_has_canaries_with_tolerance() -> None:
    world = World()
    register_model(world.office, ANA, "m1", "team", "", SMALL_BUDGET)
    schema = msgspec.structs.replace(SCHEMA, prediction=Prediction(kind=PredictionKind.NUMBER))
    version = register_version(world.office, ANA, "m1", "1", schema, DANA)
    vouch(world.office, ANA, "m1", "1", Vouched(canaries=(Canary(key="n", prediction=5.0, tolerance=0.1),)))
    for value, wrong in ((5.05, 0), (5.2, 1)):
        frame = frame_of([EVE], segments={"canary": "n"})
        names, numbers = (*frame.numeric_names, "prediction"), np.concatenate([frame.numeric, [[value]]])
        put(world, version, replace(frame, numeric_names=names, numeric=numbers))
        world.catch_up()
        assert watch_of(world.store.tables.snapshots[version.id]).conduct.canaries_wrong == wrong


@pytest.mark.parametrize(
    ("vouched", "at", "reason"),
    [
        (Vouched(artefact="latest"), "artefact", "SHA-256"),
        (Vouched(canaries=(Canary(key="a", prediction="cat"),)), "canaries[0].prediction", "no class"),
        (Vouched(canaries=(Canary(key="a", prediction=1.0),)), "canaries[0].prediction", "as text"),
        (Vouched(canaries=(Canary(key="a", prediction="ok", tolerance=0.1),)), "canaries[0].tolerance", "confidence"),
        (Vouched(canaries=(Canary(key="a", prediction="ok"),) * 2), "canaries[1].key", "twice"),
    ],
)
def test_what_cannot_hold_is_refused_with_its_place(vouched: Vouched, at: str, reason: str) -> None:
    world, _ = world_of(SMALL_BUDGET)
    with pytest.raises(Unprocessable) as caught:
        vouch(world.office, ANA, "m1", "1", vouched)
    assert [place.at for place in caught.value.places] == [at]
    assert reason in caught.value.places[0].reason
    with pytest.raises(NotFound):
        vouch(world.office, ANA, "m1", "9", Vouched())


def test_there_is_a_limit_to_canaries() -> None:
    many = {"canaries": [{"key": str(i), "prediction": "ok"} for i in range(CANARIES_MAX + 1)]}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(many, Vouched)


def test_membership_inference_is_told_of_and_a_declared_explainer_is_not() -> None:
    held = victim().confirmation
    session = session_of(ATTACKS["membership-copies"], victim(), held, sources_of(victim(), held)[2], 7, 150)
    explains = msgspec.structs.replace(FOLLOWED.adversarial, explainers=(f"pseudonym:{MALLORY}",))
    world, version = world_with(reference(), msgspec.structs.replace(FOLLOWED, adversarial=explains))
    send(world, version, session, EVE)
    send(world, version, session, MALLORY)
    world.catch_up()
    (use,) = [use for use in found(world) if use.kind is Kind.MEMBERSHIP]
    assert use.principals == (EVE,)
    assert use.techniques == ("AML.T0024.000",)
    assert use.queries_at_alarm < 90

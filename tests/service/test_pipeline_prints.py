"""Attacks seen by fingerprints alone: through the worker, over accounts, and over restarts of the worker."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redteam.benign.registry import WORKLOADS
from redteam.benign.registry import session_of as benign_session_of
from service.detect import keeping
from service.detect.campaigns import BURST_MIN, Campaigns, Request, Seen
from service.domain.adversarial import Adversarial, Following
from service.domain.policy import Policy
from service.domain.principals import Kind
from service.domain.states import State
from service.frames import UNREADABLE, Frame
from tests.service.prints import (
    CARL,
    EVE,
    MALLORY,
    OTHER,
    POLICY,
    append,
    attack,
    batches,
    contained,
    frame_of,
    kinds,
    name,
    prints_of,
    reference,
    told,
    uses,
    victim,
    world_with,
)
from tests.service.worker.world import World


@pytest.mark.parametrize("probabilities", [True, False], ids=["probabilities", "labels"])
def test_an_attack_on_a_model_whose_inputs_are_not_sent_is_named(probabilities: bool) -> None:
    world, version = world_with(reference(probabilities=probabilities))
    for frame in batches(attack(0), [EVE] * 400, probabilities=probabilities):
        append(world, version, frame)
    world.catch_up()
    assert Kind.INTENT in kinds(world)
    assert contained(world) == {EVE}
    assert world.state(version) is not State.QUARANTINED
    assert told(world, version)["fingerprints"] == {"taken": len(attack(0)), "unreadable": 0, "foreign": 0}


@pytest.mark.parametrize("workload", ["iid", "lime", "occlusion", "noise"])
@pytest.mark.parametrize("probabilities", [True, False], ids=["probabilities", "labels"])
def test_ordinary_clients_and_explainers_are_not_accused_of_intent(workload: str, probabilities: bool) -> None:
    """Fixed seeds; the benchmark states the rate at which such sessions are accused."""
    world, version = world_with(reference(probabilities=probabilities))
    for source, principal in ((3, EVE), (4, CARL)):
        session = benign_session_of(WORKLOADS[workload], victim(), "confirmation", source, 7)
        for frame in batches(session, [principal] * len(session), probabilities=probabilities):
            append(world, version, frame)
    world.catch_up()
    assert Kind.INTENT not in kinds(world)


def test_what_is_no_fingerprint_or_of_another_salt_is_counted_and_never_an_error() -> None:
    world, version = world_with(reference())
    session = attack(0)
    prints: list[object] = list(prints_of(session.inputs))
    prints[:10] = [UNREADABLE] * 10
    prints[10:20] = prints_of(session.inputs[10:20], OTHER)
    prints[20:30] = [None] * 10
    prints[30:40] = [b"\xff" * 256] * 10
    """Points that are not numbers."""
    prints[40:45] = [b"short", 7, "text", [1, 2], b""]
    append(world, version, frame_of(session.probabilities, [EVE] * len(session), prints))
    world.catch_up()
    status = told(world, version)
    assert status["fingerprints"] == {"taken": len(session) - 45, "unreadable": 25, "foreign": 10}
    assert (status["invalid"], status["invalid_answers"], status["unexamined"]) == (35, 0, 10)
    assert status["examined"] == len(session) - 45


def test_events_without_fingerprints_are_not_looked_at_where_nothing_else_is_compared() -> None:
    world, version = world_with(reference())
    append(world, version, frame_of(attack(0).probabilities, [EVE] * len(attack(0)), None))
    world.catch_up()
    assert (told(world, version)["examined"], told(world, version)["unexamined"]) == (0, len(attack(0)))


def sybil(accounts: int, source: int = 0, which: str = "hopskipjump-l2") -> list[Frame]:
    """Return one attack whose requests come from many accounts in turn."""
    session = attack(source, which)
    return list(batches(session, [name(i % accounts) for i in range(len(session))]))


@pytest.mark.parametrize("accounts", [5, 20, 100])
def test_an_attack_split_over_accounts_is_one_campaign(accounts: int) -> None:
    world, version = world_with(reference())
    for frame in sybil(accounts):
        append(world, version, frame)
    world.catch_up()
    found = [use for use in uses(world) if use.kind is Kind.INTENT and use.subject.startswith("campaign ")]
    assert found
    members = {principal for use in found for principal in use.principals}
    assert len(members) >= 0.5 * accounts
    assert members | contained(world) <= {name(i) for i in range(accounts)}
    # With a request or two that brings it further, an account has nothing of its own to be contained for.
    assert contained(world) or accounts == 100


def test_without_campaigns_the_same_accounts_would_not_be_accused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one before must not pass by evidence that each account has alone."""
    monkeypatch.setattr(Campaigns, "take", lambda *_: None)
    world, version = world_with(reference())
    for frame in sybil(100):
        append(world, version, frame)
    world.catch_up()
    assert Kind.INTENT not in kinds(world)


def with_bystander(seed: int, noise: float, source: int = 0) -> list[Frame]:
    """Return an attack around an input that somebody else sends again and again, slightly differently each time."""
    session = attack(source)
    rng = np.random.default_rng(seed)
    frames = []
    for frame in batches(session, [EVE] * len(session)):
        own = session.inputs[:1] + rng.normal(0.0, noise, (10, victim().dimension))
        own = np.clip(own, victim().low, victim().high).astype(np.float32)
        bystander = frame_of(victim().predict(own), [CARL] * 10, prints_of(own))
        frames += [bystander, frame] if rng.random() < 0.5 else [frame, bystander]
    return frames


def folded(frames: Sequence[Frame]) -> World:
    world, version = world_with(reference())
    for frame in frames:
        append(world, version, frame, seconds=0.5)
    world.catch_up()
    return world


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1_000), noise=st.sampled_from([0.0, 0.01, 0.03, 0.1]), source=st.integers(0, 3))
def test_whoever_sends_what_an_attacker_works_around_is_accused_of_nothing_more_than_alone(
    seed: int, noise: float, source: int
) -> None:
    frames = with_bystander(seed, noise, source)
    alone = folded([frame for frame in frames if frame.principals is not None and frame.principals.labels == (CARL,)])
    together = folded(frames)
    intent = [use for use in uses(together) if use.kind is Kind.INTENT]
    assert any(use.principals[0] == EVE for use in intent)
    assert EVE in contained(together)
    if Kind.INTENT not in kinds(alone):
        held = [one for one in together.store.tables.containments.values() if one.tier == "intent"]
        assert CARL not in {one.principal for one in held}
        assert CARL not in {flipper for use in intent for flipper in (*use.flipped_by, *use.reused_by)}
        (version,) = together.store.tables.versions.values()
        assert version.state is not State.QUARANTINED
    assert contained(together) <= contained(alone) | {EVE}


def test_a_burst_of_new_principals_around_one_input_is_told_of_and_contains_nobody() -> None:
    world, version = world_with(reference())
    rng = np.random.default_rng(1)

    def send(principals: Sequence[str], seconds: float) -> None:
        inputs = victim().confirmation[0][:1] + rng.normal(0.0, 0.01, (len(principals), victim().dimension))
        inputs = np.clip(inputs, victim().low, victim().high).astype(np.float32)
        append(world, version, frame_of(victim().predict(inputs), principals, prints_of(inputs)), seconds)

    send([EVE, MALLORY], 1_300)
    # They are new, and yet not enough of them; then the others come.
    send([name(i) for i in range(BURST_MIN - 2)], 10)
    world.catch_up()
    assert not [use for use in uses(world) if "not seen before" in " ".join(use.reasons)]
    send([name(i) for i in range(100, 104)], 10)
    world.catch_up()
    (use,) = [use for use in uses(world) if "not seen before" in " ".join(use.reasons)]
    assert use.kind is Kind.PROBING
    assert use.subject.startswith("campaign ")
    assert set(use.techniques) <= {"AML.T0040", "AML.T0043.001"}
    assert use.best_margin is not None
    assert use.fidelity is not None
    assert use.techniques
    assert len(use.principals) >= BURST_MIN
    assert contained(world) == set()


def everything(world: World) -> tuple[object, ...]:
    """Return all that was decided about adversarial use."""
    tables = world.store.tables
    alerts = sorted((alert for alert in tables.alerts.values() if alert.adversarial), key=lambda alert: alert.id)
    held = sorted(tables.containments.values(), key=lambda one: one.principal)
    incidents = sorted((one.id, one.severity, one.title) for one in tables.incidents.values())
    states = [(one.id, one.state) for one in tables.versions.values()]
    return alerts, held, incidents, states


def story() -> list[Frame]:
    """Return telemetry with all that is remembered: a single attacker, a campaign, flips that come again."""
    frames = sybil(5)
    alone = list(batches(attack(1), [EVE] * len(attack(1))))
    again = list(batches(attack(1), [MALLORY] * len(attack(1))))
    mixed = [frame for pair in zip(frames, alone, strict=False) for frame in pair]
    return [*mixed, *again[-2:]]


def run(frames: Sequence[Frame], restarts: Sequence[int], policy: Policy = POLICY) -> tuple[tuple[object, ...], bytes]:
    """Fold telemetry, with another worker after each of some batches; return what followed, and what is known."""
    world, version = world_with(reference(), policy)
    worker = world.worker()
    for number, frame in enumerate(frames):
        append(world, version, frame)
        world.catch_up(worker)
        if number in restarts:
            worker = world.worker()
    return everything(world), msgspec.json.encode(told(world, version))


@pytest.mark.parametrize("kept", ["now and then", "at once"])
def test_restarts_of_the_worker_change_no_finding(kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is kept was kept a while ago, or at every pass."""
    if kept == "at once":
        monkeypatch.setattr(keeping, "WORK_MIN", 1)
        monkeypatch.setattr(keeping, "BYTES_PER_REQUEST", 1 << 40)
    frames = story()
    whole = run(frames, [])
    assert any(alert.adversarial.reused_by for alert in whole[0][0])  # type: ignore[attr-defined]
    for restarts in (range(len(frames)), [3, 9], [len(frames) - 2]):
        assert run(frames, restarts) == whole


def test_what_is_kept_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test before can fail: a worker that begins anew finds less."""
    frames = story()
    whole = run(frames, [])
    monkeypatch.setattr("service.detect.watch.recall", lambda *_: None)
    assert run(frames, range(len(frames))) != whole


def test_what_was_kept_and_cannot_be_read_begins_anew() -> None:
    world, version = world_with(reference())
    frames = story()
    for frame in frames[:4]:
        append(world, version, frame)
    world.catch_up()
    snapshots = world.store.tables.snapshots
    for content in (b"", b"\x00", snapshots[version.id].principals[:-7] + b"1234567"):  # type: ignore[index]
        snapshots[version.id] = replace(snapshots[version.id], principals=content)
        append(world, version, frames[5])
        world.catch_up(world.worker())
        assert told(world, version)["examined"] is not None


def test_a_flood_of_principals_does_not_grow_what_is_known_or_kept() -> None:
    """Of 40 and of 4,000 principals, at most ``principals_max`` are known, and what is kept has one size."""
    follow = Following(requests_per_second=10_000, share_of_one=1.0, principals_max=20)
    policy = msgspec.structs.replace(POLICY, adversarial=Adversarial(follow=follow))
    sizes = []
    inputs = np.concatenate([victim().reference[0], victim().calibration[0]])
    prints, answers = prints_of(inputs), victim().predict(inputs)
    for flood in (40, 4_000):
        world, version = world_with(reference(), policy)
        for start in range(0, flood, 200):
            own = np.arange(start, min(start + 200, flood))
            rows = own % len(inputs)
            append(
                world, version, frame_of(answers[rows], [name(i) for i in own.tolist()], [prints[row] for row in rows])
            )
        world.catch_up()
        status = told(world, version)
        assert (status["followed"], status["forgotten"]) == (20, flood - 20)
        kept = world.store.tables.snapshots[version.id].principals
        assert kept is not None
        sizes.append(len(kept))
    assert sizes[1] < 1.25 * sizes[0]


def test_who_does_not_fit_is_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.detect.principals.BYTES_MAX", 20_000)
    world, version = world_with(reference())
    inputs = victim().reference[0][:40]
    frame = frame_of(victim().predict(inputs), [name(i) for i in range(40)], prints_of(inputs))
    append(world, version, frame)
    world.catch_up()
    unkept = told(world, version)["unkept"]
    assert isinstance(unkept, int)
    assert 0 < unkept < 40
    append(world, version, frame_of(victim().predict(inputs[:1]), [name(39)], prints_of(inputs[:1])))
    world.catch_up(world.worker())
    assert told(world, version)["followed"] == 40 - unkept


def test_requests_are_matched_by_points_too_and_by_no_fingerprint_of_few_windows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[int, ...]] = []
    take = Campaigns.take

    def watched(self: Campaigns, request: Request) -> Seen | None:
        seen.append(request.hashes.shape)
        return take(self, request)

    monkeypatch.setattr(Campaigns, "take", watched)
    world, version = world_with(reference())
    inputs = victim().reference[0][:2]
    whole, other = prints_of(inputs)
    short = other[: 15 * 8] + bytes(8) + other[16 * 8 :]
    append(world, version, frame_of(victim().predict(inputs), [name(0), name(1)], [whole, short]))
    world.catch_up()
    assert seen == [(2, 16), (1, 16)]

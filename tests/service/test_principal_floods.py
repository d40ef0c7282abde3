"""A flood of principals between the requests of an attack: whoever is forgotten in between is seen all the same."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from redteam.benign.registry import WORKLOADS
from redteam.benign.registry import session_of as benign_session_of
from redteam.session import Session
from service.detect.campaigns import Campaigns, Request, Seen
from service.domain.adversarial import Adversarial, Following
from service.domain.principals import Kind
from service.domain.records import Version
from service.frames import Coded, encode_frame
from service.ports import EntryKind, NewEntry
from tests.service.test_pipeline_principals import (
    EVE,
    POLICY,
    attack,
    frame_of,
    kinds,
    reference,
    uses,
    victim,
    world_with,
)
from tests.service.worker.world import World

REMEMBERED, FLOOD = 20, 25
BOB = "b0b" + "d" * 29
FOLLOW = Following(requests_per_second=10_000, share_of_one=1.0, principals_max=REMEMBERED)
FLOODED = msgspec.structs.replace(POLICY, adversarial=Adversarial(follow=FOLLOW))


def flooded(world: World, version: Version, session: Session, requests: int, who: str = EVE, flood: int = 1) -> None:
    """Append the requests of a session, one a second, and after each more principals than are remembered."""
    inputs, rng = victim().confirmation[0], np.random.default_rng(flood)
    for i in range(min(requests, len(session))):
        one, other = inputs[rng.integers(0, len(inputs), (2, FLOOD))]
        ordinary = ((one + other) / 2.0).astype(np.float32)  # nobody's near-duplicates
        answers = victim().predict(ordinary.astype(np.float64)).astype(np.float32)
        frame = replace(
            frame_of(
                np.concatenate([session.inputs[i : i + 1], ordinary]),
                np.concatenate([session.probabilities[i : i + 1], answers]),
                who,
            ),
            principals=Coded(
                (who, *(f"{flood:024x}{i * FLOOD + j:08x}"[::-1] for j in range(FLOOD))),
                np.arange(FLOOD + 1, dtype=np.int32),
            ),
        )
        world.log.append_now(
            NewEntry(
                kind=EntryKind.BATCH,
                version_id=version.id,
                batch_id=f"{who}-{flood}-{i}",
                rows=frame.rows,
                body=encode_frame(frame),
            )
        )
        world.clock.advance(1)
    world.catch_up()


def told(world: World, version: Version) -> dict[str, int]:
    status: dict[str, int] = msgspec.json.decode(world.store.tables.snapshots[version.id].status)["principals"]
    return status


def test_an_attacker_who_is_forgotten_after_each_request_is_accused_and_nobody_of_the_flood() -> None:
    world, version = world_with(reference(), FLOODED)
    flooded(world, version, attack(0), 80)
    status = told(world, version)
    assert status["followed"] == REMEMBERED
    assert status["forgotten"] >= 80 * FLOOD
    assert Kind.INTENT in kinds(world)
    accused = [
        alert.adversarial for alert in uses(world) if alert.adversarial and alert.adversarial.kind is Kind.INTENT
    ]
    assert {use.principals for use in accused} == {(EVE,)}
    assert min(use.queries_at_alarm for use in accused) <= 40
    assert "it was forgotten" in " ".join(reason for use in accused for reason in use.reasons)
    assert {held.principal for held in world.store.tables.containments.values()} == {EVE}


@pytest.mark.parametrize("workload", ["noise", "sweep"])
def test_an_explainer_between_as_many_is_left_alone(workload: str) -> None:
    world, version = world_with(reference(), FLOODED)
    flooded(world, version, benign_session_of(WORKLOADS[workload], victim(), "confirmation", 3, 7), 60)
    assert Kind.INTENT not in kinds(world)


def test_a_bystander_who_was_forgotten_is_not_accused_of_what_others_do_around_its_input() -> None:
    session = attack(0)
    world, version = world_with(reference(), FLOODED)
    # The bystander sends the input that is attacked, is forgotten, and sends it a little changed.
    near = session.inputs[:1] + np.float32(1e-3) * np.sign(session.inputs[:1] - 0.5)
    inputs = np.concatenate([session.inputs[:1], near]).astype(np.float32)
    answers = victim().predict(inputs.astype(np.float64)).astype(np.float32)
    flooded(world, version, replace(session, inputs=inputs, probabilities=answers), 2, BOB)
    flooded(world, version, replace(session, inputs=session.inputs[1:], probabilities=session.probabilities[1:]), 60)
    accused = [
        alert.adversarial for alert in uses(world) if alert.adversarial and alert.adversarial.kind is Kind.INTENT
    ]
    assert accused
    assert {held.principal for held in world.store.tables.containments.values()} == {EVE}


def test_a_bystander_whose_requests_went_one_way_is_not_accused_of_what_others_do_around_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Small steps towards another label are held against whoever sent them by themselves, not once others go on."""
    take = Campaigns.take

    def together(campaigns: Campaigns, request: Request) -> Seen | None:
        """As if all that the two send were near-duplicates, whatever their hashes."""
        if request.name in (BOB, EVE):
            request = request._replace(hashes=(np.arange(1, 9, dtype=np.uint64) << np.uint64(24))[None])
        return take(campaigns, request)

    monkeypatch.setattr(Campaigns, "take", together)
    session = attack(1)
    world, version = world_with(reference(), FLOODED)
    flips = session.probabilities.argmax(axis=1) != session.probabilities[0].argmax()
    way = np.sign(session.inputs[flips][0] - session.inputs[0])
    rng = np.random.default_rng(99)
    late = session.inputs[0] + rng.normal(0.0, 0.01, (5, len(way)))

    def bystander(inputs: NDArray[np.float64], flood: int) -> None:
        sent = np.clip(inputs, 0.0, 1.0).astype(np.float32)
        answers = victim().predict(sent.astype(np.float64)).astype(np.float32)
        assert (answers.argmax(axis=1) == session.probabilities[0].argmax()).all()
        flooded(world, version, replace(session, inputs=sent, probabilities=answers), len(sent), BOB, flood)

    bystander(session.inputs[0] + 0.006 * np.arange(8)[:, None] * way, 1)
    others = replace(session, inputs=session.inputs[1:], probabilities=session.probabilities[1:])
    flooded(world, version, others, 60, EVE, 2)
    bystander(late, 3)
    assert {held.principal for held in world.store.tables.containments.values()} == {EVE}


def test_who_is_remembered_without_a_break_is_no_campaign_of_one() -> None:
    world, version = world_with(reference(), msgspec.structs.replace(POLICY))
    flooded(world, version, attack(0), 30)
    assert told(world, version)["forgotten"] == 0
    assert not any(alert.adversarial and "campaign" in alert.adversarial.subject for alert in uses(world))

"""Whoever attacks input after input and gives each up early is told of by its stories together; explainers are not."""

from dataclasses import replace
from functools import cache

import msgspec
import pytest

from redteam.attacks import ATTACKS
from redteam.attacks.sessions import session_of, sources_of
from redteam.benign.registry import WORKLOADS
from redteam.benign.registry import session_of as benign_session_of
from redteam.session import Session
from service.domain.policy import Policy
from service.domain.principals import Kind
from service.domain.records import Version
from service.domain.states import State
from tests.service.test_pipeline_principals import CARL, EVE, POLICY, kinds, reference, send, uses, victim, world_with
from tests.service.worker.world import World

INPUTS, REQUESTS, SEED = 16, 64, 23


def first_of(session: Session) -> Session:
    """Return the requests until an input is given up."""
    return replace(
        session,
        inputs=session.inputs[:REQUESTS],
        probabilities=session.probabilities[:REQUESTS],
        seconds=session.seconds[:REQUESTS],
        accounts=session.accounts[:REQUESTS],
    )


@cache
def given_up(name: str) -> tuple[Session, ...]:
    held = victim().confirmation
    places = sources_of(victim(), held)
    return tuple(first_of(session_of(ATTACKS[name], victim(), held, places[i], SEED, REQUESTS)) for i in range(INPUTS))


def after(sessions: tuple[Session, ...], principal: str, policy: Policy = POLICY) -> tuple[World, Version]:
    world, version = world_with(reference(), policy)
    for session in sessions:
        send(world, version, session, principal)
    world.catch_up()
    return world, version


def status_of(world: World, version: Version) -> dict[str, float]:
    status = msgspec.json.decode(world.store.tables.snapshots[version.id].status)
    told: dict[str, float] = status["principals"]["persistence"]
    return told


def test_an_attacker_who_gives_every_input_up_is_told_of_and_contained_and_the_model_stays() -> None:
    world, version = after(given_up("nes-l2"), EVE)
    (use,) = [use for use in uses(world) if use.adversarial and use.adversarial.kind is Kind.PERSISTENCE]
    assert use.adversarial is not None
    assert use.adversarial.principals == (EVE,)
    assert use.adversarial.calibrated
    assert use.adversarial.fidelity is not None
    assert use.adversarial.best_margin is not None
    assert use.evidence_log >= use.threshold_log
    assert "inputs, one after the other" in use.reason
    assert EVE in {held.principal for held in world.store.tables.containments.values()}
    assert world.state(version) is not State.QUARANTINED
    assert status_of(world, version)["betting"] == 1
    assert status_of(world, version)["log_highest"] >= use.threshold_log


@pytest.mark.parametrize("workload", ["lime", "kernelshap", "noise", "sensitivity", "random_walk"])
def test_explainers_of_input_after_input_are_not(workload: str) -> None:
    """Fixed seeds; the benchmark says how many are."""
    sessions = tuple(
        first_of(benign_session_of(WORKLOADS[workload], victim(), "confirmation", source, SEED))
        for source in range(INPUTS)
    )
    world, version = after(sessions, CARL)
    assert Kind.PERSISTENCE not in kinds(world)
    assert status_of(world, version)["betting"] == 1, "it did send near-duplicates"


def test_a_declared_explainer_is_not_told_of_whatever_it_wins() -> None:
    named = f"pseudonym:{EVE}"
    declared = msgspec.structs.replace(POLICY.adversarial, explainers=(named,))
    world, _ = after(given_up("nes-l2"), EVE, msgspec.structs.replace(POLICY, adversarial=declared))
    assert Kind.PERSISTENCE not in kinds(world)

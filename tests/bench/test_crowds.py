"""The measurement of crowds: benign clients are accused of nothing, and an attack that is split over them is found."""

from dataclasses import replace

import numpy as np
import pytest

from bench.adversarial.crowds import Glass, cells, crowd, glass_of, shared
from bench.adversarial.sessions import CONFIRM, of_workload
from detectors.principals.grown import INTENT
from redteam import benign
from redteam.attacks import ATTACKS, session_of, sources_of
from redteam.session import Session
from redteam.victims import Victim, cancer, digits


@pytest.fixture(scope="module")
def victim() -> Victim:
    return digits()


@pytest.fixture(scope="module")
def glass(victim: Victim) -> Glass:
    return glass_of(victim)


def split_over(session: Session, accounts: int) -> list[Session]:
    """Return one session for each account, which ask in turn."""
    return [
        replace(
            session,
            inputs=session.inputs[number::accounts],
            probabilities=session.probabilities[number::accounts],
            accounts=np.zeros(len(session.inputs[number::accounts]), np.int32),
        )
        for number in range(accounts)
    ]


@pytest.mark.parametrize("prints", [True, False])
def test_an_attack_that_clients_share_is_told_and_who_brings_it_further_is_accused(
    victim: Victim, glass: Glass, prints: bool
) -> None:
    held = victim.confirmation
    session = session_of(ATTACKS["simba-dct"], victim, held, sources_of(victim, held)[0], 1, 150)
    told = crowd(split_over(session, 5), glass, prints=prints)
    assert told.clients == 5
    assert told.accused
    assert told.accused <= told.told <= told.near


def test_benign_clients_side_by_side_are_accused_of_nothing(victim: Victim, glass: Glass) -> None:
    known = {one.name: one for one in benign.workloads_for(victim)}
    for name in ("iid", "lime"):
        told = crowd(of_workload(victim, known[name], CONFIRM, 6), glass, prints=True)
        assert (told.clients, told.told, told.accused) == (6, set(), set())
        assert cells(told)[2] == "0 (0-46 %)"


def test_clients_around_one_input_all_begin_with_it(victim: Victim) -> None:
    sessions = list(shared(victim, 4))
    assert len({session.source for session in sessions}) == 1
    assert len({session.seed for session in sessions}) == 4
    assert len({session.workload for session in sessions}) > 1


def test_the_victims_of_the_benchmark_keep_the_threshold_of_the_forest(glass: Glass) -> None:
    assert glass.measure.thresholds.intent == INTENT
    for model in ("logistic", "forest"):
        assert glass_of(cancer(model)).measure.thresholds.intent == INTENT

"""A smaller run of the fuzzing that the page shows: one principal takes the model from nobody, though it could."""

import asyncio

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.adversarial.fuzz import BATCH, EVE, POLICIES, fuzz, garbage, pool_of, row_of
from redteam.victims import Victim, digits
from service.domain.adversarial import Adversarial, DriftOfOne, Following
from service.ingest.decode import Raw

REQUESTS = 2_500
ATTACKS = ("nes-linf", "jacobian", "knockoff-noise", "chaff")


@pytest.fixture(scope="module")
def victim() -> Victim:
    return digits()


@pytest.fixture(scope="module")
def pool(victim: Victim) -> list[NDArray[np.float64]]:
    return pool_of(victim, ATTACKS, 3)


def test_one_principal_quarantines_nothing_whatever_it_sends(victim: Victim, pool: list[NDArray[np.float64]]) -> None:
    done = asyncio.run(fuzz(victim, pool, 2 * REQUESTS, 1, Adversarial(follow=Following())))
    assert 2 * REQUESTS <= done.requests < 2 * REQUESTS + BATCH
    assert not done.quarantines
    # It was noticed all the same: the principal is contained, and the drift that it was is an incident.
    assert done.contained == 1
    assert done.spared
    assert set(done.alerts) & {"probing", "intent", "extraction"}
    assert "**0**" in row_of("x", done)


def test_without_the_rule_the_same_requests_do(victim: Victim, pool: list[NDArray[np.float64]]) -> None:
    careless = Adversarial(follow=Following(), drift_of_one=DriftOfOne.QUARANTINE)
    done = asyncio.run(fuzz(victim, pool, REQUESTS, 3, careless))
    assert done.quarantines
    assert set(done.quarantines) <= {"data_drift", "prediction_drift", "data_quality"}


def test_garbage_is_of_one_principal_and_of_many_kinds(victim: Victim) -> None:
    bodies = [garbage(victim, np.random.default_rng(i)) for i in range(50)]
    assert len({raw.content_type for raw in bodies}) == 2
    assert sum(EVE.encode() in raw.body for raw in bodies) > 25
    assert len(POLICIES) == 3


def test_what_is_refused_is_no_request(
    victim: Victim, pool: list[NDArray[np.float64]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []

    def cut_short(*_: object) -> Raw:
        sent.append(1)
        return Raw(body=b'{"events": [', content_type="application/json", content_encoding=None)

    monkeypatch.setattr("bench.adversarial.fuzz.garbage", cut_short)
    done = asyncio.run(fuzz(victim, pool, 1_000, 3, Adversarial(follow=Following())))
    assert done.refused == len(sent) > 0
    assert done.requests == 1_000

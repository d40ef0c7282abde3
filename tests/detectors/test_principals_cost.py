"""Cost: whoever is slower than others at the same time is told of; a slow network is nobody's fault."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.errors import DetectorError
from detectors.principals.cost import KEPT, LIMIT, REQUESTS_MAX, Costs

Times = NDArray[np.float64]


def rounds(costs: Costs, times: dict[str, Times], each: int, count: int, slow: float = 1.0) -> dict[str, list[float]]:
    """Play rounds in which every principal sends ``each`` requests; from half of them on all are slower."""
    seen: dict[str, list[float]] = {name: [] for name in times}
    for number in range(count):
        for name, own in times.items():
            for cost in own[number * each : (number + 1) * each]:
                costs.add(name, float(cost) * (slow if number >= count // 2 else 1.0))
        for name, spender in costs.close(number).items():
            seen[name].append(spender.evidence)
    return seen


def clients(rng: np.random.Generator, count: int, requests: int) -> dict[str, Times]:
    return {f"c{i}": rng.lognormal(2.0, 0.5, requests) for i in range(count)}


def test_one_that_is_twice_as_slow_is_told_of_and_nobody_else() -> None:
    rng = np.random.default_rng(1)
    times = clients(rng, 10, 600) | {"eve": 2.0 * rng.lognormal(2.0, 0.5, 600)}
    costs = Costs()
    seen = rounds(costs, times, 10, 60)
    assert max(seen["eve"]) >= LIMIT
    assert max(max(own) for name, own in seen.items() if name != "eve") < LIMIT / 2
    assert len(costs) == 11


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), slow=st.floats(0.01, 100.0))
def test_honest_clients_are_not_accused_however_slow_the_network_becomes(seed: int, slow: float) -> None:
    """The bound says at most 10 * 8 * 40 / 1e6 for all examples together; with the tolerance it is far less."""
    rng = np.random.default_rng(seed)
    seen = rounds(Costs(), clients(rng, 8, 400), 10, 40, slow)
    assert max(max(own) for own in seen.values()) < LIMIT


def test_bets_have_a_mean_of_at_most_one_for_exchangeable_clients() -> None:
    """400 rounds: with the tolerance the mean of the bets is about 0.8, its standard error 0.01."""
    rng = np.random.default_rng(2)
    bets = []
    for _ in range(400):
        costs = Costs()
        for name in ("a", "b", "c", "d", "e"):
            for cost in rng.lognormal(0.0, 1.0, KEPT):
                costs.add(name, float(cost))
        bets.append(math.exp(costs.close()["a"].slower))
    assert np.mean(bets) < 1.0


def test_a_larger_input_may_take_longer_and_a_slow_small_one_may_not() -> None:
    rng = np.random.default_rng(3)
    seen: dict[str, float] = {}
    costs = Costs()
    for number in range(60):
        for name in (*(f"c{i}" for i in range(8)), "large", "slow"):
            for _ in range(8):
                size = float(rng.lognormal(3.0, 0.3)) * (1.9 if name == "large" else 1.0)
                costs.add(name, size * float(rng.lognormal(0.0, 0.2)) * (2.5 if name == "slow" else 1.0), size)
        seen |= {name: spender.evidence for name, spender in costs.close(number).items()}
    assert seen["slow"] >= LIMIT
    assert seen["large"] < LIMIT / 2


def test_more_than_its_share_of_the_time_is_told_of_only_where_there_is_a_share() -> None:
    rng = np.random.default_rng(4)
    for share, told in ((0.3, True), (None, False), (0.8, False)):
        costs = Costs(share=share)
        evidence = 0.0
        for number in range(60):
            for name in ("a", "b", "c", "d"):
                for cost in rng.lognormal(2.0, 0.3, 16):
                    costs.add(name, float(cost))
            for cost in rng.lognormal(2.0, 0.3, 100):
                costs.add("flood", float(cost))
            found = costs.close(number)["flood"]
            evidence = max(evidence, found.share)
            assert 0.55 < found.part < 0.68
        assert (evidence >= LIMIT) is told


def test_too_few_principals_say_nothing_and_what_is_no_time_is_left_out() -> None:
    costs = Costs()
    for name in ("a", "b", "c"):
        for _ in range(100):
            costs.add(name, 5.0)
    assert not costs.ready
    assert costs.close() == {}
    for bad in (0.0, -1.0, math.nan, math.inf):
        costs.add("a", bad)
    assert costs.close() == {}
    assert costs.rounds == 0


def test_memory_has_an_end() -> None:
    costs = Costs(principals_max=10)
    for name in range(REQUESTS_MAX + 500):
        costs.add(str(name), 1.0)
    assert len(costs.close()) == REQUESTS_MAX
    assert len(costs) == 10


@pytest.mark.parametrize("bad", [{"principals_max": 0}, {"share": 0.0}, {"share": 1.0}, {"share": math.nan}])
def test_parameters_out_of_range_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(DetectorError):
        Costs(**bad)  # type: ignore[arg-type]

"""Who has most of the labels is known however many names there are, and in whatever order they come."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.detect.reporters import COUNTED_MAX, Reporters

EVE = "e" * 32


def counted(told: list[str], size: int) -> Reporters:
    reporters = Reporters()
    for first in range(0, len(told), size):
        reporters.note(told[first : first + size])
    return reporters


def labels_of(share: float, order: str, others: int = 20_000, labels: int = 40_000) -> list[str]:
    """Return reporters of labels: Eve of a share, the rest by others in turn."""
    own = round(share * labels)
    rest = [f"{i % others:032x}" for i in range(labels - own)]
    if order == "first":
        return [EVE] * own + rest
    if order == "last":
        return rest + [EVE] * own
    told = rest + [EVE] * own
    return [told[i] for i in np.random.default_rng(7).permutation(labels).tolist()]


@pytest.mark.parametrize("order", ["first", "last", "mixed"])
@pytest.mark.parametrize("size", [1, 97, 5_000])
def test_a_majority_is_told_among_many_names(order: str, size: int) -> None:
    found = counted(labels_of(0.501, order), size).majority()
    assert found is not None
    assert found[0] == EVE
    assert 0.5 < found[1] < 0.51
    assert counted(labels_of(0.49, order), size).majority() is None


@pytest.mark.parametrize("order", ["first", "last", "mixed"])
def test_counts_of_a_few_names_are_exact(order: str) -> None:
    told = labels_of(0.5, order, others=COUNTED_MAX - 1, labels=10_000)
    assert counted(told, 50).majority() is None
    reporters = counted([*told, EVE], 50)
    assert reporters.majority() == (EVE, 5_001 / 10_001)
    assert reporters.counts == Counter([*told, EVE])


def test_whoever_operates_the_service_is_nobody_in_particular() -> None:
    assert counted([""] * 100, 10).majority() is None
    assert counted([""] * 51 + [EVE] * 49, 10).majority() is None
    assert Reporters().majority() is None


@given(
    told=st.lists(st.integers(0, 3 * COUNTED_MAX), max_size=2_000),
    own=st.integers(1, 2_000),
    size=st.integers(1, 900),
    seed=st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_every_majority_is_told_and_memory_is_bounded(told: list[int], own: int, size: int, seed: int) -> None:
    names = [f"{one:032x}" for one in told] + [EVE] * own
    names = [names[i] for i in np.random.default_rng(seed).permutation(len(names)).tolist()]
    reporters = counted(names, size)
    assert len(reporters.counts) <= COUNTED_MAX
    assert all(number <= names.count(name) for name, number in reporters.counts.items())
    found = reporters.majority()
    if 2 * own > len(names):
        assert found is not None
        assert found[0] == EVE
        assert found[1] >= own / len(names)
    elif found is not None:
        # At most by what may be missing: one in COUNTED_MAX + 1 of the labels.
        assert 2 * names.count(found[0]) > len(names) * (1 - 2 / (COUNTED_MAX + 1)) - 2

"""Repeated events: the share among the sampled ones, whatever batch or order they came in."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.errors import StateError
from detectors.traffic.repeats import KEPT, SAMPLED, Repeats, row_hashes, sampled_rows, text_hash


def hashes(numbers: NDArray[np.float64]) -> NDArray[np.uint32]:
    chosen = np.ascontiguousarray(numbers[:, sampled_rows(numbers)])
    words = chosen.view(np.uint32).reshape(len(chosen), -1, 2).transpose(0, 2, 1).reshape(2 * len(chosen), -1)
    return row_hashes(words, tuple(str(i) for i in range(len(words))))


@given(seed=st.integers(0, 1_000), cuts=st.lists(st.integers(0, 600), max_size=4), shuffled=st.booleans())
@settings(max_examples=40, deadline=None)
def test_counts_do_not_depend_on_batches_or_order(seed: int, cuts: list[int], *, shuffled: bool) -> None:
    rng = np.random.default_rng(seed)
    stream = rng.integers(0, 3_000, 600).astype(np.uint32) * np.uint32(1_431_655)
    whole, cut = Repeats(), Repeats()
    for _ in range(3):
        whole.add(stream)
        pieces = np.split(rng.permutation(stream) if shuffled else stream, sorted(cuts))
        for piece in pieces:
            cut.add(piece)
            cut = Repeats.from_bytes(cut.to_bytes())
        assert whole.close() == cut.close()
        assert whole.to_bytes() == cut.to_bytes()
        stream = rng.integers(0, 3_000, 600).astype(np.uint32) * np.uint32(1_431_655)


@given(seed=st.integers(0, 1_000), parts=st.integers(1, 5))
@settings(max_examples=15, deadline=None)
def test_a_tick_of_too_many_is_sampled_further_and_stays_exact(seed: int, parts: int) -> None:
    rng = np.random.default_rng(seed)
    stream = rng.integers(0, 2**32, 5 * KEPT, dtype=np.uint32)
    whole, cut = Repeats(), Repeats()
    whole.add(np.concatenate([stream, stream[:KEPT]]))
    for piece in np.array_split(rng.permutation(np.concatenate([stream, stream[:KEPT]])), parts):
        cut.add(piece)
    assert whole.to_bytes().__len__() < 8 * KEPT
    looked, repeated = whole.close()
    assert (looked, repeated) == cut.close()
    assert 0 < looked <= KEPT
    # A sixth of them are copies; the sample has some hundreds: five standard deviations.
    assert abs(repeated / looked - 1 / 6) < 5 * np.sqrt(1 / 6 / looked)


def test_the_share_in_the_sample_is_that_of_all_events() -> None:
    """Fixed seed; three in ten events of each tick were there in an earlier one."""
    rng = np.random.default_rng(1)
    repeats, looked, repeated = Repeats(), 0, 0
    before = rng.normal(size=(6, 1_000))
    repeats.add(hashes(before))
    repeats.close()
    for _ in range(100):
        now = rng.normal(size=(6, 1_000))
        now[:, :300] = before[:, rng.permutation(1_000)[:300]]
        repeats.add(hashes(now))
        more, hits = repeats.close()
        looked, repeated, before = looked + more, repeated + hits, now
    assert looked == pytest.approx(100_000 / SAMPLED, rel=0.05)
    assert repeated / looked == pytest.approx(0.3, abs=0.03)


def test_every_kind_of_number_is_sampled_evenly() -> None:
    rng = np.random.default_rng(2)
    for values in (
        rng.normal(size=(3, 40_000)),
        rng.integers(0, 10**6, (3, 40_000)).astype(np.float64),
        np.exp2(rng.integers(-30, 30, (8, 40_000)).astype(np.float64)),
        np.arange(40_000.0)[None],
    ):
        for sampled in (sampled_rows(values), sampled_rows(values.astype(np.float32))):
            assert len(sampled) == pytest.approx(40_000 / SAMPLED, rel=0.15)


def test_hashes_tell_whole_numbers_apart() -> None:
    """Whole numbers as floats differ in few bits of their high word only."""
    grid = np.stack(np.meshgrid(np.arange(300.0), np.arange(300.0))).reshape(2, -1)
    words = grid.view(np.uint32).reshape(2, -1, 2).transpose(0, 2, 1).reshape(4, -1)
    found = row_hashes(words, ("a0", "a1", "b0", "b1"))
    assert len(np.unique(found)) >= 90_000 - 5
    assert text_hash("größe") == text_hash("größe")


def test_events_are_forgotten_once_many_others_came() -> None:
    repeats = Repeats()
    first = np.arange(100, dtype=np.uint32)
    repeats.add(first)
    repeats.close()
    for i in range(1, 50):
        repeats.add(first + np.uint32(100 * i))
        assert repeats.close() == (100, 0)
        assert len(repeats.to_bytes()) < 5 * KEPT
    repeats.add(first)
    assert repeats.close() == (100, 0)


def test_bytes_that_are_cut_short_are_refused() -> None:
    repeats = Repeats()
    repeats.add(np.arange(10, dtype=np.uint32))
    with pytest.raises(StateError, match="cut short"):
        Repeats.from_bytes(repeats.to_bytes()[:-2])

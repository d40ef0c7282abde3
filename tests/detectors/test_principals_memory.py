"""How much room a principal takes, and that nobody can take more: with what the page says of it."""

import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.principals.grown import grown
from detectors.principals.monitor import Principal, Roster, Yardstick

DIMENSION, CLASSES = 32, 10
FIRST, ORDINARY, WORST = 20_000, 90_000, 340_000
"""Bytes of one request, of hundreds, and of hundreds of pairs of near-duplicates; the page says 15, 70 and 300 kB."""
Row = NDArray[np.float32]
CENTRES = 3.0 * np.random.default_rng(99).normal(size=(CLASSES, DIMENSION))


def measured() -> Yardstick:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, 800)
    points = (CENTRES[labels] + rng.normal(size=(800, DIMENSION))).astype(np.float32)
    answers = np.full((800, CLASSES), 0.02)
    answers[np.arange(800), labels] = 0.82
    return Yardstick.fit(points, labels, answers, grown())


YARDSTICK = measured()
grown()


def ordinary(rng: np.random.Generator) -> Iterator[tuple[Row, int]]:
    while True:
        label = int(rng.integers(0, CLASSES))
        yield (CENTRES[label] + rng.normal(size=DIMENSION)).astype(np.float32), label


def pairs(rng: np.random.Generator) -> Iterator[tuple[Row, int]]:
    """Yield what takes the most room: every second request is a near-duplicate of the one before, and of no other."""
    for point, label in ordinary(rng):
        yield point, label
        yield (point + 0.001 * rng.normal(size=DIMENSION)).astype(np.float32), label


def fed(principal: Principal, requests: Iterator[tuple[Row, int]], count: int, rng: np.random.Generator) -> None:
    for _, (point, label) in zip(range(count), requests, strict=False):
        answer = np.full(CLASSES, 0.02)
        answer[label] = 0.82
        principal.take(point, label, answer + 1e-3 * rng.random(CLASSES))


def room_of(work: Callable[[], object]) -> int:
    """Return the bytes that what work returns keeps."""
    work()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = work()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept is not None
    return after - before


@pytest.mark.parametrize(
    ("kind", "count", "most"),
    [(ordinary, 1, FIRST), (ordinary, 400, ORDINARY), (pairs, 600, WORST)],
)
def test_a_principal_takes_as_much_room_as_the_page_says(
    kind: Callable[[np.random.Generator], Iterator[tuple[Row, int]]], count: int, most: int
) -> None:
    def one() -> Principal:
        rng = np.random.default_rng(1)
        principal = Principal(YARDSTICK)
        fed(principal, kind(rng), count, rng)
        return principal

    room = room_of(one)
    assert most / 3 < room < most


def test_a_flood_of_the_largest_principals_stays_within_the_setting() -> None:
    """Of 60 principals at most six are known, and all of them together take no more than six of the largest."""

    def flood() -> Roster[int]:
        rng = np.random.default_rng(2)
        roster: Roster[int] = Roster(YARDSTICK, 6)
        for name in range(60):
            fed(roster.of(name), pairs(rng), 260, rng)
        return roster

    assert room_of(flood) < 6 * WORST

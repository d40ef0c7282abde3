"""Which requests are looked at when more come than may be: nobody who fills a second's beginning hides the rest."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.detect.rations import SECOND_US, Ration
from service.domain.adversarial import Following
from service.domain.ids import Micros
from service.frames import Coded

FOLLOWING = Following(requests_per_second=100, share_of_one=0.2)
FLOODERS = tuple(f"{i:032x}" for i in range(5))
EVE = "e" * 32


def flood(rows: int) -> Coded:
    """Requests of five principals in turn: as many as fill all there is."""
    return Coded(FLOODERS, np.arange(rows, dtype=np.int32) % 5)


def at(second: float) -> Micros:
    return Micros(round((1_000 + second) * SECOND_US))


def taken(ration: Ration, principals: Coded, second: float) -> NDArray[np.int64]:
    when = at(second)
    if not ration.is_left(when):
        ration.pass_over(len(principals.codes))
        return np.array([], np.int64)
    return ration.choose(principals, when)[0]


def test_where_all_fit_all_are_looked_at() -> None:
    ration = Ration(FOLLOWING, b"key")
    for second in range(5):
        assert len(taken(ration, flood(100), second)) == 100


def test_who_fills_the_beginning_of_each_second_hides_nothing_behind_it() -> None:
    ration = Ration(FOLLOWING, b"key")
    eve = Coded((EVE,), np.zeros(20, np.int32))
    seen = 0
    for second in range(200):
        taken(ration, flood(300), second + 0.1)
        seen += len(taken(ration, eve, second + 0.9))
    # 320 come, and 70 of 100 are drawn: of 4,000 so many are to be seen, but the first second's 20 are not.
    expected, error = 70 / 320 * 3_980, (70 / 320 * 250 / 320 * 3_980) ** 0.5
    assert abs(seen - expected) < 6 * error


def test_nobody_without_the_key_knows_which_are_looked_at() -> None:
    chosen = []
    for key in (b"one", b"other", b"one"):
        ration = Ration(FOLLOWING, key)
        taken(ration, flood(1_000), 0)
        chosen.append(taken(ration, flood(1_000), 1))
    assert np.array_equal(chosen[0], chosen[2])
    # A row of one is one of the other with 0.07; six standard errors of at most 100 draws.
    assert 40 <= len(chosen[0]) <= 100
    assert len(np.intersect1d(chosen[0], chosen[1])) < 7 + 6 * 2.6


def test_after_a_second_of_silence_all_are_looked_at_again() -> None:
    ration = Ration(FOLLOWING, b"key")
    taken(ration, flood(1_000), 0)
    assert len(taken(ration, flood(100), 2)) == 100


@settings(max_examples=50)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.data())
def test_how_requests_are_cut_into_batches_and_restarts_change_nothing(sizes: list[int], data: st.DataObject) -> None:
    whole, cut = Ration(FOLLOWING, b"key"), Ration(FOLLOWING, b"key")
    for ration in (whole, cut):
        taken(ration, flood(400), 0)
    rows = sum(sizes)
    expected = taken(whole, flood(rows), 1).tolist()
    found: list[int] = []
    start = 0
    for size in sizes:
        part = Coded(FLOODERS, np.arange(start, start + size, dtype=np.int32) % 5)
        if data.draw(st.booleans()):
            again = Ration(FOLLOWING, b"key")
            again.adopt(cut.second, cut.taken, cut.taken_of, cut.came, cut.before)
            cut = again
        found += (start + taken(cut, part, 1)).tolist()
        start += size
    assert found == expected

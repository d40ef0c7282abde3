"""Which requests are looked at when more come than may be: nobody who fills a second's beginning hides the rest."""

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.detect.rations import SECOND_US, Ration, Turn
from service.domain.adversarial import Following
from service.domain.ids import Micros
from service.frames import Coded

FOLLOWING = Following(requests_per_second=100, share_of_one=0.2)
FLOODERS = tuple(f"{i:032x}" for i in range(5))
EVE = "e" * 32


def flood(rows: int) -> Coded:
    """Requests of five principals in turn: as many as fill all there is."""
    return Coded(FLOODERS, np.arange(rows, dtype=np.int32) % 5)


def crowd(rows: int) -> Coded:
    """Requests of so many principals, one each."""
    return Coded(tuple(f"{i:032x}" for i in range(100, 100 + rows)), np.arange(rows, dtype=np.int32))


def eve(rows: int) -> Coded:
    """Requests of one."""
    return Coded((EVE,), np.zeros(rows, np.int32))


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
    seen = 0
    for second in range(200):
        taken(ration, crowd(300), second + 0.1)
        seen += len(taken(ration, eve(20), second + 0.9))
    # 320 come, and 29 of 50 are drawn of what comes after the first 50; but the first second's 20 are not.
    expected, error = 29 / 270 * 3_980, (29 / 270 * 241 / 270 * 3_980) ** 0.5
    assert abs(seen - expected) < 6 * error


def test_whoever_sends_more_than_its_part_hides_nobody_else() -> None:
    ration = Ration(FOLLOWING, b"key")
    for second in range(20):
        taken(ration, Coded(FLOODERS[:1], np.zeros(5_000, np.int32)), second + 0.1)
        assert len(taken(ration, eve(20), second + 0.9)) == 20


def test_a_flood_hides_nothing_of_the_second_after_it() -> None:
    ration = Ration(FOLLOWING, b"key")
    for second in range(0, 40, 2):
        taken(ration, crowd(50_000), second)
        assert len(taken(ration, eve(10), second + 1)) == 10


def test_a_flood_every_other_second_hides_nothing_at_its_end() -> None:
    ration = Ration(Following(requests_per_second=500), b"key")
    seen = 0
    for second in range(0, 400, 2):
        taken(ration, crowd(5_000), second + 0.1)
        seen += len(taken(ration, eve(20), second + 0.9))
    # 5,020 come, and 4,706 are known two seconds later: 202 of 4,456 are drawn, 216 of 250 at most. But the
    # first 20 are not.
    expected, error = 202 / 4_456 * 3_980, (202 / 4_456 * 3_980) ** 0.5
    assert abs(seen - expected) < 6 * error


def test_who_sends_its_part_first_hides_nothing_that_comes_later_of_its_own() -> None:
    ration = Ration(FOLLOWING, b"key")
    seen = 0
    for second in range(400):
        taken(ration, eve(20), second + 0.1)
        seen += int((taken(ration, eve(20), second + 0.9) >= 0).sum())
    # 40 come; of the 30 after the first 10 each is drawn with 1/30, as 10 less three standard errors are 0, so 1.
    expected, error = 20 / 30 * 399, (20 / 30 * 399) ** 0.5
    assert abs(seen - expected) < 6 * error


def test_nobody_without_the_key_knows_which_are_looked_at() -> None:
    chosen = []
    for key in (b"one", b"other", b"one"):
        ration = Ration(FOLLOWING, key)
        taken(ration, crowd(1_000), 0)
        chosen.append(taken(ration, crowd(1_000), 1)[50:])
    assert np.array_equal(chosen[0], chosen[2])
    # Beyond the first 50, a row of one is one of the other with 29/950; six standard errors of at most 50 draws.
    assert 1 <= len(chosen[0]) <= 50
    assert len(np.intersect1d(chosen[0], chosen[1])) < 1.5 + 6 * 1.3


def test_floods_are_forgotten_by_and_by() -> None:
    ration = Ration(FOLLOWING, b"key")
    taken(ration, crowd(1_000), 0)
    assert len(taken(ration, crowd(100), 1)) < 80
    # A sixteenth each second: of 1,000 fewer than 100 are left after 36.
    assert len(taken(ration, crowd(100), 36)) < 100
    assert len(taken(ration, crowd(100), 38)) == 100


MIXED = tuple(f"{i:032x}" for i in range(60))


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 2)), min_size=1, max_size=20), st.data())
def test_how_requests_are_cut_into_batches_and_restarts_change_nothing(
    sizes: list[tuple[int, int]], data: st.DataObject
) -> None:
    whole, cut = Ration(FOLLOWING, b"key"), Ration(FOLLOWING, b"key")
    rng = np.random.default_rng(len(sizes))
    second = 0
    for size, more in sizes:
        second += more
        # Some principals send most, some rows have none.
        codes = (rng.integers(-1, 60, 3 * size) ** 2 // 60 - (rng.random(3 * size) < 0.1)).clip(-1).astype(np.int32)
        expected = taken(whole, Coded(MIXED, codes), second).tolist()
        found: list[int] = []
        at_row = data.draw(st.integers(0, len(codes)))
        for part, start in ((codes[:at_row], 0), (codes[at_row:], at_row)):
            if data.draw(st.booleans()):
                again = Ration(FOLLOWING, b"key")
                again.adopt(msgspec.msgpack.decode(msgspec.msgpack.encode(cut.turn), type=Turn))
                cut = again
            found += (start + taken(cut, Coded(MIXED, part), second)).tolist()
        assert found == expected
        assert len(found) <= FOLLOWING.requests_per_second

"""What stands between an attack and the victim changes what it says it changes, and nothing else."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from redteam.attacks import ATTACKS, Attack, Family, Source, session_of, sources_of, wrap
from redteam.attacks.oars import Banned
from redteam.oracle import Endpoint, Oracle
from redteam.session import Kind, Session
from redteam.victims import Victim

ROWS = 60


def plain_run(victim: Victim, oracle: Endpoint, source: Source, _: np.random.Generator) -> None:
    """Send the root and then ever darker copies of it, in batches of different sizes."""
    copies = source.input * np.linspace(1.0, 0.5, ROWS)[:, None]
    for part in np.split(copies, [1, 4, 20]):
        answers = oracle.ask(part)
        np.testing.assert_allclose(answers, victim.predict(part))
        assert len(oracle.refused) == len(part)


PLAIN = Attack(
    name="plain",
    title="Plain",
    family=Family.COST,
    techniques=("AML.T0034.000",),
    run=plain_run,
    enough=float("inf"),
    queries_max=20 * ROWS,
)


def run(attack: Attack, victim: Victim, seed: int = 0) -> Session:
    session = session_of(attack, victim, victim.calibration, source(victim), seed)
    assert session.error == ""
    return session


def source(victim: Victim) -> int:
    return sources_of(victim, victim.calibration)[0]


@pytest.mark.parametrize("accounts", [1, 5, 20, 100])
def test_sybils_take_turns_and_keep_the_order(accounts: int, victim: Victim) -> None:
    plain, split = run(PLAIN, victim), run(wrap.sybil(PLAIN, accounts), victim)
    np.testing.assert_array_equal(split.inputs, plain.inputs)
    np.testing.assert_array_equal(split.accounts, np.arange(ROWS) % accounts)


def test_cover_is_ordinary_and_between_the_requests(victim: Victim) -> None:
    plain, covered = run(PLAIN, victim), run(wrap.covered(PLAIN, 10), victim)
    assert len(covered) == 11 * ROWS
    np.testing.assert_array_equal(covered.inputs[10::11], plain.inputs)
    ordinary = {row.astype(np.float32).tobytes() for row in np.delete(victim.calibration[0], source(victim), axis=0)}
    cover = np.delete(covered.inputs, np.s_[10::11], axis=0)
    assert all(row.tobytes() in ordinary for row in cover)
    assert len({row.tobytes() for row in cover[:300]}) > 290
    assert set(covered.accounts) == {0}


@pytest.mark.parametrize("decoys", [1, 3])
def test_decoys_are_near_the_attacked_input_none_twice_and_count_as_requests(decoys: int, victim: Victim) -> None:
    plain, hidden = run(PLAIN, victim), run(wrap.decoyed(PLAIN, decoys), victim)
    own = np.s_[decoys :: decoys + 1]
    assert len(hidden) == (decoys + 1) * ROWS
    np.testing.assert_array_equal(hidden.inputs[own], plain.inputs)
    assert set(hidden.accounts) == {0}
    sent = np.delete(hidden.inputs, own, axis=0)
    assert len({row.tobytes() for row in (*sent, *plain.inputs)}) == len(sent) + ROWS
    away = np.linalg.norm(sent - plain.inputs[0], axis=1) / (victim.high - victim.low)
    # About half of the noise is cut off at the ends of the range, all of it never: 7 standard errors.
    assert np.all(
        (away > 0.1 * wrap.DECOY * np.sqrt(victim.dimension)) & (away < 2 * wrap.DECOY * np.sqrt(victim.dimension))
    )
    name = "decoys" if decoys == 1 else "decoys3"
    assert ATTACKS[f"simba-dct+{name}"].queries_max == (decoys + 1) * ATTACKS["simba-dct"].queries_max


def test_disguises_nest(victim: Victim) -> None:
    plain = run(PLAIN, victim)
    outside = run(wrap.covered(wrap.sybil(PLAIN, 5), 2), victim)
    np.testing.assert_array_equal(outside.inputs[2::3], plain.inputs)
    np.testing.assert_array_equal(outside.accounts, np.repeat(np.arange(ROWS) % 5, 3))
    inside = run(wrap.sybil(wrap.covered(PLAIN, 2), 5), victim)
    np.testing.assert_array_equal(inside.inputs[2::3], plain.inputs)
    np.testing.assert_array_equal(inside.accounts, np.arange(3 * ROWS) % 5)


def test_rounding_leaves_what_the_data_shows(victim: Victim) -> None:
    blind = dataclasses.replace(PLAIN, run=_send)
    sent = run(wrap.rounded(blind), victim).inputs / victim.grain
    np.testing.assert_allclose(sent, np.round(sent), atol=1e-5)


def _send(_: Victim, oracle: Endpoint, source: Source, __: np.random.Generator) -> None:
    oracle.ask(source.input * np.linspace(1.0, 0.5, ROWS)[:, None])


def test_blinding_adds_fresh_noise_of_the_size_asked_for(victim: Victim) -> None:
    blind = dataclasses.replace(PLAIN, run=_send)
    plain, sent = run(blind, victim), run(wrap.blinded(blind, 0.02), victim)
    inside = (plain.inputs > 0.1) & (plain.inputs < 0.9)
    # 60 x about 25 values: the standard deviation is right within 7 standard errors.
    assert abs(np.std((sent.inputs - plain.inputs)[inside]) / 0.02 - 1) < 7 / np.sqrt(2 * inside.sum())
    assert not np.array_equal(sent.inputs[0], sent.inputs[1])


def _send_dots(victim: Victim, oracle: Endpoint, _: Source, __: np.random.Generator) -> None:
    """Send a dot in the middle, and one in each corner."""
    dots = np.zeros((200, *victim.shape))
    dots[:100, 4, 3] = 1.0
    dots[100:, 0, 0] = dots[100:, -1, -1] = 1.0
    oracle.ask(dots.reshape(200, -1))


def test_shifts_move_images_by_a_part_of_a_pixel(victim: Victim) -> None:
    sent = run(wrap.shifted(dataclasses.replace(PLAIN, run=_send_dots), 0.25), victim).inputs.reshape(-1, 8, 8)
    middle, corners = sent[:100], sent[100:]
    np.testing.assert_allclose(middle.sum(axis=(1, 2)), 1.0, rtol=1e-5)
    for axis, place in ((1, 4), (2, 3)):
        where = (middle.sum(axis=3 - axis) * np.arange(8)).sum(axis=1) - place
        assert np.all(np.abs(where) <= 0.25)
        # 100 draws from -0.25..0.25: all of them within 0.2 happens once in 10^9.
        assert np.ptp(where) > 0.4
        assert where.min() < 0 < where.max()
    # What leaves on one side does not come in on the other.
    np.testing.assert_array_equal(corners[:, 0, -1], 0.0)
    np.testing.assert_array_equal(corners[:, -1, 0], 0.0)
    assert np.all(corners.sum(axis=(1, 2)) < 2.0)


@pytest.mark.parametrize("name", ["simba-dct+verified", "hopskipjump-l2+verified"])
def test_what_succeeded_comes_again_from_another_account(name: str, victim: Victim) -> None:
    done = 0
    for start in sources_of(victim, victim.calibration)[:5]:
        session = session_of(ATTACKS[name], victim, victim.calibration, start, 0)
        if session.success is None:
            continue
        done += 1
        np.testing.assert_array_equal(session.inputs[session.success + 1], session.inputs[session.success])
        others = np.flatnonzero(session.accounts)
        np.testing.assert_array_equal(others, [session.success + 1])
    assert done >= 3


def test_a_blinded_attack_makes_sure_with_the_input_itself(victim: Victim) -> None:
    successes = [
        session_of(ATTACKS["simba-dct+noise"], victim, victim.calibration, start, 0).success
        for start in sources_of(victim, victim.calibration)[:6]
    ]
    assert sum(success is not None for success in successes) >= 3


class Near:
    """A monitor that alarms at inputs closer than a distance to one that the same account sent before."""

    def __init__(self, distance: float) -> None:
        self.distance = distance
        self.seen: dict[int, list[NDArray[np.float32]]] = {}

    def __call__(self, row: NDArray[np.float32], _: NDArray[np.float32], __: float, account: int) -> bool:
        seen = self.seen.setdefault(account, [])
        alarm = bool(seen) and float(np.min(np.linalg.norm(np.array(seen) - row, axis=1))) < self.distance
        seen.append(row)
        return alarm


def alarms(name: str, victim: Victim, start: int) -> float:
    """Return the share of requests in the second half of a session at which such a monitor alarms."""
    watch = Near(0.15)
    raised: list[bool] = []

    def watching(row: NDArray[np.float32], answer: NDArray[np.float32], second: float, account: int) -> bool:
        raised.append(watch(row, answer, second, account))
        return raised[-1]

    session = session_of(ATTACKS[name], victim, victim.calibration, start, 0, 600, after=600, watch=watching)
    assert session.error == ""
    return float(np.mean(raised[len(raised) // 2 :]))


def test_an_adaptive_attack_is_refused_far_less_often_than_a_plain_one(victim: Victim) -> None:
    starts = sources_of(victim, victim.calibration)[:4]
    plain = np.mean([alarms("hopskipjump-l2", victim, start) for start in starts])
    adaptive = np.mean([alarms("oars-hopskipjump", victim, start) for start in starts])
    assert plain > 0.5
    assert adaptive < plain / 2


def test_an_adaptive_attack_succeeds_where_nothing_refuses_it(victim: Victim) -> None:
    for name in ("oars-hopskipjump", "oars-square", "oars-nes"):
        starts = sources_of(victim, victim.calibration)[:6]
        done = [session_of(ATTACKS[name], victim, victim.calibration, s, 0).success is not None for s in starts]
        assert sum(done) >= 4, name


def test_a_closed_account_is_left_for_a_new_one(victim: Victim) -> None:
    oracle = Oracle(victim.predict, 1_000, watch=lambda *_: True)
    client = Banned(oracle, 50, np.random.default_rng(0))
    refused = []
    for row in victim.calibration[0][:300]:
        client.ask(row[None])
        refused += client.refused
    session = oracle.session(workload="x", kind=Kind.ATTACK, victim="digits", seed=0, source=0)
    held = np.bincount(session.accounts)
    assert len(held) >= 3
    assert all(50 <= count <= 102 for count in held[:-1])
    assert sum(refused) == len(held) - 1

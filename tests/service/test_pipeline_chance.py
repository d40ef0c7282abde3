"""Members of a campaign whose requests heed no answers: accused of nothing, and no cover for those whose do."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from service.detect import campaigns
from service.detect.campaigns import STEERED_MIN, Share
from service.domain.principals import Kind
from tests.service.prints import append, attack, contained, frame_of, kinds, name, prints_of, reference, victim
from tests.service.prints import world_with as world_of
from tests.service.worker.world import World

ACCOUNTS, REQUESTS, FIRST = 5, 200, 900
"""Of an attack that is split; the number of the first one whose requests are harmless."""


def played(
    source: int, *, others: int, noise: float, before: int = 0, between: int = 0, which: str = "simba-dct"
) -> World:
    """Play an attack over accounts in turn, with harmless near-duplicates of its input by others."""
    session, rng = attack(source, which), np.random.default_rng(source)
    sent: list[tuple[str, Sequence[float]]] = []

    def harmless(count: int) -> None:
        for number in range(count):
            near = session.inputs[0] + rng.normal(0.0, noise, victim().dimension)
            sent.append((name(FIRST + (len(sent) + number) % others), np.clip(near, 0.0, 1.0)))

    harmless(before)
    for number, row in enumerate(session.inputs[:REQUESTS]):
        sent.append((name(number % ACCOUNTS), row))
        harmless(between)
    world, version = world_of(reference())
    inputs = np.array([row for _, row in sent], np.float32)
    answers, prints = victim().predict(inputs.astype(np.float64)), prints_of(inputs)
    for start in range(0, len(sent), 50):
        part = slice(start, start + 50)
        append(world, version, frame_of(answers[part], [who for who, _ in sent[part]], prints[part]))
    world.catch_up()
    return world


def attackers() -> set[str]:
    return {name(number) for number in range(ACCOUNTS)}


def test_who_tests_an_input_while_others_attack_it_is_accused_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor are those who came second and third, whom nothing but chance speaks for."""
    held = contained(played(2, others=3, noise=0.06, between=3))
    assert held
    assert held <= attackers()
    # Two requests that went further than any before would have been enough to wrong one of them.
    monkeypatch.setattr(campaigns, "STEERED_MIN", -math.inf)
    assert contained(played(2, others=3, noise=0.06, between=3)) - attackers()


@pytest.mark.parametrize("source", [0, 1, 6])
@pytest.mark.parametrize(("before", "others"), [(5, 1), (15, 2), (100, 3)])
def test_harmless_near_duplicates_that_were_sent_before_hide_no_attack(source: int, before: int, others: int) -> None:
    world = played(source, others=others, noise=0.03, before=before)
    assert Kind.INTENT in kinds(world)
    held = contained(world)
    assert held
    assert held <= attackers()


@pytest.mark.parametrize("source", [2, 3])
def test_as_many_harmless_near_duplicates_between_hide_finite_differences(source: int) -> None:
    """A gap that the page names; whoever closes it changes the page."""
    assert Kind.INTENT in kinds(played(source, others=2, noise=0.03, which="nes-linf"))
    assert Kind.INTENT not in kinds(played(source, others=2, noise=0.03, between=1, which="nes-linf"))


@pytest.mark.parametrize("members", [1, 2, 5, 20])
def test_a_member_that_heeds_no_answers_is_accused_by_chance_in_one_of_twenty_campaigns_at_most(members: int) -> None:
    """Of 2,000 campaigns of 300 requests in random order; 0.075 is five standard errors above a twentieth."""
    rng = np.random.default_rng(members)
    wronged = 0
    for _ in range(2_000):
        answers = rng.random(301)
        lowest = np.minimum.accumulate(answers)
        share = Share()
        for place in range(1 + int(rng.integers(members)), 301, members):
            further = bool(answers[place] < lowest[place - 1])
            share.note(place + 1, further=further)
            if share.own(alone=False):
                wronged += 1
                break
    assert wronged / 2_000 <= 0.075


@pytest.mark.parametrize("harmless", [0, 200])
def test_a_member_that_steers_has_evidence_after_a_few_requests(harmless: int) -> None:
    """Of twenty accounts, each of whose requests goes further in two of five; some begin with harmless ones."""
    rng = np.random.default_rng(4)
    needed = []
    for _ in range(500):
        share, place = Share(), 20 * harmless
        for number in range(harmless):
            share.note(20 * number + 2, further=False)
        while not share.own(alone=False):
            place += 20
            share.note(place + 1, further=bool(rng.random() < 0.4))
        needed.append(place // 20 - harmless)
    assert np.mean(needed) <= 8
    assert np.quantile(needed, 0.95) <= 16
    assert math.exp(STEERED_MIN) == pytest.approx(20.0)

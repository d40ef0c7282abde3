"""Membership: record after record is told of; going around a single one is not."""

from functools import cache

import numpy as np
import pytest

from detectors.principals.membership import LIMIT, Membership
from detectors.principals.monitor import Principal
from detectors.principals.trail import Step
from redteam.attacks import ATTACKS, session_of, sources_of
from redteam.benign import session_of as benign_session_of
from redteam.benign import workloads_for
from redteam.session import Kind, Session
from redteam.victims import Victim, digits
from tests.detectors.clients import requests, told, yardstick


@cache
def victim() -> Victim:
    return digits()


@cache
def measure() -> "tuple[object, object]":
    from detectors.principals.grown import grown
    from detectors.principals.monitor import Yardstick
    from detectors.principals.points import Embedded

    space = Embedded(64, b"k" * 32)
    inputs, answers = victim().reference[0].astype(np.float32), victim().predict(victim().reference[0])
    return space, Yardstick.fit(space.of(inputs), answers.argmax(axis=1), answers, grown())


def records_when_told(session: Session) -> tuple[float, float | None]:
    """Return the strongest evidence, and about how many records had been asked when it was told of."""
    space, stick = measure()
    principal = Principal(stick)  # type: ignore[arg-type]
    strongest, at = 0.0, None
    points = space.of(session.inputs)  # type: ignore[attr-defined]
    for number, (point, answer) in enumerate(zip(points, session.probabilities, strict=True), 1):
        principal.take(point, int(answer.argmax()), answer)
        strongest = max(strongest, principal.membership.evidence)
        if at is None and strongest >= LIMIT:
            at = max((value for done, value in session.progress if done <= number), default=0.0)
    return strongest, at


@pytest.mark.parametrize("name", ["membership-boundary", "membership-copies"])
def test_label_only_inference_is_told_of_before_ten_records(name: str) -> None:
    place = sources_of(victim(), victim().confirmation)[5]
    _, at = records_when_told(session_of(ATTACKS[name], victim(), victim().confirmation, place, 21))
    assert at is not None
    assert at < 10


def test_one_request_a_record_is_not_seen() -> None:
    place = sources_of(victim(), victim().confirmation)[5]
    attack = ATTACKS["membership-confidence"]
    assert records_when_told(session_of(attack, victim(), victim().confirmation, place, 21))[0] == 0.0


@pytest.mark.parametrize("kind", [Kind.ORDINARY, Kind.EXPLANATION])
def test_ordinary_clients_and_explainers_of_one_input_stay_far_below(kind: Kind) -> None:
    """Fixed seeds; half of the threshold is a margin of e^5.5 in evidence."""
    for workload in workloads_for(victim(), kind):
        session = benign_session_of(workload, victim(), "confirmation", 17, 22, 400)
        assert records_when_told(session)[0] < LIMIT / 2, workload.name


def test_requests_that_equal_rows_of_the_reference_are_told_of() -> None:
    rng = np.random.default_rng(0)
    rows = np.concatenate(yardstick().population.places)
    for points, expected in ((rng.permutation(rows)[:60], True), (requests(rng, 60), False)):
        principal = Principal(yardstick())
        told(principal, points)
        assert (principal.membership.equal_evidence >= LIMIT) is expected
        assert (principal.membership.equals > 0) is expected


def test_the_mark_of_the_caller_falls_with_the_evidence() -> None:
    membership = Membership(yardstick().population)
    usual = Step(False, np.inf, 1.0, 1.0, 0)
    membership.told = True
    membership.take(usual)
    assert membership.strongest == 0.0
    assert not membership.told

"""Blind spots for the page of the red team, and forests that are grown without something: what one showed is kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.adversarial import train, unseen
from bench.adversarial.blind import blind_spots
from bench.adversarial.report_cost import RED
from bench.adversarial.results import EVERY, MONITOR, Results, Seen
from bench.adversarial.sessions import FAMILIES
from bench.adversarial.unseen import STRANGERS, TURNS, Seminar
from detectors.principals.cluster import FEATURES
from detectors.principals.forest import Forest
from detectors.principals.grown import grown
from redteam.attacks import ATTACKS
from redteam.judge import Verdict
from redteam.session import Kind


def verdict(workload: str, source: int, success: int | None, alarm: int | None) -> Verdict:
    return Verdict(
        workload=workload,
        kind=Kind.ATTACK,
        victim="digits",
        seed=0,
        source=source,
        requests=50,
        success=success,
        alarm=alarm,
        queries=alarm,
        seconds=None,
        damage=1.0,
    )


def seen(workload: str, alarms: list[int | None], success: int | None = 9, detector: str = MONITOR) -> list[Seen]:
    return [Seen(detector, EVERY, verdict(workload, i, success, alarm)) for i, alarm in enumerate(alarms)]


def test_an_attack_that_is_seen_in_less_than_half_of_its_successes_is_red_unless_a_crowd_tells_of_it() -> None:
    results = Results(machine={"commit": "abc"}, plan="full", bars="0123456789")
    results.commits = {"attacks digits": "abc", "unseen": "def"}
    results.seen = [
        *seen("zoo", [3, None, 9, None]),
        *seen("boundary", [3, 4, None, 9]),
        *seen("simba-dct+sybil20", [None, None]),
        *seen("simba-dct+sybil20", [2, 3], detector="campaign"),
        *seen("square-linf+sybil20", [None, None]),
        *seen("square-linf+sybil20", [2, None, None], detector="campaign"),
        *seen("knockoff-noise", [None, 5], success=None),
        *seen("sponge", [None, None]),
        *seen("flood", [None, None]),
    ]
    text = blind_spots(results)
    lines = {line.split("|")[2].strip(): line for line in text.splitlines() if line.startswith("| digits")}
    assert set(lines) == {
        f"{RED} {ATTACKS['zoo'].title}",
        ATTACKS["simba-dct+sybil20"].title,
        f"{RED} {ATTACKS['square-linf+sybil20'].title}",
        f"{RED} {ATTACKS['flood'].title}",
        ATTACKS["sponge"].title,
    }
    assert "*cost*" in lines[ATTACKS["sponge"].title]
    assert "0.25 [" in lines[f"{RED} {ATTACKS['zoo'].title}"]
    assert "AML.T0043.001 Craft Adversarial Data" in lines[f"{RED} {ATTACKS['zoo'].title}"]
    assert text.startswith(
        "3 of 7 attacks, and 2 that campaigns or what else stands there see; thresholds `01234567`, commits abc."
    )
    assert text.endswith("knockoff-noise on digits.")


def stories() -> train.Stories:
    rng = np.random.default_rng(0)
    names = [*FAMILIES, *STRANGERS]
    workload = np.array([name for name in names for _ in range(8)] * 2)
    sessions = len(workload)
    attack = np.isin(workload, FAMILIES)
    return train.Stories(
        features=rng.normal(size=(sessions * 12, len(FEATURES))).astype(np.float32),
        at=np.tile(np.arange(12, dtype=np.int32), sessions),
        session=np.repeat(np.arange(sessions, dtype=np.int32), 12),
        workload=workload,
        kind=np.where(attack, str(Kind.ATTACK), str(Kind.ORDINARY)),
        success=np.where(attack, 9, -1).astype(np.int32),
        source=(2 * np.arange(sessions)).astype(np.int32),
        victim=np.repeat(["digits", "mnist"], sessions // 2),
    )


def test_what_a_forest_showed_is_not_grown_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = stories()
    grew: list[int] = []

    def grow(given: train.Stories) -> Forest:
        grew.append(len(given.workload))
        if len(grew) == 6:
            raise KeyboardInterrupt
        return grown()

    monkeypatch.setattr(train, "grow", grow)
    works = len(TURNS) + 2 + len(FAMILIES) + len(STRANGERS)
    seminar = Seminar(told, ("digits", "mnist"), tmp_path, lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        seminar.hold(Results(machine={}, plan="full"))
    before = len(list(tmp_path.glob("unseen-*/*.json")))
    assert before == 5
    results = Results(machine={}, plan="full")
    Seminar(told, ("digits", "mnist"), tmp_path, lambda _: None).hold(results)
    # What was done is read; the forest of everything is needed beside the others, and is grown anew.
    assert len(grew) == 6 + works - before + 1
    assert len(results.curve) == 2 * len(TURNS)
    of_families = [(family, name) for family in FAMILIES for name in ("digits", "mnist")]
    expected = [("digits", "digits"), ("mnist", "mnist"), *of_families]
    assert [(one.left_out, one.victim) for one in results.unseen] == expected
    assert {one.workload for one in results.wronged} == set(STRANGERS)
    again = Results(machine={}, plan="full")
    Seminar(told, ("digits", "mnist"), tmp_path, lambda _: None).hold(again)
    assert len(grew) == 6 + works - before + 1
    assert (again.unseen, again.wronged, again.curve) == (results.unseen, results.wronged, results.curve)


def test_other_stories_or_another_recipe_begin_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "grow", lambda _: grown())
    told = stories()
    for changed in (told, replace(told, features=told.features + 1), told):
        Seminar(changed, ("digits",), tmp_path, lambda _: None).hold(Results(machine={}, plan="full"))
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr(unseen, "THINNED", 5)
    Seminar(told, ("digits",), tmp_path, lambda _: None).hold(Results(machine={}, plan="full"))
    monkeypatch.setattr(train, "TREES", 7)
    Seminar(told, ("digits",), tmp_path, lambda _: None).hold(Results(machine={}, plan="full"))
    assert len(list(tmp_path.iterdir())) == 4

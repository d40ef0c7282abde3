"""Thresholds of the benchmark of adversarial use: the rule by hand, and earlier sessions judged by higher ones."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.adversarial import rule
from bench.adversarial.again import again
from bench.adversarial.harness import Eyes, judged
from bench.adversarial.results import EVERY, MONITOR, ORDINARY, PRODUCT, Bars, Maxima, Results, Seen
from bench.adversarial.rule import above, freeze
from bench.adversarial.sessions import CALIBRATE, CONFIRM, FRESH, GROW, of_attack, of_workload, turns
from bench.adversarial.setting import salt
from detectors.principals.grown import grown
from detectors.principals.monitor import Tier
from detectors.principals.thresholds import MARGIN
from redteam.attacks import ATTACKS
from redteam.benign import WORKLOADS
from redteam.session import Session
from redteam.victims import Victim, digits

TIERS = [str(tier) for tier in Tier]


@pytest.fixture(scope="module")
def victim() -> Victim:
    return digits()


def test_a_threshold_lies_a_quarter_above_what_sessions_reach_and_never_below_it() -> None:
    assert above([1.0, 4.0, 2.0]) == MARGIN * 4.0 == 5.0
    assert above([*range(200)]) == MARGIN * 197.0
    assert above([-3.0, -1.0]) == -1.0


def held(tier: list[float], peer: list[float], *, ordinary: bool, name: str) -> Maxima:
    most = dict.fromkeys(TIERS, tier) | {"Blacklight": peer}
    return Maxima(workload=name, ordinary=ordinary, most=most, sources=list(range(1, 2 * len(tier), 2)))


def test_thresholds_are_of_the_worst_workload_and_peers_have_no_quarter(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule, "shipped", lambda _: dict.fromkeys(TIERS, 9.0))
    bars = Bars()
    freeze(victim, [held([1.0, 2.0], [3.0], ordinary=True, name="iid"),
                    held([0.0, 4.0], [7.0], ordinary=False, name="lime")], bars)  # fmt: skip
    own = bars.values["digits"]
    assert own["intent"] == {EVERY: pytest.approx(5.0), ORDINARY: pytest.approx(2.5), PRODUCT: 9.0}
    assert own["intent"][EVERY] > 5.0
    assert own["Blacklight"] == {EVERY: pytest.approx(7.0), ORDINARY: pytest.approx(3.0)}
    assert bars.worst["digits"]["probing"] == {EVERY: "lime", ORDINARY: "iid", PRODUCT: "reference"}


def test_what_is_drawn_anew_has_seeds_salts_and_sources_of_its_own() -> None:
    places = list(range(40))
    assert {s for s, _ in turns(places, FRESH, 20)}.isdisjoint(s for s, _ in turns(places, CONFIRM, 20))
    assert FRESH.seed not in {part.seed for part in (GROW, CALIBRATE, CONFIRM)}
    assert len({salt("digits", part.name, i) for part in (CONFIRM, FRESH) for i in range(12)}) == 24


def bars_of(intent: float, probing: float, extraction: float, times: float) -> Bars:
    every = {"probing": probing, "intent": intent, "extraction": extraction}
    own = {name: {EVERY: value * times, ORDINARY: 0.5 * value * times} for name, value in every.items()}
    return Bars(values={"digits": own})


def sessions(victim: Victim) -> list[Session]:
    attacks = [s for name in ("boundary", "simba-dct+sybil5", "knockoff-noise")
               for s in of_attack(victim, ATTACKS[name], CONFIRM, 2, 3_000 if "+" in name else None)]  # fmt: skip
    return [
        *attacks,
        *(s for name in ("rise", "sweep", "iid") for s in of_workload(victim, WORKLOADS[name], CONFIRM, 2)),
    ]


def by_key(seen: list[Seen]) -> dict[tuple[str, ...], Seen]:
    return {(s.detector, s.rule, s.verdict.workload, str(s.verdict.source)): s for s in seen}


def test_sessions_of_an_earlier_run_are_judged_as_if_they_were_made_again(victim: Victim, tmp_path: Path) -> None:
    """Everything is seeded: the same sessions, looked at as a whole by the new thresholds, say what is expected."""
    eyes = Eyes(victim, CONFIRM, {"": grown()})
    was, now = bars_of(0.5, 2.0, 0.7, 1.0), bars_of(0.5, 2.0, 0.7, 1.8)
    for own in now.values["digits"].values():
        own[PRODUCT] = own[EVERY] + 1.0
    whole = [(session, eyes.look(session, peers=False)) for session in sessions(victim)]
    old = Results(machine={}, plan="full")
    old.seen = [s for session, series in whole for s in judged(session, series, was.values["digits"])]
    peer = old.seen[0]._replace(detector="Blacklight")
    old.seen.append(peer)
    expected = [s for session, series in whole for s in judged(session, series, now.values["digits"])]
    found = again(eyes, old, was, now, tmp_path, lambda _: None)
    assert by_key(found) == by_key([*expected, peer])
    assert len(found) == len(expected) + 1
    said: list[str] = []
    (tmp_path / "sweep.msgpack").unlink()
    assert again(eyes, old, was, now, tmp_path, said.append) == found
    assert said == ["digits: sweep judged again"]
    alarms = {s.rule: s.verdict.alarm for s in expected if s.detector == MONITOR and s.verdict.workload == "boundary"}
    assert alarms[EVERY] is not None


def test_lower_thresholds_and_alarms_that_came_elsewhere_are_refused(victim: Victim, tmp_path: Path) -> None:
    eyes = Eyes(victim, CONFIRM, {"": grown()})
    was = bars_of(0.5, 2.0, 0.7, 1.0)
    session = next(of_workload(victim, WORKLOADS["sweep"], CONFIRM, 1))
    old = Results(machine={}, plan="full")
    old.seen = judged(session, eyes.look(session, peers=False), was.values["digits"])
    with pytest.raises(ValueError, match="lower than before"):
        again(eyes, old, was, bars_of(0.4, 2.0, 0.7, 1.0), tmp_path, lambda _: None)
    loud = next(i for i, s in enumerate(old.seen) if s.verdict.alarm and s.detector == "probing")
    moved = old.seen[loud].verdict
    old.seen[loud] = old.seen[loud]._replace(verdict=replace(moved, alarm=(moved.alarm or 0) + 1))
    with pytest.raises(ValueError, match="came elsewhere"):
        again(eyes, old, was, was, tmp_path, lambda _: None)

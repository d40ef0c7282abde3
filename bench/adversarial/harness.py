"""Calibrate every detector by the same rule on the same sessions, freeze the thresholds, then confirm."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.adversarial.peers.blacklight import Blacklight
from bench.adversarial.peers.gwad import Gwad
from bench.adversarial.peers.lfc import Lfc
from bench.adversarial.peers.neighbours import Neighbours
from bench.adversarial.peers.prada import Prada
from bench.adversarial.results import EVERY, MONITOR, PRODUCT, Bars, Copied, Maxima, Results, Seen
from bench.adversarial.rule import ENDLESS
from bench.adversarial.sessions import (
    CALIBRATE,
    CONFIRM,
    FRESH,
    GROW,
    Part,
    Sizes,
    hidden,
    of_attack,
    of_workload,
    plain,
)
from bench.adversarial.setting import Lenses
from bench.adversarial.watch import Live, campaign_intent, watch
from detectors.principals.forest import Forest
from detectors.principals.monitor import Thresholds, Tier
from redteam import benign
from redteam.attacks import ATTACKS, Attack, Family, session_of, sources_of
from redteam.judge import verdict_of
from redteam.session import Kind, Session
from redteam.victims import Victim

LONG = 3_000
"""Peers compare every request with every other one: longer sessions are the monitor's alone."""
ALARMED = ("lime", "kernelshap", "kernelshap_paired", "sensitivity", "rise", "random_walk")
"""Of these any session alarmed by the thresholds before the present ones: they are drawn anew first."""
Say = Callable[[str], None]
Series = dict[str, NDArray[np.float64]]


class Peer(Protocol):
    """A published detector."""

    name: str

    def scores(self, inputs: NDArray[np.float64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a score after each request, shape (n,): the higher, the more suspicious."""


@dataclass
class Eyes:
    """Everything that looks at the sessions of one victim in one part of the protocol.

    Parameters
    ----------
    victim : Victim
        Whose sessions.
    part : Part
        Names the salts.
    forests : dict
        The monitor's under an empty name, and those grown without some attacks under the name of these.
    trained : Gwad or None
        The peer that is trained.
    """

    victim: Victim
    part: Part
    forests: dict[str, Forest]
    trained: Gwad | None = None
    lenses: Lenses = field(init=False)

    def __post_init__(self) -> None:
        self.lenses = Lenses(self.victim, self.part.name)

    def peers(self, session: Session) -> list[Peer]:
        """Return the peers, with the salts of a session."""
        victim, rng = self.victim, np.random.default_rng([session.seed, session.source + 1, 7])
        salted: list[Peer] = [kind(victim.low, victim.high, victim.dimension, rng) for kind in (Blacklight, Lfc)]
        return [*salted, Neighbours(), Prada(), *([self.trained] if self.trained is not None else [])]

    def look(self, session: Session, *, peers: bool = True) -> Series:
        """Return the evidence of every detector after each request of a session; on request without the peers."""
        lens = self.lenses.of(session)
        trace = watch(session, lens)
        found = {str(Tier.PROBING): trace.probing, str(Tier.EXTRACTION): trace.extraction}
        for name, forest in self.forests.items():
            found[f"{Tier.INTENT}{name and ' without ' + name}"] = trace.intent(forest)
        if peers and len(session) <= LONG:
            found |= self._peers(session)
        return found

    def _peers(self, session: Session) -> Series:
        known: set[bytes] = set()
        first = np.array([i for i, row in enumerate(session.inputs) if _new(known, row.tobytes())], np.int64)
        inputs, answers = session.inputs[first].astype(np.float64), session.probabilities[first].astype(np.float64)
        found = {}
        for peer in self.peers(session):
            found[peer.name] = np.full(len(session), -np.inf)
            found[peer.name][first] = peer.scores(inputs, answers)
        return found


def _new(known: set[bytes], row: bytes) -> bool:
    before = len(known)
    known.add(row)
    return len(known) > before


def train_peer(victim: Victim, sizes: Sizes) -> Gwad:
    """Train the one peer that is, on the sessions that the forest is grown from."""

    def sessions() -> Iterator[tuple[NDArray[np.float64], bool]]:
        for attack in plain(victim):
            for session in of_attack(victim, attack, GROW, sizes.attacks):
                if not session.error:
                    yield session.inputs.astype(np.float64), True
        for workload in benign.workloads_for(victim, Kind.ORDINARY, Kind.EXPLANATION):
            for session in of_workload(victim, workload, GROW, sizes.benign):
                yield session.inputs.astype(np.float64), False

    return Gwad(sessions())


def calibrate(eyes: Eyes, sizes: Sizes, folder: Path, say: Say) -> None:
    """Keep the largest evidence of every calibration session: one file for each workload, and none is made twice."""
    folder.mkdir(parents=True, exist_ok=True)
    for workload in benign.workloads_for(eyes.victim, Kind.ORDINARY, Kind.EXPLANATION):
        path = folder / f"{workload.name}.json"
        if path.exists():
            continue
        held = Maxima(workload=workload.name, ordinary=workload.kind is Kind.ORDINARY)
        for number, session in enumerate(of_workload(eyes.victim, workload, CALIBRATE, sizes.benign)):
            for name, scores in eyes.look(session, peers=sizes.peers is None or number < sizes.peers).items():
                held.most.setdefault(name, []).append(min(float(scores.max(initial=-ENDLESS)), ENDLESS))
            held.sources.append(session.source)
        draft = path.with_suffix(".part")
        draft.write_bytes(msgspec.json.encode(held))
        draft.replace(path)
        say(f"{eyes.victim.name}: {workload.name} calibrated")


def first(scores: NDArray[np.float64], bar: float) -> int | None:
    """Return the first request whose evidence reaches a threshold."""
    above = np.flatnonzero(scores >= bar)
    return int(above[0]) if len(above) else None


def judged(session: Session, series: Series, bars: dict[str, dict[str, float]]) -> list[Seen]:
    """Return a session as every detector saw it, by every rule."""
    alarms = {(name, rule): first(scores, bar) for name, scores in series.items() for rule, bar in bars[name].items()}
    for rule in (EVERY, PRODUCT):
        tiers = [at for tier in Tier if (at := alarms.get((str(tier), rule))) is not None]
        alarms[MONITOR, rule] = min(tiers, default=None)
    return [Seen(name, rule, verdict_of(session, at)) for (name, rule), at in alarms.items()]


def thresholds(bars: dict[str, dict[str, float]], rule: str = EVERY) -> Thresholds:
    """Return those of the monitor's tiers."""
    return Thresholds(**{str(tier): bars[str(tier)][rule] for tier in Tier})


def disguised(victim: Victim) -> list[Attack]:
    """Return the attacks of several accounts, with cover, or otherwise hidden, that no monitor refuses."""
    own = {attack.name for attack in [*plain(victim), *hidden(victim)]}
    return [
        attack
        for name, attack in ATTACKS.items()
        if attack.family.evades and name not in own and not name.startswith("oars") and attack.fits(victim)
    ]


def confirm_benign(eyes: Eyes, sizes: Sizes, bars: Bars, results: Results, say: Say) -> None:
    """Look at benign sessions that nothing was set on."""
    victim, own = eyes.victim, bars.values[eyes.victim.name]
    for workload in benign.workloads_for(victim):
        for number, session in enumerate(of_workload(victim, workload, CONFIRM, sizes.benign)):
            series = eyes.look(session, peers=sizes.peers is None or number < sizes.peers)
            results.seen += judged(session, series, own)
        say(f"{victim.name}: {workload.name} confirmed")


def confirm_fresh(eyes: Eyes, count: int, bars: Bars, results: Results, say: Say) -> None:
    """Look at benign sessions that no rule was ever changed for, without published detectors."""
    victim, own = eyes.victim, bars.values[eyes.victim.name]
    workloads = benign.workloads_for(victim, Kind.ORDINARY, Kind.EXPLANATION)
    for workload in sorted(workloads, key=lambda one: one.name not in ALARMED):
        for session in of_workload(victim, workload, FRESH, count):
            results.fresh += judged(session, eyes.look(session, peers=False), own)
        say(f"{victim.name}: {workload.name} drawn anew")


def confirm_attacks(eyes: Eyes, count: int, bars: Bars, results: Results, say: Say) -> None:
    """Look at attacks by queries that nothing was set on."""
    victim, own = eyes.victim, bars.values[eyes.victim.name]
    for attack in [*plain(victim), *hidden(victim)]:
        for session in of_attack(victim, attack, CONFIRM, count):
            if not session.error:
                results.seen += judged(session, eyes.look(session), own)
        say(f"{victim.name}: {attack.name} confirmed")


def confirm_hidden(eyes: Eyes, count: int, bars: Bars, results: Results, say: Say) -> None:
    """Look at attackers who hide."""
    victim, own = eyes.victim, bars.values[eyes.victim.name]
    for attack in disguised(victim):
        for session in of_attack(victim, attack, CONFIRM, count, 3_000):
            if session.error:
                continue
            series = eyes.look(session)
            results.seen += judged(session, series, own)
            if session.accounts.max() > 0:
                together = campaign_intent(session, eyes.lenses.of(session), eyes.forests[""])
                at = first(together, own[str(Tier.INTENT)][EVERY])
                results.seen.append(Seen("campaign", EVERY, verdict_of(session, at)))
        say(f"{victim.name}: {attack.name} confirmed")


def confirm_oars(eyes: Eyes, count: int, bars: Bars, results: Results, say: Say) -> None:
    """Look at attackers who are told what the monitor says; they adapt to nobody else, so no peer is shown them."""
    victim, own = eyes.victim, bars.values[eyes.victim.name]
    for attack in ATTACKS.values():
        if attack.name.startswith("oars") and attack.fits(victim):
            for session in _watched(eyes, attack, count, thresholds(own)):
                if not session.error:
                    results.seen += judged(session, eyes.look(session, peers=False), own)
            say(f"{victim.name}: {attack.name} confirmed")


def _watched(eyes: Eyes, attack: Attack, count: int, bars: Thresholds) -> Iterator[Session]:
    """Yield sessions of an attacker who is told of every alarm."""
    split = eyes.victim.confirmation
    for source in sources_of(eyes.victim, split)[:count]:
        live = Live(eyes.lenses.at(CONFIRM.seed, source), eyes.forests[""], bars)
        yield session_of(attack, eyes.victim, split, source, CONFIRM.seed, watch=live)


def confirm_thieves(eyes: Eyes, count: int, bars: Bars, results: Results, say: Say) -> None:
    """Look at clients who steal the model, and at the rest who want no other label for an input."""
    victim, own = eyes.victim, bars.values[eyes.victim.name]
    for attack in ATTACKS.values():
        if attack.family.evades or not attack.fits(victim):
            continue
        for session in of_attack(victim, attack, CONFIRM, count):
            if session.error:
                continue
            results.seen += judged(session, eyes.look(session), own)
            if attack.family is Family.EXTRACTION:
                estimated = watch(session, eyes.lenses.of(session)).fidelity
                results.copied += [
                    Copied(attack.name, victim.name, session.source, at, value, float(estimated[at - 1]))
                    for at, value in session.progress
                    if 0 < at <= len(estimated)
                ]
        say(f"{victim.name}: {attack.name} confirmed")

"""What a request costs every detector, and what it keeps of a principal."""

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bench.adversarial.harness import Eyes, Peer
from bench.adversarial.results import Cost, Results
from bench.adversarial.sessions import CONFIRM, of_attack, of_workload
from detectors.principals.monitor import Principal
from detectors.principals.ranked import ranked
from redteam.attacks import ATTACKS
from redteam.benign import WORKLOADS
from redteam.session import Session

REPEATS = 5
REQUESTS = 1_000
PRINCIPALS = 20
KEPT = {"Blacklight": 50 * 8, "LFC": 45 * 8}
"""Bytes that a peer keeps of each request, as published; the others keep the input itself."""


def _timed(work: Callable[[], int]) -> list[float]:
    found = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        done = work()
        found.append((time.perf_counter() - begin) / done * 1e6)
    return found


def measure_costs(eyes: Eyes, results: Results, say: Callable[[str], None]) -> None:
    """Time an attack, an explanation and ordinary traffic, one request at a time, all tiers on."""
    victim = eyes.victim
    sessions = [
        next(of_attack(victim, ATTACKS["hopskipjump-l2"], CONFIRM, 1)),
        next(of_workload(victim, WORKLOADS["noise"], CONFIRM, 1)),
        next(of_workload(victim, WORKLOADS["iid"], CONFIRM, 1)),
    ]
    lens = eyes.lenses.at(CONFIRM.seed, 0)
    yardstick = replace(lens.yardstick, forest=eyes.forests[""], bets=ranked())
    prints = [lens.of(session).points for session in sessions]

    def fingerprint() -> int:
        for session in sessions:
            lens.of(session)
        return sum(map(len, sessions))

    def monitor() -> int:
        for session, points in zip(sessions, prints, strict=True):
            _watch(Principal(yardstick), session, points)
        return sum(map(len, sessions))

    tracemalloc.start()
    kept = [Principal(yardstick) for _ in range(PRINCIPALS)]
    for principal in kept:
        _watch(principal, sessions[1], prints[1])
    kilobytes = tracemalloc.get_traced_memory()[0] / 1e3 / PRINCIPALS
    tracemalloc.stop()
    for name, work, size in (("fingerprint (client)", fingerprint, 0.0), ("monitor, all tiers", monitor, kilobytes)):
        took = _timed(work)
        results.costs.append(Cost(name, victim.name, float(np.median(took)), max(took), size))
    for peer in eyes.peers(sessions[0]):
        took = _timed(partial(_ported, peer, sessions))
        size = KEPT.get(peer.name, victim.dimension * 4) * REQUESTS / 1e3 if peer.name != "GWAD" else 256 * 4 / 1e3
        results.costs.append(Cost(peer.name, victim.name, float(np.median(took)), max(took), size))
    say(f"{victim.name}: cost measured")


def _ported(peer: Peer, sessions: list[Session]) -> int:
    for session in sessions:
        peer.scores(session.inputs.astype(np.float64), session.probabilities.astype(np.float64))
    return sum(map(len, sessions))


def _watch(principal: Principal, session: Session, points: NDArray[np.float32]) -> None:
    labels = session.labels.tolist()
    for point, label, answer in zip(points, labels, session.probabilities, strict=True):
        principal.take(point, label, answer)

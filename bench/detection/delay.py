"""Delay: how many rows after a change the first alarm comes."""

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from bench.detection import engine
from bench.detection.bounds import lorden
from bench.detection.cases import REFERENCE, Case
from bench.detection.peers import ENGINE, TUNED, WINDOW, Peer
from bench.detection.results import DelayCell, PeerDelay
from bench.detection.streams import Table
from detectors.evidence import EvidenceEngine

PROMISES = (1e4, 1e5)
HISTORY = 300
WAIT_BOUNDS = 20
WAIT_MIN = 3_000


def key(promise: float) -> str:
    """Return how results name a promise."""
    return f"{promise:g}"


class Delays:
    """All changes; a reference is made once for each kind of table."""

    def __init__(self, runs: int, say: Callable[[str], None]) -> None:
        self.runs = runs
        self.say = say
        self._references: dict[str, Table] = {}
        self._engines: dict[str, EvidenceEngine] = {}

    def reference(self, case: Case) -> Table:
        """Return the reference of a case, the same object each time."""
        if case.kind not in self._references:
            rng = np.random.default_rng([len(case.kind), ord(case.kind[0])])
            self._references[case.kind] = case.table(rng, REFERENCE, 0)
        return self._references[case.kind]

    def engine(self, case: Case) -> EvidenceEngine:
        """Return the engine of a case's reference."""
        if case.kind not in self._engines:
            self._engines[case.kind] = engine.engine_of(self.reference(case))
        return self._engines[case.kind]

    def measure(self, case: Case, promises: Sequence[float] = PROMISES) -> DelayCell:
        """Run the engine. A run with an alarm before the change says nothing about the delay and is left out."""
        detector = self.engine(case)
        wait = max(WAIT_MIN, int(WAIT_BOUNDS * lorden(max(promises), case.kl)))
        cell = DelayCell(case=case.name, kl=case.kl, how=case.how, rows=wait, limited=case.limited)
        for promise in promises:
            cell.delays[key(promise)], cell.early[key(promise)], cell.late[key(promise)] = [], 0, 0
        start = time.perf_counter()
        for seed in range(self.runs):
            rng = np.random.default_rng([1, seed])
            change = HISTORY + int(rng.integers(0, WINDOW))
            stream = case.table(rng, change, wait)
            found = engine.first_alarms(detector, stream, promises)
            for promise, row in zip(promises, found, strict=True):
                if row is None:
                    cell.late[key(promise)] += 1
                elif row < change:
                    cell.early[key(promise)] += 1
                else:
                    cell.delays[key(promise)].append(row - change + 1)
        self.say(f"{case.name}: {cell.delays} ({time.perf_counter() - start:.0f} s)")
        return cell

    def measure_tuned(self, case: Case, threshold: float) -> PeerDelay:
        """Run the engine with the threshold at which it alarms as often as the tuned peers do."""
        cell = self.measure(case, (threshold,))
        name = key(threshold)
        return PeerDelay(
            peer=ENGINE,
            setting=TUNED,
            case=case.name,
            delays=cell.delays[name],
            late=cell.late[name],
            rows=cell.rows,
        )

    def measure_peer(self, case: Case, peer: Peer) -> Iterator[PeerDelay]:
        """Run a peer. Alarms before the change are false; it goes on after them."""
        effort, reference = peer.effort, self.reference(case)
        if effort.cases and not case.name.startswith(effort.cases):
            return
        delays: dict[str, list[int]] = {setting: [] for setting in peer.settings}
        runs = min(effort.runs, self.runs)
        start = time.perf_counter()
        for seed in range(runs):
            rng = np.random.default_rng([2, seed])
            change = effort.history + int(rng.integers(0, WINDOW))
            stream = case.table(rng, change, effort.wait)
            if not effort.every_column:
                stream = {case.changed: stream[case.changed]}
            for setting, rows in peer.alarms(reference, stream).items():
                after = [row - change + 1 for row in rows if row >= change]
                delays[setting] += after[:1]
        self.say(f"{case.name}: {peer.name} {delays} ({time.perf_counter() - start:.0f} s)")
        for setting, found in delays.items():
            late = runs - len(found)
            yield PeerDelay(peer=peer.name, setting=setting, case=case.name, delays=found, late=late, rows=effort.wait)

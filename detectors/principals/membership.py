"""Whether a client works on one record after another, as whoever asks for its part in the training data does.

Label-only membership inference asks for a record and then for inputs near it: shifted or noisy copies, or a search for
the boundary. Of one record alone an explainer does that, too; what tells them apart is that record follows record.

References
----------
Choquette-Choo, Tramer, Carlini and Papernot, *Label-Only Membership Inference Attacks*, ICML 2021.
Li and Zhang, *Membership Leakage in Label-Only Exposures*, CCS 2021.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from detectors.principals.cluster import Cluster
from detectors.principals.population import Population
from detectors.principals.trail import Step

AHEAD = 6
"""Requests after a new one that tell whether it is worked on."""
WORKED = 4
"""Of them, near-duplicates of one and the same request."""
LIMIT = math.log(1e6)
"""New requests that an ordinary client sends, on average at least, before its evidence reaches this: the logarithm."""
RECORDS_MAX = 32
"""That a new one is compared with."""
FIRST = 2
"""Size of a cluster with its first near-duplicate."""
USUAL = 0.1
"""Share of its new requests that an ordinary client, or an explainer, works on at most."""
INTENT = 0.8
"""Share that one works on who goes from record to record."""
APART_IN_TABLES = 1.6
"""Typical distances between records of a table, where changing one column after another makes new requests of one."""
EQUAL = 1e-3
"""Share of the typical distance at which a request equals a row of the reference."""
EQUAL_LEAST, EQUAL_RATIO = 0.05, 2.0
"""Share of an ordinary client's requests that may equal rows of the reference, and so many times what its own do."""
_ODD = 0.99
_WORKED = math.log(INTENT / USUAL), math.log((1.0 - INTENT) / (1.0 - USUAL))


@dataclass(slots=True)
class OpenRecord:
    """A new request whose following ones are waited for.

    Parameters
    ----------
    seen : int
        Requests since.
    old : int
        Of them, near-duplicates of what had some before.
    born : list of (Cluster, int)
        Clusters that began since, and how many near-duplicates each one has.
    """

    seen: int = 0
    old: int = 0
    born: list[tuple[Cluster, int]] = field(default_factory=list)

    def add(self, cluster: Cluster | None) -> Cluster | None:
        """Take the next request.

        Parameters
        ----------
        cluster : Cluster or None
            Of its near-duplicates.

        Returns
        -------
        Cluster or None
            The one that is now worked on, if there is one.
        """
        self.seen += 1
        if cluster is None:
            return None
        for place, (known, count) in enumerate(self.born):
            if known is cluster:
                self.born[place] = cluster, count + 1
                return cluster if count + 1 >= WORKED else None
        if cluster.size == FIRST:
            self.born.append((cluster, 1))
        else:
            self.old += 1
        return None


class Membership:
    """The evidence that one client asks about records.

    Parameters
    ----------
    population : Population
        What is usual.

    Attributes
    ----------
    evidence : float
        Natural logarithm of the e-detector for one record after another.
    records : int
        How many were worked on since that evidence was last zero.
    equal_evidence : float
        The same, for requests that equal rows of the reference.
    equals : int
        How many did since that evidence was last zero.
    apart : float
        Typical distances that a record lies from the last ``RECORDS_MAX`` ones, at least; else it is none of its own.
    told : bool
        A mark of the caller's; false again once there is no evidence.

    Notes
    -----
    A new request, near no earlier one and not odder than one in a hundred ordinary ones, counts as worked on when
    ``WORKED`` of the next ``AHEAD`` are near-duplicates of one request that had none before. The null hypothesis says
    that this happens with a probability of at most ``USUAL`` whatever came before; each new request then multiplies the
    evidence by a likelihood ratio whose mean is at most one. Explanations of a single input keep coming back to the
    same near-duplicates and stay far below; a client that explains record after record, or asks for shifted copies of
    each, does what the attack does, and no telemetry tells them apart.

    A request costs about 1 µs. Asking for the confidence in each record once is not seen, unless the records are rows
    of the reference.
    """

    def __init__(self, population: Population) -> None:
        self._odd = float(
            population.densities[min(int(_ODD * len(population.densities)), len(population.densities) - 1)]
        )
        self._typical = population.typical
        self._roots: list[NDArray[np.float32]] = []
        same = float(population.densities.searchsorted(EQUAL, side="right")) / max(len(population.densities), 1)
        usual = min(max(EQUAL_LEAST, EQUAL_RATIO * same), 0.9)
        often = 0.5 * (1.0 + usual)
        self._equal = math.log(often / usual), math.log((1.0 - often) / (1.0 - usual))
        self._open: list[OpenRecord] = []
        self.evidence = self.equal_evidence = 0.0
        self.records = self.equals = 0
        self.told = False
        self.apart = 0.0

    def take(self, step: Step) -> None:
        """Take one request.

        Parameters
        ----------
        step : Step
            As the trail tells of it; duplicates say nothing.
        """
        if step.duplicate:
            return
        self._compare(step.density)
        if self._open:
            self._follow(step.cluster)
        if self.strongest <= 0.0:
            self.told = False
        if step.cluster is None and step.density <= self._odd:
            self._open.append(OpenRecord())

    @property
    def strongest(self) -> float:
        """The stronger of the two, as a natural logarithm."""
        return max(self.evidence, self.equal_evidence)

    def _follow(self, cluster: Cluster | None) -> None:
        """Let a request tell what became of the new ones before it."""
        for waiting in self._open:
            worked = waiting.add(cluster)
            if worked is not None:
                # Whoever waits for the same near-duplicates has nothing of its own to tell.
                self._open = [one for one in self._open if all(known is not worked for known, _ in one.born)]
                if self._is_another(worked):
                    self._bet(_WORKED[0])
                    self.records += 1
                return
        while self._open and self._open[0].seen >= AHEAD:
            # Near-duplicates of an earlier request crowd out those of a new one: that tells nothing.
            if self._open.pop(0).old < WORKED:
                self._bet(_WORKED[1])

    def _is_another(self, cluster: Cluster) -> bool:
        """Tell whether a request that is worked on is another record than the last ones, and remember it."""
        within = self.apart * float(self._typical[cluster.label])
        near = any(float(np.linalg.norm(cluster.root - root)) < within for root in self._roots)
        self._roots = [*self._roots[-(RECORDS_MAX - 1) :], cluster.root]
        return not near

    def _bet(self, log_bet: float) -> None:
        self.evidence = max(self.evidence + log_bet, 0.0)
        if self.evidence == 0.0:
            self.records = 0

    def _compare(self, density: float) -> None:
        equal = density <= EQUAL
        self.equals += equal
        self.equal_evidence = max(self.equal_evidence + self._equal[0 if equal else 1], 0.0)
        if self.equal_evidence == 0.0:
            self.equals = 0

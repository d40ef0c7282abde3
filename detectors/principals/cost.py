"""Whose requests cost more than those of others at the same time, and who takes more than one client's share.

Clients are compared with each other, never with the past: a slow network or a busy server makes all of them slower, and
accuses nobody. What is compared is gathered in rounds.

References
----------
Shumailov et al., *Sponge Examples: Energy-Latency Attacks on Neural Networks*, EuroS&P 2021.
Vovk and Wang, *E-values: Calibration, combination and applications*, Annals of Statistics 2021.
Shin, Ramdas and Rinaldo, *E-detectors*, 2023.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from detectors.errors import DetectorError

KEPT = 16
"""Requests of one principal that are compared in a round: nobody is most of what others are compared with."""
REQUESTS_MAX = 4_096
"""Requests that are compared in a round."""
REQUESTS_MIN = 64
PRINCIPALS_MIN = 4
OTHERS_MIN = 32
"""Requests of others, of a similar size, without which a request says nothing."""
TOLERANCE = 1.25
"""Times slower than others that a client may be, whatever it asks."""
SIMILAR = 2.0
"""Times larger or smaller that a request may be which is compared."""
LIMIT = math.log(1e6)
"""Rounds that an honest client takes part in, on average at least, before its evidence reaches this: the logarithm."""
_STAKE = 0.5


@dataclass(slots=True)
class Spender:
    """The evidence about one principal.

    Parameters
    ----------
    slower : float
        Natural logarithm of the evidence that its requests take longer than those of others.
    share : float
        The same, that it takes more than one client's share of the time that answers take.
    ratio : float
        Of the last round: median time of its requests over that of others.
    part : float
        Of the last round: its share of the time that answers took, 0 to 1.
    requests : int
        In all rounds that counted.
    since : int
        The time of the first round of the evidence, as the caller gave it.
    told : bool
        A mark of the caller's; false again once there is no evidence.
    """

    slower: float = 0.0
    share: float = 0.0
    ratio: float = 1.0
    part: float = 0.0
    requests: int = 0
    since: int = 0
    told: bool = False

    @property
    def evidence(self) -> float:
        """The stronger of the two, as a natural logarithm."""
        return max(self.slower, self.share)


@dataclass
class Costs:
    """Compares what the requests of principals cost, round by round.

    Parameters
    ----------
    principals_max : int
        At least 1. Whoever took part in a round least recently is forgotten.
    share : float or None
        The largest share of the time that answers take which one client may have, above 0 and below 1; ``None``: any.

    Attributes
    ----------
    rounds : int
        In which principals could be compared.

    Raises
    ------
    DetectorError
        If a parameter is out of its range.

    Notes
    -----
    Within a round, and up to ``TOLERANCE``, the requests of an honest client are exchangeable with those of others.
    The rank p of each among those of others is then no smaller than a uniform one, 1 / (2 sqrt(p)) has a mean of at
    most one, and so has its mean over the client's requests, however they depend on each other. A share X of at most s
    on average makes ``1 + (X - s) / (2 s)`` such a bet too. Evidence is ``max(evidence, 1) * bet``: an e-detector.

    Several principals that are costly together hide each other where they send most of the requests.

    A round costs about 20 µs for each principal in it; a principal takes 0.3 kB, a request of the open round 24 bytes.
    """

    principals_max: int = 2_000
    share: float | None = None
    rounds: int = field(init=False, default=0)
    _known: "OrderedDict[str, Spender]" = field(init=False, default_factory=OrderedDict)
    _costs: dict[str, list[tuple[float, float]]] = field(init=False, default_factory=dict)
    _totals: dict[str, float] = field(init=False, default_factory=dict)
    _kept: int = field(init=False, default=0)
    _total: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        if self.principals_max < 1:
            raise DetectorError(f"{self.principals_max} principals; at least 1 is needed")
        if self.share is not None and not 0.0 < self.share < 1.0:
            raise DetectorError(f"a share of {self.share}; must be above 0 and below 1")

    def add(self, name: str, cost: float, size: float = 1.0) -> None:
        """Take one request into the open round.

        Parameters
        ----------
        name : str
            Whose it is.
        cost : float
            How long the answer took, in any unit; above 0 and finite, else it is left out.
        size : float
            How large the input was, in any unit; above 0 and finite, else the request counts for shares alone.
        """
        if not 0.0 < cost < math.inf:
            return
        self._total += cost
        own = self._costs.get(name)
        if own is None:
            if max(self._kept, len(self._costs)) >= REQUESTS_MAX:
                return
            own = self._costs[name] = []
        self._totals[name] = self._totals.get(name, 0.0) + cost
        if len(own) < KEPT and self._kept < REQUESTS_MAX and 0.0 < size < math.inf:
            own.append((math.log(cost), math.log(size)))
            self._kept += 1

    @property
    def ready(self) -> bool:
        """Whether the open round has enough requests of enough principals."""
        return self._kept >= REQUESTS_MIN and len(self._costs) >= PRINCIPALS_MIN

    def close(self, at: int = 0) -> dict[str, Spender]:
        """Close the round, and return the evidence about those who took part in it.

        Parameters
        ----------
        at : int
            When the round began, in any unit.

        Returns
        -------
        dict of str to Spender
            Empty when the round was not ready: what it held is forgotten.
        """
        if not self.ready:
            self._begin()
            return {}
        self.rounds += 1
        owners = np.repeat(np.arange(len(self._costs)), [len(own) for own in self._costs.values()])
        values = np.array([pair for own in self._costs.values() for pair in own])
        found = {}
        for number, name in enumerate(self._costs):
            spender = self._of(name)
            before = spender.evidence
            own = owners == number
            if own.any():
                self._compare(spender, values[own], values[~own])
            self._weigh(spender, self._totals[name] / self._total)
            if before <= 0.0 < spender.evidence:
                spender.since = at
            if spender.evidence <= 0.0:
                spender.told = False
            found[name] = spender
        self._begin()
        return found

    def _compare(self, spender: Spender, own: NDArray[np.float64], others: NDArray[np.float64]) -> None:
        """Bet on the ranks of a principal's requests among those of others that are of a similar size."""
        spender.requests += len(own)
        larger = own[:, 1][:, None] - others[:, 1]
        similar = np.abs(larger) <= math.log(SIMILAR)
        counts = similar.sum(axis=1)
        told = counts >= OTHERS_MIN
        if not told.any():
            return
        # A larger input may take longer, as far as it is larger.
        level = own[:, 0][:, None] - np.maximum(larger, 0.0) - math.log(TOLERANCE)
        above = (similar & (others[:, 0] >= level)).sum(axis=1)
        ranks = (1.0 + above[told]) / (counts[told] + 1.0)
        spender.slower = max(spender.slower, 0.0) + float(np.log(np.mean(_STAKE / np.sqrt(ranks))))
        spender.ratio = math.exp(float(np.median((own[:, 0][:, None] - others[:, 0])[similar])))

    def _weigh(self, spender: Spender, part: float) -> None:
        spender.part = part
        if self.share is not None:
            bet = 1.0 + _STAKE * (part - self.share) / self.share
            spender.share = max(spender.share, 0.0) + math.log(bet)

    def _of(self, name: str) -> Spender:
        spender = self._known.get(name)
        if spender is None:
            spender = self._known[name] = Spender()
            while len(self._known) > self.principals_max:
                self._known.popitem(last=False)
        self._known.move_to_end(name)
        return spender

    def _begin(self) -> None:
        self._costs, self._totals = {}, {}
        self._kept, self._total = 0, 0.0

    def __len__(self) -> int:
        return len(self._known)

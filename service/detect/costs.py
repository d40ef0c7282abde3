"""Who makes a version slow: the latency of each principal's answers against that of others at the same time."""

import numpy as np

from detectors.principals.cost import LIMIT, Costs, Spender
from service.detect.rations import SECOND_US
from service.domain.adversarial import Following
from service.domain.ids import Micros
from service.domain.principals import PrincipalFinding, PrincipalTier
from service.domain.schema import LATENCY
from service.frames import Frame

RESOURCES, QUERIES, DENIAL = "AML.T0034.001", "AML.T0034.000", "AML.T0029"


class CostWatch:
    """Compares principals round by round; a round lasts a second, or longer until it has enough requests: a minute."""

    def __init__(self, following: Following) -> None:
        self._size = following.size
        self.costs = Costs(following.principals_max, following.cost_share)
        self._since_us: Micros | None = None

    def take(self, frame: Frame, rows: "np.ndarray[tuple[int], np.dtype[np.int64]]", names: list[str]) -> None:
        """Take the chosen requests of a frame into the open round."""
        if LATENCY not in frame.numeric_names or not names:
            return
        took = frame.numeric[frame.numeric_names.index(LATENCY)][rows].tolist()
        sizes = [1.0] * len(names)
        if self._size is not None:
            # Sizes are asked for, and a frame without the column has none: its requests count for shares alone.
            known = self._size in frame.numeric_names
            sizes = frame.numeric[frame.numeric_names.index(self._size)][rows].tolist() if known else [0.0] * len(names)
        for name, cost, size in zip(names, took, sizes, strict=True):
            self.costs.add(name, cost, size)

    def close_due(self, at_us: Micros) -> list[PrincipalFinding]:
        """Close the round that has ended before an entry arrived, and return who is to be told of."""
        if self._since_us is None:
            self._since_us = at_us
        if at_us - self._since_us < SECOND_US or (not self.costs.ready and at_us - self._since_us < 60 * SECOND_US):
            return []
        since_us, self._since_us = self._since_us, at_us
        found = []
        for name, spender in self.costs.close(since_us).items():
            if spender.evidence >= LIMIT and not spender.told:
                spender.told = True
                found.append(_finding(name, spender, at_us, sized=self._size is not None))
        return found


def _finding(name: str, spender: Spender, at_us: Micros, *, sized: bool) -> PrincipalFinding:
    techniques, reasons = [DENIAL], []
    if spender.slower >= LIMIT:
        techniques.append(RESOURCES)
        ratio = f"{spender.ratio:.1f} times as long as those of others"
        alike = " and for inputs of a similar size" if sized else ""
        reasons.append(f"its answers take {ratio}, at the same time{alike}")
    if spender.share >= LIMIT:
        techniques.append(QUERIES)
        reasons.append(f"it takes {spender.part:.0%} of the time that answers take, more than one client may")
    return PrincipalFinding(
        principal=name,
        tier=PrincipalTier.COST,
        techniques=tuple(techniques),
        log_evidence=spender.evidence,
        log_threshold=LIMIT,
        calibrated=False,
        queries=spender.requests,
        since_us=spender.since,
        until_us=at_us,
        best_margin=None,
        flips=0,
        reused=False,
        campaign=None,
        members=(),
        fidelity=None,
        reasons=tuple(reasons),
    )

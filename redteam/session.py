"""What one client sent in a row, and what came back: the unit in which attacks and benign workloads are judged."""

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

DAY_SECONDS = 86_400.0
ROUNDING = 1e-6
"""How far over its budget an input may be: what 32-bit arithmetic on the way adds."""


class Kind(StrEnum):
    """What a client does, as far as false alarms are concerned."""

    ATTACK = "attack"
    ORDINARY = "ordinary"
    """Benign, and looks it."""
    EXPLANATION = "explanation"
    """Benign, with many requests around one input: explainers, robustness tests, sweeps, videos."""
    EQUIVALENT = "equivalent"
    """Nothing before the label flips tells these from an attack: reported apart, never counted as false alarms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """When an attack on one input has succeeded: the label is another, and the input is still within the budget."""

    root: NDArray[np.float64]
    """Shape (dimension,): the input that is attacked."""
    label: int
    """The label that the victim gives it, which is the right one."""
    budget: float
    """Largest distance from the root."""
    norm: float = 2.0
    """Order of the norm; infinity is the largest change of a single value."""
    target: int | None = None
    """The label that is wanted; ``None``: any other."""

    def reached(self, inputs: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which inputs reach the goal; inputs (n, dimension), labels (n,)."""
        wanted = labels != self.label if self.target is None else labels == self.target
        reached: NDArray[np.bool_] = wanted & (self.distances(inputs) <= self.budget * (1 + ROUNDING))
        return reached

    def distances(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far inputs are from the root."""
        away: NDArray[np.float64] = np.linalg.norm(inputs - self.root, ord=self.norm, axis=1)
        return away


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The requests of one client in order, duplicates among them."""

    workload: str
    """Name in the registry of attacks or of benign workloads."""
    kind: Kind
    victim: str
    seed: int
    source: int
    """Which input of the victim's split it began with; -1 when there is no single one."""
    inputs: NDArray[np.float32]
    """Shape (n, dimension)."""
    probabilities: NDArray[np.float32]
    """Shape (n, classes): the victim's answers."""
    seconds: NDArray[np.float64]
    """Shape (n,): when each was sent, from the start of the session on."""
    accounts: NDArray[np.int32]
    """Shape (n,): under which of the client's accounts, 0 for all unless the client splits its work."""
    success: int | None = None
    """Place of the first request that reached the goal; ``None`` when none did."""
    distance: NDArray[np.float32] | None = None
    """Shape (n,): smallest distance from the root among the requests so far with a label as wanted; infinite before."""
    progress: tuple[tuple[int, float], ...] = ()
    """How far an attack without a single input had come: (requests so far, value); its attack names the value."""
    latency_ms: NDArray[np.float32] | None = None
    """Shape (n,): how long each answer took, where the victim's time depends on the input."""
    feedback: NDArray[np.int32] | None = None
    """Shape (n,): the label that the client later reported as the truth; -1 where it reported none."""
    error: str = ""
    """What stopped the victim or the attack, when something did: such a session proves nothing."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """The predicted classes, shape (n,)."""
        labels: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return labels

    def __len__(self) -> int:
        return len(self.inputs)


def takes_days(session: Session) -> bool:
    """Tell whether an attack is spread over days, and so is a matter of the traffic as a whole."""
    return session.kind is Kind.ATTACK and len(session) > 0 and session.seconds[-1] - session.seconds[0] >= DAY_SECONDS


def spans_of(session: Session, seconds: float) -> list[slice]:
    """Return the requests of each span of so many seconds, counted from the first request; empty spans are left out."""
    span = ((session.seconds - session.seconds[0]) // seconds).astype(np.int64)
    bounds = [0, *(np.flatnonzero(np.diff(span)) + 1).tolist(), len(session)]
    return [slice(first, last) for first, last in pairwise(bounds)]

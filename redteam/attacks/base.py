"""What an attack is, and what it is told."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from redteam.oracle import Endpoint, Latency
from redteam.session import Goal
from redteam.victims import Split, Victim


class Family(StrEnum):
    """What an attack goes by, or is after."""

    DECISION = "decision"
    """Evasion with nothing but labels."""
    SCORE = "score"
    """Evasion with class probabilities."""
    GRADIENT = "gradient"
    """Evasion with the victim's own gradients."""
    TRANSFER = "transfer"
    """Evasion worked out on a model of the attacker's own."""
    EXTRACTION = "extraction"
    MEMBERSHIP = "membership"
    POISONING = "poisoning"
    COST = "cost"
    FLOODING = "flooding"
    """Alerts for their own sake."""

    @property
    def evades(self) -> bool:
        """Whether such an attack wants another label for one input."""
        return self in EVASION


LARGE = 16
TWO = 2
EVASION = frozenset({Family.DECISION, Family.SCORE, Family.GRADIENT, Family.TRANSFER})


class Need(StrEnum):
    """What a victim must have for an attack to run on it."""

    IMAGES = "images"
    LARGE_IMAGES = "images of at least 16 x 16"
    GRADIENTS = "gradients"
    """A linear classifier that the attacker has in hand."""
    TABLE = "table"
    CLASSES = "more than two classes"
    STRANGERS = "inputs of another data set"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What an attacker begins with."""

    input: NDArray[np.float64]
    """Shape (dimension,): the input that is attacked, or any one of the attacker's own."""
    label: int
    """The label that the victim gives it, which is the right one."""
    index: int
    """Its place in the split."""
    data: Split
    """The attacker's own inputs, of the same split."""
    judge: Split
    """Inputs that what was stolen is compared on: of a split that no attack has its own inputs from."""


Run = Callable[[Victim, Endpoint, Source, np.random.Generator], None]


def no_latency(_: Victim, __: np.random.Generator) -> Latency | None:
    """Answers take the same time whatever is asked, and nothing is said about it."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One way to attack a model over its interface.

    An attack on a single input succeeds with the first request whose label is another and that is within the victim's
    budget in ``norm``. Any other marks how far it has come, in a value that ``progress`` names, and succeeds at
    ``enough``.
    """

    name: str
    title: str
    family: Family
    techniques: tuple[str, ...]
    """ATLAS ids."""
    run: Run = field(repr=False)
    queries_max: int = 1_000
    needs: frozenset[Need] = frozenset()
    norm: float = 2.0
    progress: str = ""
    enough: float | None = None
    rate: float = 10.0
    """Requests a second, while nothing waits."""
    latency: Callable[[Victim, np.random.Generator], Latency | None] = field(default=no_latency, repr=False)
    company: bool = False
    """Whether only a comparison with other clients at the same time can tell of it."""

    def fits(self, victim: Victim) -> bool:
        """Tell whether the victim has what the attack needs."""
        has = {
            Need.IMAGES: len(victim.shape) > 1,
            Need.LARGE_IMAGES: len(victim.shape) > 1 and min(victim.shape) >= LARGE,
            Need.STRANGERS: victim.strangers is not None,
            Need.CLASSES: victim.classes > TWO,
            Need.TABLE: len(victim.shape) == 1,
            Need.GRADIENTS: hasattr(victim.classifier, "coef_"),
        }
        return all(has[need] for need in self.needs)

    def goal(self, victim: Victim, source: Source) -> Goal | None:
        """Return when the attack on a source has succeeded; ``None`` when it is not about a single input."""
        if not self.family.evades:
            return None
        budget = victim.budget_linf if np.isinf(self.norm) else victim.budget
        return Goal(root=source.input, label=source.label, budget=budget, norm=self.norm)

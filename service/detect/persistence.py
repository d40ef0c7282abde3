"""Who goes on, input after input: whom the bets on the stories of all principals of a version tell of."""

from collections.abc import Callable
from math import log

from detectors.principals.monitor import Principal
from detectors.principals.persistence import WRONG, chosen
from service.detect.alone import alone
from service.domain.ids import Micros
from service.domain.principals import PrincipalFinding, PrincipalTier

TECHNIQUES = ("AML.T0040", "AML.T0043.001")
LOG_LEAST = log(1.0 / WRONG)
"""Whoever has less is never told of, however many others are."""
Find = Callable[[str], tuple[Principal, Micros] | None]


class Persistent:
    """Chooses among the principals of one version, each time that one of their stories is over."""

    def __init__(self, *, calibrated: bool) -> None:
        self.betting = 0
        """Principals on whom there was ever a bet, those forgotten since among them: so many may be told of wrongly."""
        self._calibrated = calibrated
        self._rich: dict[str, float] = {}
        """What bets on those have won who may be told of."""

    def take(self, name: str, find: Find, at_us: Micros) -> list[PrincipalFinding]:
        """Take the end of a principal's story; return whom it lets be told of, itself or others."""
        found = find(name)
        if found is None:
            return []
        own = found[0].persistence
        self.betting += own.stories == 1
        self._note(name, own.log_evidence)
        if own.log_evidence <= 0.0:
            own.told = False
        names, log_threshold = chosen(self._rich, self.betting)
        return [
            told
            for one in names
            if (known := find(one)) is not None and (told := self._told(one, *known, at_us, log_threshold)) is not None
        ]

    def forget(self, name: str) -> None:
        """Forget a principal; it counts as one of those on whom there was a bet."""
        self._rich.pop(name, None)

    def adopt(self, betting: int, known: list[tuple[str, Principal]]) -> None:
        """Take back what was known."""
        self.betting = betting
        self._rich = {}
        for name, principal in known:
            self._note(name, principal.persistence.log_evidence)

    def status(self) -> dict[str, float]:
        """Return what the status says of it."""
        return {
            "wrong_of_told": WRONG,
            "betting": self.betting,
            "log_threshold": log(max(self.betting, 1) / WRONG),
            "log_highest": max(self._rich.values(), default=0.0),
        }

    def _note(self, name: str, log_evidence: float) -> None:
        if log_evidence >= LOG_LEAST:
            self._rich[name] = log_evidence
        else:
            self._rich.pop(name, None)

    def _told(
        self, name: str, principal: Principal, since_us: Micros, at_us: Micros, log_threshold: float
    ) -> PrincipalFinding | None:
        own = principal.persistence
        if own.told:
            return None
        own.told = True
        return alone(
            name,
            principal,
            PrincipalTier.PERSISTENCE,
            since_us,
            at_us,
            techniques=TECHNIQUES,
            log_evidence=own.log_evidence,
            log_threshold=log_threshold,
            calibrated=self._calibrated,
            reasons=self._reasons(own.stories),
        )

    def _reasons(self, stories: int) -> tuple[str, str]:
        near = f"near-duplicates of {stories} inputs, one after the other, told more of an attack"
        among = f"among {self.betting} principals who sent near-duplicates"
        return (
            f"{near} than those of benign clients do, of whichever kind",
            f"{among}; of those told of so, at most one in {1.0 / WRONG:.0f} is expected to be wronged",
        )

"""How good alerts have been: what people said they were, how long that took, and whether the promise held. Pure.

Only alerts with evidence are promised: silence and adversarial use have no share of the budget. What nobody has judged
counts neither for nor against.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scipy.special import betaincinv, gammaincinv

from service.domain.ids import Micros
from service.domain.incidents import Exposure, Judged
from service.domain.policy import UNCOUNTED, Cause
from service.domain.records import Incident, Verdict

Judgeable = Incident | Judged
"""Either has all that is counted."""
WORTH_IT = frozenset({Verdict.REAL_DRIFT, Verdict.DATA_BUG, Verdict.ATTACK})
"""Verdicts of alerts that somebody should have been woken for. ``benign``: a change, but none that mattered."""
TAIL = 0.025
HOURS_PER_DAY = 24
TENTHS = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """So many of so many, with an exact interval of 95 %; ``None`` of nothing."""

    hits: int
    trials: int

    @property
    def ratio(self) -> float | None:
        """The share."""
        return self.hits / self.trials if self.trials else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Clopper and Pearson's: the true share lies in it in at least 95 of 100 cases."""
        if not self.trials:
            return None
        missed = self.trials - self.hits
        low = float(betaincinv(self.hits, missed + 1, TAIL)) if self.hits else 0.0
        high = float(betaincinv(self.hits + 1, missed, 1 - TAIL)) if missed else 1.0
        return low, high


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    """How long something took."""

    measured: int
    median: float | None
    p90: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """False alarms that there were, and that were promised for the time watched."""

    achieved: int
    """Incidents with evidence that people called a false alarm."""
    promised: float
    """At most so many were to be expected."""
    watched_days: float

    @property
    def interval(self) -> tuple[float, float]:
        """Of the number to be expected, by Garwood: in at least 95 of 100 cases it lies in it."""
        low = float(gammaincinv(self.achieved, TAIL)) if self.achieved else 0.0
        return low, float(gammaincinv(self.achieved + 1, 1 - TAIL))

    @property
    def kept(self) -> bool:
        """False only when so many are no chance: even the lower end is above what was promised."""
        return not self.achieved or self.interval[0] <= self.promised


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How good the alerts of one model were, or of all of them."""

    incidents: int
    unjudged: int
    """Without a verdict: still open, or over by themselves."""
    verdicts: dict[Verdict, int]
    precision: Share
    acknowledge: Seconds
    decide: Seconds
    promise: Promise


def quality(incidents: Iterable[Judgeable], exposures: Iterable[Exposure]) -> Quality:
    """Return how good some alerts were; merged incidents are left out by the caller, as they are part of others."""
    known = list(incidents)
    judged = [one for one in known if one.verdict is not None]
    counts = Counter(one.verdict for one in judged)
    verdicts = {verdict: counts[verdict] for verdict in Verdict}
    return Quality(
        incidents=len(known),
        unjudged=len(known) - len(judged),
        verdicts=verdicts,
        precision=Share(hits=sum(verdicts[one] for one in WORTH_IT), trials=len(judged)),
        acknowledge=_seconds([seconds for one in known if (seconds := _seen_after(one)) is not None]),
        decide=_seconds([(one.resolved_us - one.opened_us) / 1e6 for one in judged if one.resolved_us is not None]),
        promise=promise_of(judged, exposures),
    )


def grouped(
    incidents: Iterable[Judgeable], exposures: Iterable[Exposure]
) -> dict[str, tuple[list[Judgeable], list[Exposure]]]:
    """Return what there is of each model that has incidents or was watched, by its name."""
    own: dict[str, tuple[list[Judgeable], list[Exposure]]] = {}
    for incident in incidents:
        own.setdefault(incident.model, ([], []))[0].append(incident)
    for exposure in exposures:
        own.setdefault(exposure.model, ([], []))[1].append(exposure)
    return {model: own[model] for model in sorted(own)}


def by_model(incidents: Iterable[Judgeable], exposures: Iterable[Exposure]) -> dict[str, Quality]:
    """Return the same for each model that has incidents or was watched."""
    return {model: quality(*own) for model, own in grouped(incidents, exposures).items()}


def by_cause(incidents: Sequence[Judgeable]) -> dict[Cause, Quality]:
    """Return the same for each cause that has incidents; what was promised holds for a whole model, not for a cause."""
    own: dict[Cause, list[Judgeable]] = {}
    for incident in incidents:
        own.setdefault(incident.cause, []).append(incident)
    return {cause: quality(own[cause], ()) for cause in Cause if cause in own}


def promise_of(incidents: Iterable[Judgeable], exposures: Iterable[Exposure]) -> Promise:
    """Return what was promised, and how often people said that an alert with evidence was a false alarm."""
    wrong = [one for one in incidents if one.verdict is Verdict.FALSE_ALARM]
    achieved = sum(one.cause not in UNCOUNTED for one in wrong)
    watched = list(exposures)
    promised = 0.0
    for one in watched:
        budget = one.policy.budget
        promised += one.hours / HOURS_PER_DAY * budget.false_alarms / budget.per_days
    return Promise(achieved=achieved, promised=promised, watched_days=sum(one.hours for one in watched) / HOURS_PER_DAY)


def _seen_after(incident: Judgeable) -> float | None:
    """Return after how many seconds a person took notice: who resolves at once has seen it too."""
    times = [incident.acknowledged_us]
    if incident.verdict is not None:
        times.append(incident.resolved_us)
    seen: list[Micros] = [one for one in times if one is not None]
    return (min(seen) - incident.opened_us) / 1e6 if seen else None


def _seconds(values: Sequence[float]) -> Seconds:
    ordered = sorted(max(0.0, value) for value in values)
    if not ordered:
        return Seconds(measured=0, median=None, p90=None)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return Seconds(measured=len(ordered), median=median, p90=ordered[math.ceil(TENTHS * len(ordered)) - 1])

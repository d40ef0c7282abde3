"""What a monitor is worth: which attacks it saw in time, which it did not, and whom it wronged.

A session is judged as a whole: requests of one client belong together, and a rate per request hides how many clients
are wronged. An attack counts as seen only if the first alarm comes strictly before the request that reaches its goal.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from redteam.session import Kind, Session

FirstAlarm = Callable[[Session], int | None]
"""Place of the first request of a session at which a monitor alarms, from 0 on; ``None``: it never does."""
LEVEL = 0.95
DRAWS = 2_000
"""Samples of a bootstrap."""


class Interval(NamedTuple):
    """Where a share lies, with a confidence of ``LEVEL``."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is kept of a session once a monitor has looked at it."""

    workload: str
    kind: Kind
    victim: str
    seed: int
    source: int
    requests: int
    success: int | None
    """Place of the request that reached the goal."""
    alarm: int | None
    """Place of the first alarm."""
    queries: int | None
    """Different requests up to and with the first alarm: a retry is not counted again."""
    seconds: float | None
    """From the first request to the one with the first alarm."""
    damage: float
    """Smallest distance from the root with a wanted label until the first alarm, or until the end; infinite if none."""
    error: str = ""

    @property
    def timely(self) -> bool:
        """Whether an attack that succeeds was seen before."""
        return self.success is not None and self.alarm is not None and self.alarm < self.success


def verdict_of(session: Session, alarm: int | None) -> Verdict:
    """Judge a session by the place of its first alarm.

    Raises
    ------
    ValueError
        If the session has no such request.
    """
    if alarm is not None and not 0 <= alarm < len(session):
        raise ValueError(f"a session of {len(session)} requests has no alarm at request {alarm}")
    until = len(session) if alarm is None else alarm + 1
    distance = session.distance
    return Verdict(
        workload=session.workload,
        kind=session.kind,
        victim=session.victim,
        seed=session.seed,
        source=session.source,
        requests=len(session),
        success=session.success,
        alarm=alarm,
        queries=None if alarm is None else len({row.tobytes() for row in session.inputs[:until]}),
        seconds=None if alarm is None else float(session.seconds[alarm] - session.seconds[0]),
        damage=math.inf if distance is None or until == 0 else float(distance[until - 1]),
        error=session.error,
    )


def judge(sessions: Iterable[Session], first_alarm: FirstAlarm) -> list[Verdict]:
    """Let a monitor look at sessions one after the other; one that broke off with an error is not shown to it."""
    return [verdict_of(s, None if s.error else first_alarm(s)) for s in sessions]


def clopper_pearson(hits: int, trials: int) -> Interval:
    """Return the exact interval of a share; without a trial it is anything from 0 to 1.

    Raises
    ------
    ValueError
        If there are fewer than none, or more hits than trials.
    """
    if not 0 <= hits <= trials:
        raise ValueError(f"{hits} of {trials} is not a share")
    tail = (1.0 - LEVEL) / 2.0
    low = float(betaincinv(hits, trials - hits + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, trials - hits, 1.0 - tail)) if hits < trials else 1.0
    return Interval(low, high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """So many of so many, and between which bounds the true share lies."""

    hits: int
    trials: int
    interval: Interval

    @property
    def ratio(self) -> float:
        """The share; NaN of nothing."""
        return self.hits / self.trials if self.trials else math.nan


def share(hits: int, trials: int) -> Share:
    """Return a share of independent trials with its exact interval."""
    return Share(hits=hits, trials=trials, interval=clopper_pearson(hits, trials))


def timely_rate(verdicts: Iterable[Verdict], seed: int = 0) -> Share:
    """Return the share of successful attacks whose first alarm came strictly before the success.

    Attacks on the same input succeed and fail together, so the bootstrap draws inputs, not sessions. Where all sessions
    agree a bootstrap knows no doubt; the interval is then the exact one for as many trials as there are inputs.
    """
    counts: dict[tuple[str, int], list[int]] = {}
    for verdict in _attacks(verdicts):
        if verdict.success is not None:
            of_source = counts.setdefault((verdict.victim, verdict.source), [0, 0])
            of_source[0] += verdict.timely
            of_source[1] += 1
    table = np.array(list(counts.values()), dtype=np.int64).reshape(-1, 2)
    hits, trials = (int(total) for total in table.sum(axis=0))
    if hits in {0, trials}:
        interval = clopper_pearson(len(table) if hits else 0, len(table))
    else:
        interval = _bootstrap(table, seed)
    return Share(hits=hits, trials=trials, interval=interval)


def _bootstrap(table: NDArray[np.int64], seed: int) -> Interval:
    """Return the percentile interval of hits over trials, drawing rows of a table of both."""
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(table), np.full(len(table), 1.0 / len(table)), size=DRAWS)
    hits, trials = (weights @ table).T
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(hits / trials, [tail, 1.0 - tail])
    return Interval(float(low), float(high))


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """How many different requests pass until the first alarm; infinite where too few sessions alarm."""

    median: float
    """Over the sessions that alarm."""
    p90: float
    median_all: float
    """Over all sessions, those without an alarm counted as infinite."""
    p90_all: float


def quantile(values: Sequence[float], level: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed; infinite of nothing."""
    if not values:
        return math.inf
    return float(sorted(values)[max(math.ceil(level * len(values)) - 1, 0)])


def delay(verdicts: Iterable[Verdict]) -> Delay:
    """Return how late the first alarms of attacks are."""
    late = [math.inf if v.queries is None else float(v.queries) for v in _attacks(verdicts)]
    seen = [each for each in late if math.isfinite(each)]
    return Delay(
        median=quantile(seen, 0.5),
        p90=quantile(seen, 0.9),
        median_all=quantile(late, 0.5),
        p90_all=quantile(late, 0.9),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackResult:
    """How a monitor did against some attacks."""

    sessions: int
    errors: int
    """Sessions that broke off; they are in none of the other numbers."""
    seen: Share
    """Attacks with an alarm, early or late, of all."""
    timely: Share
    """Successful attacks with an alarm before the success: the number that counts."""
    undetected: Share
    """Attacks, of all, that succeed and never raise an alarm."""
    too_late: Share
    """Attacks, of all, that succeed at or before the first alarm."""
    delay: Delay
    damage: float
    """Median over the sessions of the distance reached at the first alarm, or at the end without one."""


def attack_result(verdicts: Iterable[Verdict], seed: int = 0) -> AttackResult:
    """Sum up attacks; verdicts of other sessions are left out."""
    whole = list(verdicts)
    attacks = list(_attacks(whole))
    succeeded = [v for v in attacks if v.success is not None]
    return AttackResult(
        sessions=len(attacks),
        errors=sum(v.kind is Kind.ATTACK and bool(v.error) for v in whole),
        seen=share(sum(v.alarm is not None for v in attacks), len(attacks)),
        timely=timely_rate(attacks, seed),
        undetected=share(sum(v.alarm is None for v in succeeded), len(attacks)),
        too_late=share(sum(v.alarm is not None and not v.timely for v in succeeded), len(attacks)),
        delay=delay(attacks),
        damage=quantile([v.damage for v in attacks], 0.5),
    )


def attack_results(verdicts: Iterable[Verdict], seed: int = 0) -> dict[str, AttackResult]:
    """Sum up every attack by itself, under its name, in the order of the verdicts."""
    groups = _by_workload(v for v in verdicts if v.kind is Kind.ATTACK)
    return {name: attack_result(group, seed) for name, group in groups.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class BenignResult:
    """Whom a monitor wronged among the clients of one workload."""

    kind: Kind
    errors: int
    """Sessions that broke off; they are in none of the other numbers."""
    alarmed: Share
    """Sessions with an alarm, with the exact interval."""
    requests: int

    @property
    def per_million(self) -> float:
        """First alarms in a million requests; NaN without requests."""
        return 1e6 * self.alarmed.hits / self.requests if self.requests else math.nan


def benign_results(verdicts: Iterable[Verdict]) -> dict[str, BenignResult]:
    """Sum up every benign workload, and every equivalent one, under its name, in the order of the verdicts."""
    groups = _by_workload(v for v in verdicts if v.kind is not Kind.ATTACK)
    return {name: _benign_result(group) for name, group in groups.items()}


def _benign_result(verdicts: Sequence[Verdict]) -> BenignResult:
    whole = [v for v in verdicts if not v.error]
    return BenignResult(
        kind=verdicts[0].kind,
        errors=len(verdicts) - len(whole),
        alarmed=share(sum(v.alarm is not None for v in whole), len(whole)),
        requests=sum(v.requests for v in whole),
    )


def _attacks(verdicts: Iterable[Verdict]) -> Iterable[Verdict]:
    return (v for v in verdicts if v.kind is Kind.ATTACK and not v.error)


def _by_workload(verdicts: Iterable[Verdict]) -> dict[str, list[Verdict]]:
    groups: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        groups.setdefault(verdict.workload, []).append(verdict)
    return groups

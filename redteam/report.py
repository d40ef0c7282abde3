"""What a run found: how often each attack was seen in time, and how often each benign workload was wronged.

An attack that is seen in time in less than half of its successes is a blind spot, and says so.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import median

import msgspec

from redteam.attacks import ATTACKS
from redteam.benign import WORKLOADS
from redteam.judge import Share, Verdict, attack_result, benign_results, timely_rate
from redteam.records import Folder, Head, Record, SceneRecord
from redteam.scenarios import SCENARIOS
from redteam.scenarios.base import WEAKNESSES, Outcome
from redteam.session import Kind

BLIND = 0.5
"""An attack with a lower timely rate is a blind spot."""
WRONGED = 0.01
"""A benign workload of whose sessions surely more alarm is wronged."""
INTENT = "intent"
ERRORS_SHOWN = 3
EVIDENCE_SHOWN, EVIDENCE_LENGTH = 12, 400
PLACES = {name: place for place, name in enumerate(SCENARIOS)}
FOR_PEOPLE = frozenset({"baseline-poison"})
"""What such attacks do shows when a new baseline is compared with the old one, and people decide."""


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """So many of so many, with a confidence interval of 95 %."""

    hits: int
    trials: int
    low: float
    high: float

    @classmethod
    def of(cls, share: Share) -> "Rate":
        """Return it as it is told."""
        return cls(hits=share.hits, trials=share.trials, low=share.interval.low, high=share.interval.high)

    @property
    def ratio(self) -> float | None:
        """The share; ``None`` of nothing."""
        return self.hits / self.trials if self.trials else None


class Technique(msgspec.Struct, frozen=True, kw_only=True):
    """Of ATLAS."""

    id: str
    name: str


class AttackRow(msgspec.Struct, frozen=True, kw_only=True):
    """One attack on one victim."""

    victim: str
    attack: str
    title: str
    family: str
    techniques: tuple[Technique, ...]
    sessions: int
    errors: int
    successes: int
    timely: Rate
    """Of the successes: the first alarm came strictly before."""
    by_intent: Rate
    """As ``timely``, of alarms of the tier *intent* only: what explainers and robustness tests do not raise."""
    seen: Rate
    """Of the sessions: an alarm at any time."""
    queries_median: float | None
    """Different requests to the first alarm, of the sessions that have one."""
    tiers: dict[str, int]
    """Sessions by the tiers that they reached."""
    campaigns: int = 0
    """Sessions of which an alarm named several accounts together."""
    blind: bool

    @property
    def for_people(self) -> bool:
        """Whether no request tells of the attack, and people are to see it."""
        return self.attack in FOR_PEOPLE


class BenignRow(msgspec.Struct, frozen=True, kw_only=True):
    """One benign workload on one victim."""

    victim: str
    workload: str
    title: str
    kind: str
    sessions: int
    errors: int
    alarmed: Rate
    tiers: dict[str, int]

    @property
    def wronged(self) -> bool:
        """Whether surely more of its sessions alarm than may; what looks like an attack to everybody is not counted."""
        return self.kind != Kind.EQUIVALENT and self.alarmed.low > WRONGED


class ScenarioRow(msgspec.Struct, frozen=True, kw_only=True):
    """One attack on the service itself."""

    scenario: str
    title: str
    stride: tuple[str, ...]
    techniques: tuple[Technique, ...]
    """Of ATLAS, and weaknesses (CWE)."""
    defence: str
    """What is expected."""
    outcome: str
    """``held`` or ``broken``; ``unknown`` when it broke off."""
    checks: int
    failed: int
    evidence: tuple[str, ...]
    """What was tried and what was seen, what did not hold first; at most ``EVIDENCE_SHOWN``."""
    error: str

    @property
    def broken(self) -> bool:
        """Whether a defence did not hold."""
        return self.outcome == Outcome.BROKEN


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a run found."""

    plan: str
    """Digest of the plan."""
    seed: int
    complete: bool
    done: int
    total: int
    attacks: tuple[AttackRow, ...]
    benign: tuple[BenignRow, ...]
    scenarios: tuple[ScenarioRow, ...] = ()
    skipped: tuple[tuple[str, str], ...]
    errors: tuple[str, ...]
    """What broke sessions off, the most frequent first; at most three."""

    def of_victim(self, victim: str) -> "Summary":
        """Return what concerns one victim; what was tried on the service concerns all."""
        return msgspec.structs.replace(
            self,
            attacks=tuple(row for row in self.attacks if row.victim == victim),
            benign=tuple(row for row in self.benign if row.victim == victim),
            skipped=tuple(one for one in self.skipped if one[0] == victim),
        )


def summary_of(folder: Folder, names: Mapping[str, str]) -> Summary | None:
    """Return what a folder's sessions say; ``None`` when there is no run; ``names`` are those of techniques by id."""
    head = folder.head
    if head is None:
        return None
    folder.load()
    return summarise(head, list(folder.records.values()), names, list(folder.scenes.values()))


def summarise(
    head: Head, records: Sequence[Record], names: Mapping[str, str], scenes: Sequence[SceneRecord] = ()
) -> Summary:
    """Sum up sessions and scenarios."""
    errors = [*(record.error for record in records), *(scene.error for scene in scenes)]
    broken = Counter(filter(None, errors))
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.victim, record.workload), []).append(record)
    attacks, benign = [], []
    for group in groups.values():
        if group[0].kind is Kind.ATTACK:
            attacks.append(_attack_row(group, names, head.seed))
        else:
            benign.append(_benign_row(group))
    order = {name: place for place, name in enumerate((*ATTACKS, *WORKLOADS))}
    return Summary(
        plan=head.digest,
        seed=head.seed,
        complete=len(errors) - broken.total() >= head.total,
        done=len(errors) - broken.total(),
        total=head.total,
        attacks=tuple(sorted(attacks, key=lambda row: (row.victim, order.get(row.attack, 0)))),
        benign=tuple(sorted(benign, key=lambda row: (row.victim, order.get(row.workload, 0)))),
        scenarios=tuple(scenario_row(scene, names) for scene in sorted(scenes, key=lambda one: PLACES[one.scenario])),
        skipped=head.skipped,
        errors=tuple(text for text, _ in broken.most_common(ERRORS_SHOWN)),
    )


def _attack_row(group: Sequence[Record], names: Mapping[str, str], seed: int) -> AttackRow:
    result = attack_result([record.verdict for record in group], seed)
    attack = ATTACKS[group[0].workload]
    seen = [record for record in group if not record.error and record.queries is not None]
    ratio = result.timely.ratio
    return AttackRow(
        victim=group[0].victim,
        attack=attack.name,
        title=attack.title,
        family=attack.family.value,
        techniques=tuple(Technique(id=one, name=names.get(one, "")) for one in attack.techniques),
        sessions=result.sessions,
        errors=result.errors,
        successes=result.timely.trials,
        timely=Rate.of(result.timely),
        by_intent=Rate.of(timely_rate((_by_intent(record) for record in group), seed)),
        seen=Rate.of(result.seen),
        queries_median=median(record.queries or 0 for record in seen) if seen else None,
        tiers=_tiers(group),
        campaigns=sum(record.campaign is not None for record in group if not record.error),
        blind=not math.isnan(ratio) and ratio < BLIND,
    )


def scenario_row(scene: SceneRecord, names: Mapping[str, str]) -> ScenarioRow:
    """Return what became of a scenario."""
    told = SCENARIOS[scene.scenario]
    outcome = "unknown" if scene.error else Outcome.HELD if scene.held else Outcome.BROKEN
    known = {**WEAKNESSES, **names}
    checks = sorted(scene.checks, key=lambda one: one.held)
    lines = [f"{'held' if one.held else 'BROKEN'}: {one.tried}: {one.seen}" for one in checks]
    return ScenarioRow(
        scenario=told.name,
        title=told.title,
        stride=tuple(one.value for one in told.stride),
        techniques=tuple(Technique(id=one, name=known.get(one, "")) for one in told.ids),
        defence=told.defence,
        outcome=str(outcome),
        checks=len(checks),
        failed=sum(not one.held for one in checks),
        evidence=tuple(line[:EVIDENCE_LENGTH] for line in lines[:EVIDENCE_SHOWN]),
        error=scene.error[:EVIDENCE_LENGTH],
    )


def _by_intent(record: Record) -> Verdict:
    """Return a session as it would be judged if nothing but intent raised an alarm."""
    return replace(record.verdict, alarm=record.tiers.get(INTENT))


def _benign_row(group: Sequence[Record]) -> BenignRow:
    workload = WORKLOADS[group[0].workload]
    [result] = benign_results(record.verdict for record in group).values()
    return BenignRow(
        victim=group[0].victim,
        workload=workload.name,
        title=workload.title,
        kind=workload.kind.value,
        sessions=result.alarmed.trials,
        errors=result.errors,
        alarmed=Rate.of(result.alarmed),
        tiers=_tiers(group),
    )


def _tiers(group: Iterable[Record]) -> dict[str, int]:
    return dict(sorted(Counter(tier for record in group if not record.error for tier in record.tiers).items()))


def rate_text(rate: Rate) -> str:
    """Say a rate: ``7 of 8, 88 % (47-100)``."""
    if rate.ratio is None:
        return "-"
    return f"{rate.hits} of {rate.trials}, {rate.ratio:.0%} ({100 * rate.low:.0f}-{100 * rate.high:.0f})"


def tiers_text(tiers: Mapping[str, int], campaigns: int = 0) -> str:
    """Say how many sessions reached which tier, and in how many an alarm named several accounts."""
    parts = [f"{tier} {number}" for tier, number in tiers.items()] + ([f"campaign {campaigns}"] if campaigns else [])
    return ", ".join(parts) or "-"


def number_text(number: float | None) -> str:
    """Say a number that may not be there."""
    return "-" if number is None else f"{number:g}"


def head_text(summary: Summary) -> str:
    """Say in a sentence what was run."""
    broken = sum(row.errors for row in summary.attacks) + sum(row.errors for row in summary.benign)
    broken += sum(bool(row.error) for row in summary.scenarios)
    what = "sessions and scenarios" if summary.scenarios else "sessions"
    parts = [f"{summary.done} of {summary.total} {what}", f"seed {summary.seed}", f"plan {summary.plan[:12]}"]
    if broken:
        parts.append(f"{broken} broken off, in none of the numbers")
    return ", ".join(parts)

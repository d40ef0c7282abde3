"""What a red-team run found about a version: its own summary, bounded, as it was filed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from service.domain.ids import Actor, Micros, VersionId

SUPERSEDED_US = 35 * 24 * 3_600_000_000
"""A victim that was not attacked for so long, while others were, is no part of the plan any more."""
Short = Annotated[str, msgspec.Meta(max_length=200)]
Count = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]
Part = Annotated[float, msgspec.Meta(ge=0, le=1)]
Tiers = Annotated[dict[Short, Count], msgspec.Meta(max_length=16)]


class Rate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So many of so many, with a confidence interval of 95 %."""

    hits: Count
    trials: Count
    low: Part
    high: Part

    @property
    def ratio(self) -> float | None:
        """The share; ``None`` of nothing."""
        return self.hits / self.trials if self.trials else None


class TechniqueName(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of ATLAS, as the run named it."""

    id: Short
    name: Short


class AttackRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One attack on one victim."""

    victim: Short
    attack: Short
    title: Short
    family: Short
    techniques: Annotated[tuple[TechniqueName, ...], msgspec.Meta(max_length=16)]
    sessions: Count
    errors: Count
    successes: Count
    timely: Rate
    by_intent: Rate
    seen: Rate
    queries_median: Annotated[float, msgspec.Meta(ge=0, le=1e9)] | None
    tiers: Tiers
    campaigns: Count = 0
    blind: bool


class BenignRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One benign workload on one victim."""

    victim: Short
    workload: Short
    title: Short
    kind: Short
    sessions: Count
    errors: Count
    alarmed: Rate
    tiers: Tiers


class ScenarioRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One attack on the service itself, and whether its defence held."""

    scenario: Short
    title: Short
    stride: Annotated[tuple[Short, ...], msgspec.Meta(max_length=6)]
    techniques: Annotated[tuple[TechniqueName, ...], msgspec.Meta(max_length=16)]
    """Of ATLAS, and weaknesses (CWE)."""
    defence: Annotated[str, msgspec.Meta(max_length=500)]
    outcome: Literal["held", "broken", "unknown"]
    checks: Count
    failed: Count
    evidence: Annotated[tuple[Annotated[str, msgspec.Meta(max_length=500)], ...], msgspec.Meta(max_length=20)]
    error: Annotated[str, msgspec.Meta(max_length=2_000)]


class RedTeamSummary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of ``POST /v1/models/{model}/versions/{version}/redteam``: what ``lazaretto redteam report --json`` prints."""

    plan: Short
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    complete: bool
    done: Count
    total: Count
    attacks: Annotated[tuple[AttackRow, ...], msgspec.Meta(max_length=500)]
    benign: Annotated[tuple[BenignRow, ...], msgspec.Meta(max_length=500)]
    scenarios: Annotated[tuple[ScenarioRow, ...], msgspec.Meta(max_length=100)] = ()
    skipped: Annotated[tuple[tuple[Short, Short], ...], msgspec.Meta(max_length=1_000)]
    errors: Annotated[tuple[Annotated[str, msgspec.Meta(max_length=2_000)], ...], msgspec.Meta(max_length=10)]


@dataclass(frozen=True, slots=True, kw_only=True)
class RedTeamRun:
    """The latest run that was filed at a version."""

    version_id: VersionId
    at_us: Micros
    actor: Actor
    summary: RedTeamSummary


def newest_of_retired(runs: Iterable[RedTeamRun], retired: Callable[[VersionId], bool]) -> list[RedTeamRun]:
    """Return the runs that still say something: all but those filed at retired versions that a later one supersedes.

    A scheduled run makes a version of its own for each victim, and retires it. Of those, the newest of each victim
    stays, and none that is older than the newest of all by ``SUPERSEDED_US``.
    """
    found, last = [], dict[str, RedTeamRun]()
    for run in runs:
        if not retired(run.version_id):
            found.append(run)
        elif (before := last.get(_victim(run))) is None or before.at_us < run.at_us:
            last[_victim(run)] = run
    newest = max((run.at_us for run in last.values()), default=0)
    return [*found, *(run for run in last.values() if newest - run.at_us < SUPERSEDED_US)]


def _victim(run: RedTeamRun) -> str:
    """Return whom a run was about; one of nothing but scenarios was about the service."""
    victims = [*(row.victim for row in run.summary.attacks), *(row.victim for row in run.summary.benign)]
    return victims[0] if victims else ""

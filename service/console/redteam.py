"""What the latest red-team run found, on the page of a version: where the monitor is blind."""

from collections.abc import Iterable
from dataclasses import dataclass

from service.console.facts import Facts
from service.console.read_models import When
from service.domain.ids import Micros
from service.domain.redteam import AttackRow, Rate, ScenarioRow, TechniqueName
from service.domain.schedule import Outcome, Schedule

BLIND_SHOWN, EVIDENCE_SHOWN = 8, 3
WRONGED = 0.01
LATE_US = 600_000_000
WORDS = {Outcome.DONE: "ended well", Outcome.FAILED: "failed", Outcome.TIMED_OUT: "took too long"}
EQUIVALENT = "equivalent"
"""Benign clients that nothing tells from an attack: they count as nobody's false alarm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """An attack that was seen in time too seldom."""

    attack: str
    victim: str
    rate: str
    atlas: tuple[str, ...]
    """Ids with their names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defence:
    """A defence of the service that was tried."""

    title: str
    expected: str
    outcome: str
    """``held``, ``broken`` or ``unknown``."""
    evidence: tuple[str, ...]
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RedTeamSection:
    """The latest run in a few lines."""

    filed: When
    summary: str
    spots: tuple[Spot, ...]
    spots_left: int
    wronged: str
    """Benign workloads of whose sessions surely too many alarm."""
    defences: tuple[Defence, ...] = ()
    """Those that did not hold first."""


@dataclass(frozen=True, slots=True)
class ScheduleLine:
    """How scheduled runs go, in a sentence."""

    text: str
    bad: bool


def redteam_section(facts: Facts) -> RedTeamSection | None:
    """Decide what the section shows; nothing where no run was filed."""
    run = facts.redteam
    if run is None:
        return None
    blind = [row for row in run.summary.attacks if row.blind]
    tried = sum(row.successes > 0 for row in run.summary.attacks)
    benign = [row for row in run.summary.benign if row.kind != EQUIVALENT and row.alarmed.low > WRONGED]
    return RedTeamSection(
        filed=When.of(run.at_us, facts.now_us),
        summary=f"{len(blind)} of {tried} attacks that succeed are seen in time in less than half of their successes"
        + ("" if run.summary.complete else "; the run was not complete"),
        spots=tuple(_spot(row) for row in blind[:BLIND_SHOWN]),
        spots_left=max(0, len(blind) - BLIND_SHOWN),
        wronged=", ".join(row.title for row in benign),
        defences=tuple(defence_of(row) for row in sorted(run.summary.scenarios, key=lambda row: row.outcome)),
    )


def schedule_line(schedule: Schedule, now_us: Micros) -> ScheduleLine | None:
    """Say how the runs go that the service starts by itself; nothing where there was none yet."""
    if schedule.outcome is Outcome.NONE:
        return None
    told = [f"{schedule.done} ended well", f"{schedule.failed} did not", f"{schedule.missed} turns were missed"]
    if schedule.outcome is Outcome.RUNNING:
        return ScheduleLine(text=f"A run is on; so far {', '.join(told)}.", bad=False)
    bad = schedule.outcome in {Outcome.FAILED, Outcome.TIMED_OUT} or now_us > schedule.next_us + LATE_US
    words = f"The latest run {WORDS[schedule.outcome]}" + (f" ({schedule.detail})" if schedule.detail else "")
    late = "; the next one is overdue" if now_us > schedule.next_us + LATE_US else ""
    return ScheduleLine(text=f"{words}{late}. Of all scheduled runs {', '.join(told)}.", bad=bad)


def defence_of(row: ScenarioRow) -> Defence:
    """Write the outcome of a scenario for people."""
    failed = row.evidence[: row.failed][:EVIDENCE_SHOWN]
    told = (row.error,) if row.error else failed or (f"{row.checks} of {row.checks} checks held",)
    return Defence(
        title=row.title, expected=row.defence, outcome=row.outcome, evidence=told, ids=_named(row.techniques)
    )


def _named(techniques: Iterable[TechniqueName]) -> tuple[str, ...]:
    return tuple(f"{one.id} {one.name}".strip() for one in techniques)


def _spot(row: AttackRow) -> Spot:
    return Spot(attack=row.title, victim=row.victim, rate=_text(row.timely), atlas=_named(row.techniques))


def _text(rate: Rate) -> str:
    return f"{rate.hits} of {rate.trials} ({100 * rate.low:.0f}-{100 * rate.high:.0f} %)"

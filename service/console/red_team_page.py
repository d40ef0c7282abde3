"""What red-team runs have found, and which threats are watched: where the monitor is blind, said plainly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from fastapi import APIRouter, Request, Response

from service.console.access import Access, Viewer
from service.console.coverage import STRIDE, DetectorRow, StrideRow, TacticRow, coverage, threats
from service.console.deps import ConsoleDeps
from service.console.lists import ROWS, Choice, Pager, number_of, one_of, pager, rows_of, text_of
from service.console.pages import render
from service.console.read_models import When
from service.console.redteam import EQUIVALENT, WRONGED, Defence, ScheduleLine, defence_of, schedule_line
from service.domain.atlas import atlas
from service.domain.ids import Micros
from service.domain.records import Version
from service.domain.redteam import AttackRow, BenignRow, Rate, RedTeamRun

PATH = "/red-team"
T = TypeVar("T")
CHOICES, RUNS = 200, 10
"""Runs that the filter offers, the others are chosen in the list of runs; and of that, so many at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """The latest run of one version."""

    which: str
    model: str
    version: str
    filed: When
    by: str
    plan: str
    complete: bool
    blind: int
    tried: int
    wronged: int
    broken: int
    scenarios: int
    chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One attack on one victim."""

    title: str
    which: str
    """The version whose run it is of, where more than one run is shown."""
    family: str
    victim: str
    successes: str
    timely: str
    low: float
    high: float
    share: float | None
    """Seen in time, 0 to 100."""
    blind: bool
    atlas: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Benign:
    """One benign workload, and how often it was accused."""

    title: str
    victim: str
    alarmed: str
    wronged: bool
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RedTeamPage:
    """Everything on the page."""

    runs: tuple[RunRow, ...]
    runs_part: Pager
    which: str
    attacks: tuple[Attack, ...]
    attacks_part: Pager
    attacks_total: int
    blind: int
    only: str
    families: tuple[Choice, ...]
    choices: tuple[Choice, ...]
    benign: tuple[Benign, ...]
    benign_part: Pager
    defences: tuple[Defence, ...]
    defences_part: Pager
    skipped: tuple[tuple[str, str], ...]
    skipped_part: Pager
    tactics: tuple[TacticRow, ...]
    detectors: tuple[DetectorRow, ...]
    stride: tuple[StrideRow, ...]
    stride_names: Mapping[str, str]
    atlas: str
    schedule: ScheduleLine | None


def red_team_page(deps: ConsoleDeps, viewer: Viewer, query: Mapping[str, str]) -> RedTeamPage:
    """Read runs and decide what the page shows: of one version, or of all that the viewer may see."""
    now_us = deps.clock.now_us()
    versions = {version.id: version for version in deps.standing().versions if viewer.identity.sees(version.model)}
    runs = [(run, versions[run.version_id]) for run in deps.read.redteam_runs() if run.version_id in versions]
    runs.sort(key=lambda pair: -pair[0].at_us)
    names = [_which(version) for _, version in runs]
    which = one_of({"run": text_of(query, "run")}, "run", names)
    shown = [run for run, version in runs if which in {"", _which(version)}]
    named = {run.version_id: _which(version) for run, version in runs}
    pairs = [("" if len(shown) == 1 else named[run.version_id], row) for run in shown for row in run.summary.attacks]
    tried = tuple(row for _, row in pairs if row.successes)
    families = sorted({row.family for _, row in pairs})
    family, only = one_of(query, "family", families), one_of(query, "only", ("blind",))
    wanted = [pair for pair in pairs if family in {"", pair[1].family} and (not only or pair[1].blind)]
    parts = _Parts(query, {"run": which, "family": family, "only": only})
    run_rows, runs_part = parts("runs", runs, RUNS)
    attacks, attacks_part = parts("attacks", sorted(wanted, key=_unseen_first))
    benign, benign_part = parts("benign", [row for run in shown for row in run.summary.benign])
    defences, defences_part = parts("scenarios", _defences(shown))
    skipped, skipped_part = parts("skipped", [pair for run in shown for pair in run.summary.skipped])
    return RedTeamPage(
        runs=tuple(_run(run, version, which, now_us) for run, version in run_rows),
        runs_part=runs_part,
        which=which,
        attacks=tuple(_attack(of, row) for of, row in attacks),
        attacks_part=attacks_part,
        attacks_total=len(tried),
        blind=sum(row.blind for row in tried),
        only=only,
        families=(Choice("", "any family", not family), *(Choice(one, one, one == family) for one in families)),
        choices=(Choice("", "all runs", not which), *(Choice(one, one, one == which) for one in names[:CHOICES])),
        benign=tuple(_benign(row) for row in benign),
        benign_part=benign_part,
        defences=tuple(defences),
        defences_part=defences_part,
        skipped=tuple(skipped),
        skipped_part=skipped_part,
        tactics=coverage(tried),
        detectors=threats().detectors,
        stride=threats().stride,
        stride_names=STRIDE,
        atlas=atlas().version,
        schedule=schedule_line(deps.schedule(), now_us),
    )


@dataclass(frozen=True, slots=True)
class _Parts:
    """Cuts the lists of the page into their parts."""

    query: Mapping[str, str]
    said: Mapping[str, object]
    """What is chosen stays chosen on another part."""

    def __call__(self, name: str, rows: Sequence[T], size: int = ROWS) -> tuple[Sequence[T], Pager]:
        part = pager(PATH, self.said, number_of(self.query, name), len(rows), size, name)
        return rows_of(rows, part), part


def _which(version: Version) -> str:
    return f"{version.model}/{version.version}"


def _run(run: RedTeamRun, version: Version, which: str, now_us: Micros) -> RunRow:
    summary = run.summary
    return RunRow(
        which=_which(version),
        model=version.model,
        version=version.version,
        filed=When.of(run.at_us, now_us),
        by=str(run.actor),
        plan=summary.plan,
        complete=summary.complete,
        blind=sum(row.blind for row in summary.attacks),
        tried=sum(row.successes > 0 for row in summary.attacks),
        wronged=sum(_wronged(row) for row in summary.benign),
        broken=sum(row.outcome != "held" for row in summary.scenarios),
        scenarios=len(summary.scenarios),
        chosen=which == _which(version),
    )


def _unseen_first(pair: tuple[str, AttackRow]) -> tuple[bool, bool, float, str, str, str]:
    which, row = pair
    return not row.blind, not row.successes, row.timely.ratio or 0.0, row.title, row.victim, which


def _attack(which: str, row: AttackRow) -> Attack:
    ratio = row.timely.ratio
    return Attack(
        which=which,
        title=row.title,
        family=row.family,
        victim=row.victim,
        successes=f"{row.successes} of {row.sessions}",
        timely=_text(row.timely),
        low=round(100 * row.timely.low, 1),
        high=round(100 * row.timely.high, 1),
        share=None if ratio is None else round(100 * ratio, 1),
        blind=row.blind,
        atlas=tuple((one.id, one.name) for one in row.techniques),
    )


def _benign(row: BenignRow) -> Benign:
    return Benign(
        title=row.title,
        victim=row.victim,
        alarmed=_text(row.alarmed),
        wronged=_wronged(row),
        note="nothing tells it from an attack" if row.kind == EQUIVALENT else "",
    )


def _wronged(row: BenignRow) -> bool:
    return row.kind != EQUIVALENT and row.alarmed.low > WRONGED


def _defences(runs: Sequence[RedTeamRun]) -> tuple[Defence, ...]:
    rows = [row for run in runs for row in run.summary.scenarios]
    return tuple(defence_of(row) for row in sorted(rows, key=lambda row: (row.outcome, row.title)))


def _text(rate: Rate) -> str:
    if rate.ratio is None:
        return "never succeeded"
    return f"{100 * rate.ratio:.0f} % ({rate.hits} of {rate.trials})"


def add_red_team(router: APIRouter, deps: ConsoleDeps, access: Access) -> None:
    """Add the page."""

    @router.get("/red-team")
    def red_team(request: Request) -> Response:
        viewer = access.viewer(request)
        return render("red_team.html", viewer=viewer, page=red_team_page(deps, viewer, request.query_params))

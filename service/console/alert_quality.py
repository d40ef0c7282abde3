"""How good alerts have been: the figures of ``GET /v1/alert-quality``, with bars to compare them by."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from service.alert.quality import Quality, Seconds, by_cause, grouped, promise_of, quality
from service.console import words
from service.console.access import Access, Viewer
from service.console.addresses import address
from service.console.deps import ConsoleDeps
from service.console.incident_past import TONES, so_many
from service.console.lists import Choice, Pager, number_of, one_of, pager, rows_of, text_of
from service.console.pages import render
from service.domain.ids import Micros
from service.domain.records import Verdict
from service.ports_incidents import IncidentDesk

INCIDENTS_MAX = 10_000
DAY_US = 86_400_000_000
DAYS = ("7", "30", "90", "365")
MODELS_OFFERED = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One verdict's part of a bar."""

    verdict: str
    said: str
    tone: str
    x: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRow:
    """The figures of all, of one model or of one cause."""

    name: str
    address: str
    incidents: int
    unjudged: int
    parts: tuple[Part, ...]
    precision: str
    precision_share: float | None
    low: float
    high: float
    """Of the precision, 0 to 100."""
    acknowledge: str
    decide: str
    achieved: int
    promised: str
    watched: str
    kept: bool
    watched_at_all: bool
    """Whether anything was promised: for no time of watching nothing is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityPage:
    """Everything on the page."""

    total: QualityRow
    models: tuple[QualityRow, ...]
    part: Pager
    causes: tuple[QualityRow, ...]
    days: tuple[Choice, ...]
    day: str
    model: str
    names: tuple[str, ...]
    truncated: bool
    verdicts: tuple[tuple[str, str], ...]


def quality_page(desk: IncidentDesk, viewer: Viewer, query: Mapping[str, str], now_us: Micros) -> QualityPage:
    """Read what was judged, and decide what the page shows."""
    day, model = one_of(query, "days", DAYS, "30"), text_of(query, "model")
    since_us = Micros(now_us - int(day) * DAY_US)
    who = viewer.identity
    incidents = desk.judged(since_us, INCIDENTS_MAX, who.reached(model or None))
    exposures = [one for one in desk.exposures(since_us) if who.sees(one.model) and model in {"", one.model}]
    own = grouped(incidents, exposures)
    # Of all models only what decides their order: the figures are worked out for those that are shown.
    rank = {name: (promise_of(*one).kept, -len(one[0]), name) for name, one in own.items()}
    said = {"model": model, "days": None if day == "30" else day}
    part = pager("/quality", said, number_of(query), len(own))
    shown = rows_of(sorted(own, key=rank.__getitem__), part)
    causes = [
        _row(words.CAUSE_NAMES[cause], f"/incidents?status=all&cause={cause}", one)
        for cause, one in by_cause(incidents).items()
    ]
    return QualityPage(
        total=_row(model or "All models", "", quality(incidents, exposures)),
        models=tuple(_row(name, address("/quality", {**said, "model": name}), quality(*own[name])) for name in shown),
        part=part,
        causes=tuple(causes),
        days=tuple(Choice(one, f"{one} days", one == day) for one in DAYS),
        day=day,
        model=model,
        names=tuple(own)[:MODELS_OFFERED],
        truncated=len(incidents) == INCIDENTS_MAX,
        verdicts=tuple((str(verdict), TONES[verdict]) for verdict in Verdict),
    )


def _row(name: str, where: str, one: Quality) -> QualityRow:
    interval = one.precision.interval
    promise = one.promise
    return QualityRow(
        name=name,
        address=where,
        incidents=one.incidents,
        unjudged=one.unjudged,
        parts=_parts(one),
        precision="nobody has judged any" if interval is None else _share(one.precision.hits, one.precision.trials),
        precision_share=one.precision.ratio,
        low=round(100 * interval[0], 1) if interval else 0.0,
        high=round(100 * interval[1], 1) if interval else 0.0,
        acknowledge=_seconds(one.acknowledge),
        decide=_seconds(one.decide),
        achieved=promise.achieved,
        promised=words.number(promise.promised, 2),
        watched=words.number(promise.watched_days, 3),
        kept=promise.kept,
        watched_at_all=promise.watched_days > 0,
    )


def _parts(one: Quality) -> tuple[Part, ...]:
    """Lay the verdicts along a bar of 100."""
    parts, at = [], 0.0
    judged = sum(one.verdicts.values())
    for verdict, number in one.verdicts.items():
        if number:
            width = 100 * number / judged
            parts.append(
                Part(
                    verdict=str(verdict),
                    said=so_many(verdict, number),
                    tone=TONES[verdict],
                    x=round(at, 2),
                    width=round(width, 2),
                )
            )
            at += width
    return tuple(parts)


def _share(hits: int, trials: int) -> str:
    return f"{100 * hits / trials:.0f} % ({hits:,} of {trials:,})"


def _seconds(one: Seconds) -> str:
    if one.median is None or one.p90 is None:
        return "none measured"
    return f"{words.duration(one.median)}, nine of ten within {words.duration(one.p90)} ({one.measured:,} measured)"


def add_quality(router: APIRouter, deps: ConsoleDeps, access: Access) -> None:
    """Add the page, where incidents are kept with their verdicts."""
    desk = deps.incidents
    if desk is None:
        return

    @router.get("/quality")
    def quality_of_alerts(request: Request) -> Response:
        viewer = access.viewer(request)
        page = quality_page(desk, viewer, request.query_params, deps.clock.now_us())
        return render("quality.html", viewer=viewer, page=page)

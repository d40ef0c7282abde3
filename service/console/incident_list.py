"""The list of incidents, by what its address asks for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastapi import Response

from service.console import words
from service.console.access import Viewer
from service.console.addresses import address
from service.console.adversarial import SEVERITY_TONES
from service.console.deps import ConsoleDeps
from service.console.incident_past import TONES
from service.console.lists import ROWS, Choice, Pager, number_of, one_of, pager, text_of
from service.console.pages import empty, render
from service.console.read_models import When
from service.console.tags import FRESH_US, tag_of
from service.domain.errors import NotFound
from service.domain.ids import Micros
from service.domain.policy import Cause
from service.domain.records import Incident, IncidentStatus, Severity
from service.ports_pages import IncidentsWanted, Models

PATH = "/incidents"
STATUSES = {
    "unresolved": frozenset({IncidentStatus.OPEN, IncidentStatus.ACKNOWLEDGED}),
    "open": frozenset({IncidentStatus.OPEN}),
    "acknowledged": frozenset({IncidentStatus.ACKNOWLEDGED}),
    "resolved": frozenset({IncidentStatus.RESOLVED}),
    "all": None,
}
STATUS_TONES = {IncidentStatus.OPEN: "bad", IncidentStatus.ACKNOWLEDGED: "warn", IncidentStatus.RESOLVED: "good"}
SNOOZES_READ = 1_000
MODELS_OFFERED = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentRow:
    """One incident in the list."""

    id: str
    title: str
    model: str
    version: str
    cause: str
    severity: str
    severity_tone: str
    status: str
    status_tone: str
    opened: When
    span: str
    """How long it was there; empty while it is."""
    assignee: str
    verdict: str
    verdict_tone: str
    snoozed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tab:
    """A status that can be looked at, with how many there are."""

    text: str
    number: int
    address: str
    chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPage:
    """Everything on the page."""

    rows: tuple[IncidentRow, ...]
    tabs: tuple[Tab, ...]
    severities: tuple[Choice, ...]
    causes: tuple[Choice, ...]
    model: str
    status: str
    mine: bool
    models: tuple[str, ...]
    part: Pager
    filtered: bool
    clear: str
    here: str


def incident_list(deps: ConsoleDeps, viewer: Viewer, query: Mapping[str, str], known: str | None) -> Response:
    """Render the list, or say that it is still the one that the browser has.

    Raises
    ------
    NotFound
        When this console has no store to list from.
    """
    pages, read, now_us = deps.pages, deps.read, deps.clock.now_us()
    if pages is None:
        raise NotFound("This console has no list of incidents.")
    asked = _asked(query)
    tag = tag_of(viewer.session.token, sorted(asked.items()), read.revision(), now_us // FRESH_US)
    if known == tag:
        return empty(304, {"etag": tag})
    wanted = wanted_of(asked, viewer.identity.models, str(viewer.identity.actor))
    number = number_of(query)
    found = pages.incidents(wanted, ROWS, (number - 1) * ROWS)
    part = pager(PATH, _said(asked), number, found.total)
    if not found.rows and found.total:  # a part beyond the last one
        found = pages.incidents(wanted, ROWS, part.first - 1)
    snoozes = () if deps.incidents is None else deps.incidents.snoozes(SNOOZES_READ)
    snoozed = {one.incident_id for one in snoozes if one.until_us > now_us}
    names = sorted(name for name in deps.standing().models if viewer.identity.sees(name))
    page = ListPage(
        rows=tuple(_row(one, one.id in snoozed, now_us) for one in found.rows),
        tabs=_tabs(asked, found.by_status),
        severities=_choices(asked["severity"], "any severity", [(str(one), str(one)) for one in reversed(Severity)]),
        causes=_choices(asked["cause"], "any cause", [(str(one), words.CAUSE_NAMES[one]) for one in Cause]),
        model=asked["model"],
        status=asked["status"],
        mine=bool(asked["mine"]),
        models=tuple(names[:MODELS_OFFERED]),
        part=part,
        filtered=any(asked[name] for name in ("severity", "cause", "model", "mine")),
        clear=address(PATH, {"status": _said(asked)["status"]}),
        here=address(PATH, {**_said(asked), "page": number if number > 1 else None}),
    )
    as_of = When.of(now_us, now_us)
    return render("incidents.html", 200, {"etag": tag}, viewer=viewer, page=page, as_of=as_of)


def _asked(query: Mapping[str, str]) -> dict[str, str]:
    return {
        "status": one_of(query, "status", tuple(STATUSES), "unresolved"),
        "severity": one_of(query, "severity", [str(one) for one in Severity]),
        "cause": one_of(query, "cause", [str(one) for one in Cause]),
        "model": text_of(query, "model"),
        "mine": one_of(query, "mine", ("yes",)),
        "page": str(number_of(query)),
    }


def _said(asked: Mapping[str, str]) -> dict[str, object]:
    """Return what an address has to say: what goes without saying is left out."""
    said: dict[str, object] = {name: value for name, value in asked.items() if name != "page"}
    return said | {"status": None if asked["status"] == "unresolved" else asked["status"]}


def wanted_of(asked: Mapping[str, str], models: Models, actor: str) -> IncidentsWanted:
    """Return what an address asks for, as the store takes it."""
    return IncidentsWanted(
        models=models,
        statuses=STATUSES[asked["status"]],
        severity=Severity(asked["severity"]) if asked["severity"] else None,
        model=asked["model"] or None,
        cause=Cause(asked["cause"]) if asked["cause"] else None,
        assignee=actor if asked["mine"] else None,
    )


def _tabs(asked: Mapping[str, str], numbers: Mapping[IncidentStatus, int]) -> tuple[Tab, ...]:
    return tuple(
        Tab(
            text=name.capitalize(),
            number=sum(number for status, number in numbers.items() if statuses is None or status in statuses),
            address=address(PATH, _said({**asked, "status": name})),
            chosen=name == asked["status"],
        )
        for name, statuses in STATUSES.items()
    )


def _choices(chosen: str, otherwise: str, values: Sequence[tuple[str, str]]) -> tuple[Choice, ...]:
    offered = [("", otherwise), *values]
    return tuple(Choice(value, text, value == chosen) for value, text in offered)


def _row(incident: Incident, snoozed: bool, now_us: Micros) -> IncidentRow:  # noqa: FBT001 - one fact of a row
    over_us = incident.resolved_us
    return IncidentRow(
        id=incident.id,
        title=incident.title,
        model=incident.model,
        version=incident.version,
        cause=words.CAUSE_NAMES[incident.cause],
        severity=str(incident.severity),
        severity_tone="off" if over_us is not None else SEVERITY_TONES[incident.severity],
        status=str(incident.status),
        status_tone=STATUS_TONES[incident.status],
        opened=When.of(incident.opened_us, now_us),
        span="" if over_us is None else f"over after {words.duration((over_us - incident.opened_us) / 1e6)}",
        assignee=incident.assignee or "",
        verdict=str(incident.verdict) if incident.verdict else "",
        verdict_tone=TONES[incident.verdict] if incident.verdict else "",
        snoozed=snoozed and over_us is None,
    )

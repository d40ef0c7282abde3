"""The page with the requests behind an incident: for administrators, and each look at it is on record."""

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from service.console import words
from service.console.access import Access, Viewer
from service.console.actions import incident_of
from service.console.adversarial import SHOWN
from service.console.deps import ConsoleDeps
from service.console.pages import render
from service.console.read_models import When
from service.domain.ids import Micros
from service.domain.policy import Cause
from service.domain.records import Incident, Scope
from service.domain.transcripts import TranscriptRequest
from service.transcripts import Opened, SampleState

SHOWN_MAX = 20
HASH_SHOWN = 8
"""Digits of the first hash: equal ones catch the eye."""
VALUE_MAX = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """One request."""

    at: When
    event: str
    label: str
    margin: str
    nearest: str
    score: str
    hashes: str
    values: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptCard:
    """The requests of one accused principal."""

    principal: str
    short: str
    tier: str
    drawn: When
    notes: tuple[str, ...]
    rows: tuple[RequestRow, ...]
    with_values: bool


def add_transcripts(router: APIRouter, deps: ConsoleDeps, access: Access) -> None:
    """Add the page, where there is anything to show on it."""
    reading = deps.transcripts
    if reading is None:
        return

    @router.get("/incidents/{incident_id}/transcript")
    def transcript_page(request: Request, incident_id: str) -> Response:
        viewer = access.viewer(request)
        about = incident_of(deps, viewer.identity, incident_id)
        viewer.identity.require(Scope.ADMIN)
        found = reading.read(about, viewer.identity.actor, SHOWN_MAX)
        now_us = deps.clock.now_us()
        cards = [card_of(one, now_us) for one in found]
        return render("transcript.html", viewer=viewer, incident=about, cards=cards)


def may_read(deps: ConsoleDeps, viewer: Viewer, incident: Incident) -> bool:
    """Tell whether to show a link to the page."""
    told = deps.transcripts is not None and incident.cause is Cause.ADVERSARIAL
    return told and viewer.identity.may(Scope.ADMIN)


def card_of(opened: Opened, now_us: Micros) -> TranscriptCard:
    """Write a transcript for people, the newest request first."""
    record, requests = opened.record, opened.body.requests
    values: list[dict[str, object] | None] = [None] * (len(requests) - len(opened.values))
    values += opened.values
    rows = [_row(one, given, now_us) for one, given in zip(requests, values, strict=True)]
    return TranscriptCard(
        principal=record.principal,
        short=record.principal[:SHOWN],
        tier=str(record.tier),
        drawn=When.of(record.drawn_us, now_us),
        notes=_notes(opened, now_us),
        rows=tuple(reversed(rows)),
        with_values=opened.state is SampleState.OPEN,
    )


def _notes(opened: Opened, now_us: Micros) -> tuple[str, ...]:
    record = opened.record
    if opened.state is SampleState.ERASED:
        return (f"Erased by {record.erased_by}: nothing is kept of this alert any more.",)
    notes = [f"It is deleted in {words.duration((record.until_us - now_us) / 1e6)}."]
    if opened.body.cut:
        notes.append("The search in the log ended at a bound: there may have been more requests.")
    if opened.state is SampleState.MISSING_KEY:
        notes.append(f"The values are encrypted with the key {record.key_id}, which this service does not have.")
    if opened.state is SampleState.DAMAGED:
        notes.append(f"The values cannot be decrypted with the key {record.key_id}: they are damaged or out of place.")
    return tuple(notes)


def _row(one: TranscriptRequest, values: dict[str, object] | None, now_us: Micros) -> RequestRow:
    told = "" if values is None else ", ".join(f"{name}={str(value)[:VALUE_MAX]}" for name, value in values.items())
    return RequestRow(
        at=When.of(Micros(one.at_us), now_us),
        event=one.event_id or f"{one.position}:{one.row}",
        label=one.label or "",
        margin=_number(one.margin),
        nearest=_number(one.nearest),
        score=_number(one.score),
        hashes=one.hashes[:HASH_SHOWN],
        values=told,
    )


def _number(value: float | None) -> str:
    return "" if value is None else words.number(value)

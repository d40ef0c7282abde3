"""Transcripts of accused principals: read and erased by administrators alone, and on record."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from service.api.deps import Admin, ApiDep, answer, documented_answer
from service.api.routes.incidents import find_incident
from service.api.views import View, iso, iso_or_none
from service.domain.errors import Unprocessable
from service.domain.ids import Micros
from service.domain.texts import bad_text
from service.transcripts import Opened

router = APIRouter(prefix="/v1/incidents/{incident_id}/transcript", tags=["incidents"])


class TranscriptRequestView(View, frozen=True, kw_only=True):
    """One request."""

    at: str
    """When it arrived."""
    event_id: str | None
    position: int
    row: int
    label: str | None
    """The predicted class."""
    margin: float | None
    """Between the two likeliest classes; `null` without probabilities."""
    matched_by: str | None
    """Whether the hashes are those of the `fingerprint` or of the `point`."""
    hashes: str
    """16 hashes of 16 hexadecimal digits."""
    nearest: float | None
    """Distance to the nearest earlier request of the transcript; 1 is typical for the class."""
    score: float | None
    """How odd it is by itself, where single requests are looked at."""
    features: dict[str, Any] | None
    """Stored values; `null` where none were kept or can be read."""


class TranscriptView(View, frozen=True, kw_only=True):
    """The latest requests of one accused principal up to the finding."""

    alert_id: str
    principal: str
    """Pseudonym."""
    tier: str
    policy: str
    drawn: str
    """When the finding was made."""
    until: str
    """When it is deleted."""
    cut: bool
    """Whether the search in the log ended at a bound: there may have been more."""
    requests: list[TranscriptRequestView]
    values: str
    """Whether values can be read: `none`, `open`, `missing_key`, `damaged` or `erased`."""
    key_id: str | None
    """Of the key that the values are encrypted with."""
    erased: str | None
    erased_by: str | None


class TranscriptsView(View, frozen=True, kw_only=True):
    """Of ``GET /v1/incidents/{id}/transcript``."""

    incident_id: str
    transcripts: list[TranscriptView]
    """Newest first."""


class ErasedView(View, frozen=True, kw_only=True):
    """Of ``DELETE /v1/incidents/{id}/transcript``."""

    incident_id: str
    erased: int


@router.get("", responses=documented_answer(TranscriptsView, "Who read it stands in the audit chain."))
def show_transcript(api: ApiDep, who: Admin, incident_id: str) -> Response:
    """Show the requests behind the alerts of an incident; each time it is read stands in the audit chain."""
    incident = find_incident(api, who, incident_id)
    found = api.transcripts.read(incident, who.actor, api.settings.list_max)
    return answer(TranscriptsView(incident_id=incident.id, transcripts=[_view(one) for one in found]))


@router.delete("", responses=documented_answer(ErasedView, "How many were erased."))
def erase_transcript(
    api: ApiDep,
    who: Admin,
    incident_id: str,
    reason: Annotated[str, Query(description="For the record.")] = "",
) -> Response:
    """Erase the requests behind the alerts of an incident; none are kept for these alerts any more."""
    incident = find_incident(api, who, incident_id)
    places = bad_text("reason", reason)
    if places:
        raise Unprocessable("the transcript cannot be erased", places=places)
    erased = api.transcripts.erase(incident, who.actor, reason)
    return answer(ErasedView(incident_id=incident.id, erased=erased))


def _view(opened: Opened) -> TranscriptView:
    record, requests = opened.record, opened.body.requests
    # Where not all values fitted, those of the oldest requests are missing.
    values = [None] * (len(requests) - len(opened.values)) + list(opened.values)
    return TranscriptView(
        alert_id=record.alert_id,
        principal=record.principal,
        tier=str(record.tier),
        policy=str(record.policy),
        drawn=iso(record.drawn_us),
        until=iso(record.until_us),
        cut=opened.body.cut,
        requests=[
            TranscriptRequestView(
                at=iso(Micros(one.at_us)),
                event_id=one.event_id,
                position=one.position,
                row=one.row,
                label=one.label,
                margin=one.margin,
                matched_by=one.matched_by,
                hashes=one.hashes,
                nearest=one.nearest,
                score=one.score,
                features=given,
            )
            for one, given in zip(requests, values, strict=True)
        ],
        values=str(opened.state),
        key_id=record.key_id,
        erased=iso_or_none(record.erased_us),
        erased_by=record.erased_by,
    )

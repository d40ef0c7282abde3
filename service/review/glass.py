"""Breaking the glass: one person lets a held version serve, loudly and not for long.

The state stays what it is. The gate compares the time that is written down with its own clock, so that the end needs
no process, no store and no network; writing the end down is for people.
"""

from dataclasses import dataclass, replace

from service.domain.errors import Conflict, NotFound, Place, Unprocessable
from service.domain.ids import Actor, Micros
from service.domain.records import TimelineItem, Version
from service.domain.reviews import Glass
from service.domain.texts import bad_text
from service.notify.compose import compose
from service.notify.reviews import glass_broken, glass_over
from service.office import new_id
from service.ports import SYSTEM
from service.ports_review import ReviewTx
from service.quarantine.decide import check_seen
from service.quarantine.glass import REASON_MAX, check_glass, until_of, words
from service.review.stages import ReviewStages, of_version

BROKEN, OVER = "break_glass", "glass_over"
MINUTES_FROM_SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class GlassRequest:
    """What a person asks for."""

    minutes: float
    reason: str
    seen: int | None = None
    """The number of the newest change that the person knows."""


def break_glass(stages: ReviewStages, actor: Actor, model: str, version: str, request: GlassRequest) -> Glass:
    """Let a held version serve until a time.

    Raises
    ------
    NotFound
        When there is no such version.
    Unprocessable, Conflict, Forbidden
        As ``check_glass`` and ``check_seen`` say.
    """
    with stages.store.write() as tx:
        owner, current = of_version(tx, model, version)
        check_seen(current, request.seen)
        quarantine = tx.quarantine(current.id)
        earlier = () if quarantine is None else tx.glasses(current.id, quarantine.lock)
        check_glass(current, owner.policy, actor, request.minutes, request.reason, earlier)
        if quarantine is None:  # a store that was changed by hand
            raise Conflict(f"no quarantine of {model}/{version} is on record")
        now_us = stages.office.clock.now_us()
        glass = Glass(
            id=new_id(),
            version_id=current.id,
            quarantine=quarantine.lock,
            opened_us=now_us,
            until_us=until_of(now_us, request.minutes),
            actor=actor,
            reason=request.reason.strip(),
        )
        tx.add_glass(glass)
        text = f"serves until {words(glass.until_us)} although it is {current.state}: {glass.reason}"
        _record(tx, current, quarantine.incident_id, TimelineItem(at_us=now_us, actor=actor, kind=BROKEN, body=text))
        tx.control.add_message(compose(glass_broken(glass, current, quarantine.incident_id)))
        return glass


def end_glass(stages: ReviewStages, actor: Actor, model: str, version: str, reason: str) -> Glass:
    """Close the gate again before the time.

    Raises
    ------
    NotFound
        When there is no such version.
    Unprocessable
        When the reason is missing or too long.
    Conflict
        When no glass is broken.
    """
    places = bad_text("reason", reason, least=1, most=REASON_MAX)
    if places:
        raise Unprocessable("a reason is required", places=places)
    with stages.store.write() as tx:
        _, current = of_version(tx, model, version)
        quarantine = tx.quarantine(current.id)
        known = () if quarantine is None else tx.glasses(current.id, quarantine.lock)
        standing = next((one for one in known if one.ended_us is None), None)
        if standing is None or quarantine is None:
            detail = f"no glass of {model}/{version} is broken: it is '{current.state}'"
            raise Conflict(detail, places=[Place("version", "no glass is broken")], extra={"state": str(current.state)})
        at_us = stages.office.clock.now_us()
        return _end(tx, current, standing, quarantine.incident_id, actor, at_us, reason.strip()) or standing


def write_down_end(stages: ReviewStages, glass: Glass, version: Version) -> bool:
    """Write down that a glass has reached its end by itself; False when somebody else has."""
    with stages.store.write() as tx:
        found = tx.control.version(version.model, version.version)
        if found is None:
            raise NotFound(f"no version '{version.version}' of model '{version.model}'")
        quarantine = tx.quarantine(glass.version_id)
        incident_id = None if quarantine is None else quarantine.incident_id
        return _end(tx, found, glass, incident_id, SYSTEM, glass.until_us, "the time is over") is not None


def _end(  # noqa: PLR0913, PLR0917 - one fact each
    tx: ReviewTx, version: Version, glass: Glass, incident_id: str | None, actor: Actor, at_us: Micros, reason: str
) -> Glass | None:
    ended_us = Micros(max(glass.opened_us, min(at_us, glass.until_us)))
    ended = replace(glass, ended_us=ended_us, ended_by=actor)
    if not tx.end_glass(ended):
        return None
    text = f"the gate is closed again after {_lasted((ended_us - glass.opened_us) / 1e6)}: {reason}"
    _record(tx, version, incident_id, TimelineItem(at_us=at_us, actor=actor, kind=OVER, body=text))
    tx.control.add_message(compose(glass_over(ended, version, incident_id, text)))
    return ended


def _lasted(seconds: float) -> str:
    """Write how long it was as people say it."""
    if seconds < MINUTES_FROM_SECONDS:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes"


def _record(tx: ReviewTx, version: Version, incident_id: str | None, item: TimelineItem) -> None:
    """Let the audit chain say it of the version, and the timeline of the incident behind the quarantine."""
    tx.control.audit(item.actor, f"quarantine.{item.kind}", f"{version.model}/{version.version}", item.body, item.at_us)
    if incident_id is not None:
        tx.tell_incident(incident_id, item)

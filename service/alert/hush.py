"""Whether people are told now: snoozes, maintenance, cooldown. Pure: nothing is written here.

Hushing is about pages. It hides the opening of an alert and what a policy holds back; it never hides what happens to
traffic (a quarantine, one that is not obeyed, a release that waits), nor the end of what people were told of. Evidence
goes on, and whoever was hushed is told afterwards, if it is still there.
"""

from service.domain.errors import Place, Unprocessable
from service.domain.ids import Actor, Micros
from service.domain.incidents import Bearing, Hush, Hushed, Snooze
from service.domain.notices import SEVERITIES, Kind
from service.domain.policy import SECONDS_PER_DAY, Cause
from service.domain.records import Incident, Severity, Version
from service.domain.states import State

HUSHABLE = frozenset({Kind.ALERT_OPENED, Kind.DRY_RUN, Kind.CAPPED})
SNOOZE_DAYS_MAX = 7.0
"""An incident that nobody wants to hear of for longer is to be resolved."""
SNOOZE_SECONDS_MIN = 1.0


def snooze_of(incident: Incident, *, until_us: Micros | None, until_worse: bool, actor: Actor, at_us: Micros) -> Snooze:
    """Return a snooze of an incident; without a time it ends when the incident is worse, after a week at the latest.

    Raises
    ------
    Unprocessable
        When it says neither until when nor until worse, or the time is past or too far away.
    """
    last_us = Micros(at_us + round(SNOOZE_DAYS_MAX * SECONDS_PER_DAY * 1e6))
    if until_us is None and not until_worse:
        places = [Place("until", "is required, unless 'until_worse' is true")]
        raise Unprocessable("snooze cannot be done", places=places)
    end_us = last_us if until_us is None else until_us
    if not at_us + SNOOZE_SECONDS_MIN * 1e6 <= end_us <= last_us:
        places = [Place("until", f"must lie in the future, at most {SNOOZE_DAYS_MAX:g} days from now")]
        raise Unprocessable("snooze cannot be done", places=places)
    return Snooze(
        incident_id=incident.id,
        until_us=end_us,
        until_worse=until_worse,
        severity=incident.severity,
        at_us=at_us,
        actor=actor,
    )


def snooze_over(snooze: Snooze, severity: Severity, version: Version | None, now_us: Micros) -> str | None:
    """Return why a snooze is over, in words; ``None`` while it holds."""
    if now_us >= snooze.until_us:
        return "its time is over"
    if not snooze.until_worse:
        return None
    if is_worse(severity, snooze):
        return f"it is worse: severity {severity}, was {snooze.severity}"
    if version is not None and version.state is State.QUARANTINED and version.since_us > snooze.at_us:
        return "it is worse: the version is quarantined"
    return None


def is_worse(severity: Severity, snooze: Snooze) -> bool:
    """Return whether something matters more than the incident did when it was snoozed."""
    return SEVERITIES.index(severity) > SEVERITIES.index(snooze.severity)


def hush(
    kind: Kind, severity: Severity, cause: str, incident_id: str | None, bearing: Bearing, now_us: Micros
) -> Hushed | None:
    """Return why people are not told of what fires now, and until when; ``None`` when they are."""
    if kind not in HUSHABLE or incident_id is None:
        return None
    snooze = bearing.snooze
    if snooze is not None and now_us < snooze.until_us and not (snooze.until_worse and is_worse(severity, snooze)):
        return Hushed(incident_id=incident_id, why=Hush.SNOOZED, until_us=snooze.until_us)
    # An attack needs no change of the traffic that maintenance could excuse.
    if cause != Cause.ADVERSARIAL:
        over_us = max((one.over_us for one in bearing.windows if one.covers(now_us)), default=None)
        if over_us is not None:
            return Hushed(incident_id=incident_id, why=Hush.MAINTENANCE, until_us=over_us)
    if bearing.over_us is not None and now_us < bearing.over_us + bearing.cooldown_us:
        until_us = Micros(bearing.over_us + bearing.cooldown_us)
        return Hushed(incident_id=incident_id, why=Hush.COOLDOWN, until_us=until_us)
    return None

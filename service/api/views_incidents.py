"""What the API answers about what stands beside incidents, and about the quality of alerts."""

from collections.abc import Sequence

from service.alert.quality import Quality, Seconds
from service.api.views import LinkView, SnoozeView, View, iso, iso_or_none
from service.domain.ids import Micros
from service.domain.incidents import Link, Maintenance, Snooze
from service.domain.records import Incident, IncidentStatus, TimelineItem, TransitionRecord
from service.ports import SYSTEM


class MaintenanceView(View, frozen=True, kw_only=True):
    """A window of maintenance."""

    id: str
    model: str
    start: str
    end: str
    quarantine: bool
    """Whether drift may still quarantine a version in it."""
    reason: str
    created: str
    created_by: str
    cancelled: str | None


class ShareView(View, frozen=True, kw_only=True):
    """So many of so many, with an interval of 95 %."""

    hits: int
    trials: int
    ratio: float | None
    interval: tuple[float, float] | None


class SecondsView(View, frozen=True, kw_only=True):
    """How long something took."""

    measured: int
    median: float | None
    p90: float | None


class PromiseView(View, frozen=True, kw_only=True):
    """False alarms that there were and that were promised."""

    achieved: int
    interval: tuple[float, float]
    """Of the number to be expected, 95 %."""
    promised: float
    watched_days: float
    kept: bool


class QualityView(View, frozen=True, kw_only=True):
    """How good alerts were."""

    incidents: int
    unjudged: int
    verdicts: dict[str, int]
    precision: ShareView
    seconds_to_acknowledge: SecondsView
    seconds_to_decide: SecondsView
    false_alarms: PromiseView


class AlertQualityView(View, frozen=True, kw_only=True):
    """Of ``GET /v1/alert-quality``."""

    since: str
    until: str
    truncated: bool
    """Whether there were more incidents than are looked at; then only the newest count."""
    total: QualityView
    models: dict[str, QualityView]
    causes: dict[str, QualityView]
    """Without what was promised: that holds for a whole model."""


def of_snooze(snooze: Snooze | None, incident: Incident, now_us: Micros) -> SnoozeView | None:
    """Return the view of a snooze that holds."""
    if snooze is None or incident.status is IncidentStatus.RESOLVED or snooze.until_us <= now_us:
        return None
    return SnoozeView(
        until=iso(snooze.until_us), until_worse=snooze.until_worse, by=snooze.actor, since=iso(snooze.at_us)
    )


def of_link(link: Link) -> LinkView:
    """Return the view of a link."""
    return LinkView(incident_id=link.incident_id, kind=link.kind, other_id=link.other_id, at=iso(link.at_us))


def of_maintenance(window: Maintenance) -> MaintenanceView:
    """Return the view of a window of maintenance."""
    return MaintenanceView(
        id=window.id,
        model=window.model,
        start=iso(window.start_us),
        end=iso(window.end_us),
        quarantine=window.quarantine,
        reason=window.reason,
        created=iso(window.created_us),
        created_by=window.created_by,
        cancelled=iso_or_none(window.cancelled_us),
    )


def of_quality(quality: Quality) -> QualityView:
    """Return the view of the quality of alerts."""
    precision, promise = quality.precision, quality.promise
    return QualityView(
        incidents=quality.incidents,
        unjudged=quality.unjudged,
        verdicts={verdict.value: number for verdict, number in quality.verdicts.items()},
        precision=ShareView(
            hits=precision.hits, trials=precision.trials, ratio=precision.ratio, interval=precision.interval
        ),
        seconds_to_acknowledge=_seconds(quality.acknowledge),
        seconds_to_decide=_seconds(quality.decide),
        false_alarms=PromiseView(
            achieved=promise.achieved,
            interval=promise.interval,
            promised=promise.promised,
            watched_days=promise.watched_days,
            kept=promise.kept,
        ),
    )


def _seconds(seconds: Seconds) -> SecondsView:
    return SecondsView(measured=seconds.measured, median=seconds.median, p90=seconds.p90)


def with_changes(
    items: Sequence[TimelineItem], changes: Sequence[TransitionRecord], incident_id: str
) -> list[TimelineItem]:
    """Return a timeline with what a policy did to the version because of the incident; people's acts stand in it.

    By time: each was written with the time of its tick.
    """
    own = [one for one in changes if one.incident_id == incident_id and one.actor == SYSTEM]
    told = [TimelineItem(at_us=one.at_us, actor=one.actor, kind=one.event, body=one.reason) for one in own]
    return sorted([*items, *reversed(told)], key=lambda item: item.at_us)

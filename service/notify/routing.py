"""Whom to tell of what, and when: routes, quiet hours, and the memory of who was told. Pure.

Who was told that something began is told that it ended, whatever the routes say then.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from msgspec import UNSET
from msgspec.structs import replace as replace_struct

from service.channel_settings import NotificationSettings, Quiet, RouteSettings
from service.domain.ids import Micros
from service.domain.notices import FIRING, NEVER, RESOLVED, AlertBody, Kind, Payload, Routed, Told, payload_of, worst
from service.domain.records import Message, Severity
from service.domain.states import HELD, State
from service.notify.compose import LOG, alert_name, encoded, fingerprint_of, group_of, payload_with, time_of
from service.notify.groups import Group, grouped
from service.notify.hours import ends_us, held_until

ALERTS_MAX = 20
"""Of one group in one message; the worst and newest ones."""
ANNOUNCED_US = 3_600_000_000
"""How long an announcement fires: it tells of a moment and has no end of its own."""
ANNOUNCEMENTS = frozenset({Kind.DRY_RUN, Kind.CAPPED, Kind.TEST})
WITH_THE_STATE = frozenset({Kind.BREAK_GLASS, Kind.REVIEW_ASSIGNED, Kind.REVIEW_OVERDUE})
"""They end with the state that they are about, whatever becomes of its incident."""
ABOUT_INCIDENTS = frozenset({Kind.INCIDENT_ACKNOWLEDGED, Kind.INCIDENT_RESOLVED, Kind.INCIDENT_MERGED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """Decides whom to tell, for the outbox: call it with a message, what was told, the model's owner, and the time."""

    settings: NotificationSettings
    channels: tuple[str, ...]
    """Every channel that is set up, the log among them."""

    def __call__(self, message: Message, known: Sequence[Told], owner: str, now_us: Micros) -> Routed:
        """Decide about one message."""
        kind, payload = Kind(message.kind), payload_of(message)
        if kind in ABOUT_INCIDENTS:
            before, after = _about_incident(kind, message, payload.lazaretto.merged_into, known)
        else:
            before, after = _about_alert(kind, message, payload.alerts[0], known, now_us)
        severity = worst(*(one.severity for one in after)) if _ends(kind, payload) and after else message.severity
        chosen = self._chosen(kind, payload, replace(message, severity=severity), before, owner, now_us)
        hear = chosen - {LOG}
        told = tuple(replace(one, channels=one.channels | hear) for one in after)
        at_us = Micros(max(now_us, message.created_us))
        shown = grouped(payload, told, known, at_us, by_key=kind in ABOUT_INCIDENTS)
        # Whoever is shown the whole group has heard of all that is in it.
        more = tuple(replace(one, channels=one.channels | hear) for one in shown.rest if not hear <= one.channels)
        quiet: dict[str, Quiet | None] = {name: one.quiet for name, one in self.settings.channels.items()}
        return Routed(
            payload=encoded(self._written(payload, message, severity, shown)),
            severity=severity,
            told=(*told, *more),
            deliveries={
                name: held_until(quiet.get(name), severity, now_us) for name in self.channels if name in chosen
            },
        )

    def _chosen(
        self, kind: Kind, payload: Payload, message: Message, before: Sequence[Told], owner: str, now_us: Micros
    ) -> frozenset[str]:
        """Return who is told: whoever heard of it before, and of what is new whoever the routes name."""
        heard = frozenset(payload.lazaretto.heard or ()).union(*(one.channels for one in before))
        if kind in ABOUT_INCIDENTS or (_ends(kind, payload) and before):
            return (heard | {LOG}) & frozenset(self.channels)
        chosen = heard | frozenset(choose(self.settings.routes, self.channels, message, owner, now_us))
        failing = payload.common_labels.get("channel") if kind is Kind.NOTIFICATIONS_FAILING else None
        if failing is not None:
            chosen -= {failing}
            if not chosen - {LOG}:  # what cannot be told where it belongs is told wherever it can be
                chosen = frozenset(self.channels) - {failing}
        return (chosen | {LOG}) & frozenset(self.channels)

    def _written(self, payload: Payload, message: Message, severity: Severity, group: Group) -> Payload:
        """Write the whole group that a message belongs to: it is over when everything in it is."""
        own = payload.alerts[:1] if not group.told else []
        alerts = own + [self._body(one, message.created_us) for one in (*group.told, *group.rest)]
        alerts.sort(key=lambda one: one.status != FIRING)  # what is cut off must not say that all is over
        about = replace_struct(payload.lazaretto, severity=severity.value, over=group.over, heard=UNSET)
        grouped = payload_with(alerts[:ALERTS_MAX], group.key, about, max(0, len(alerts) - ALERTS_MAX))
        return replace_struct(grouped, external_url=self._url(message.incident_id))

    def _body(self, one: Told, at_us: Micros) -> AlertBody:
        return alert_body(one, one.firing(at_us), self._url(one.incident_id))

    def _url(self, incident_id: str | None) -> str:
        base = self.settings.external_url
        if base is None:
            return ""
        return f"{base.rstrip('/')}/incidents/{incident_id}" if incident_id else base


def alert_body(one: Told, firing: bool, url: str = "") -> AlertBody:  # noqa: FBT001 - what it says is what it is
    """Write what was told as Alertmanager's webhook does."""
    return AlertBody(
        status=FIRING if firing else RESOLVED,
        labels=one.labels,
        annotations=one.annotations,
        starts_at=time_of(one.starts_us),
        ends_at=NEVER if firing or one.ends_us is None else time_of(one.ends_us),
        generator_url=url,
        fingerprint=one.fingerprint,
    )


def choose(
    routes: Sequence[RouteSettings], channels: Sequence[str], message: Message, owner: str, now_us: Micros
) -> list[str]:
    """Return the channels of the first route that matches, and of those after it while ``go_on`` says so."""
    if not routes:
        return list(channels)
    chosen: list[str] = []
    for route in routes:
        if matches(route, message, owner, now_us):
            chosen += [name for name in route.channels if name not in chosen]
            if not route.go_on:
                break
    return chosen


def matches(route: RouteSettings, message: Message, owner: str, now_us: Micros) -> bool:
    """Return whether every condition of a route holds."""
    if route.severities and message.severity.value not in route.severities:
        return False
    for globs, text in ((route.models, message.model), (route.owners, owner), (route.kinds, message.kind)):
        if globs and not any(fnmatchcase(text, glob) for glob in globs):
            return False
    return route.hours is None or ends_us(route.hours, now_us) is not None


def _ends(kind: Kind, payload: Payload) -> bool:
    return kind is Kind.INCIDENT_RESOLVED or (kind not in ABOUT_INCIDENTS and payload.alerts[0].status == RESOLVED)


def _about_incident(
    kind: Kind, message: Message, merged_into: str, known: Sequence[Told]
) -> tuple[list[Told], list[Told]]:
    """Return what was told of an incident, as it was and as it is now.

    A version's state ends with that state alone, and so does that nobody obeys it. What was told of an incident that
    was merged is told of the other one by now: nothing of it ends but the group that it was.
    """
    about = {message.incident_id, merged_into or message.incident_id}
    lasting = {alert_name(kind) for kind in (Kind.STATE_CHANGED, Kind.NOT_ENFORCED, *WITH_THE_STATE)}
    before = [
        one
        for one in known
        if one.incident_id in about
        and one.firing(message.created_us)
        and (kind is not Kind.INCIDENT_RESOLVED or one.labels.get("alertname") not in lasting)
    ]
    if kind is not Kind.INCIDENT_RESOLVED:
        return before, _moved(before, message.incident_id, merged_into) if merged_into else before
    return before, [_ended(one, message.created_us) for one in before]


def _about_alert(
    kind: Kind, message: Message, alert: AlertBody, known: Sequence[Told], now_us: Micros
) -> tuple[list[Told], list[Told]]:
    at_us = message.created_us
    mine = next((one for one in known if one.fingerprint == alert.fingerprint), None)
    ends = alert.status == RESOLVED
    stands = mine is not None and (mine.firing(at_us) if ends else _goes_on(kind, mine, at_us, now_us))
    before = [mine] if mine is not None and stands else []
    if kind is Kind.TEST:
        return [], []
    if kind is Kind.STATE_CHANGED:  # whatever was asked for is decided
        asked = {alert_name(kind) for kind in (Kind.RELEASE_PENDING, *WITH_THE_STATE)}
        if alert.annotations.get("after") == State.RETIRED:
            asked.add(alert_name(Kind.BASELINE_PROPOSED))
        if _still_held(alert):
            asked.discard(alert_name(Kind.BREAK_GLASS))
        mates = [one for one in known if (one.model, one.version) == (message.model, message.version)]
        pending = [one for one in mates if one.labels.get("alertname") in asked and one.firing(at_us)]
    else:
        pending = []
    decided = [_ended(one, at_us) for one in pending]
    if ends:
        return before + pending, [_ended(one, at_us) for one in before] + decided
    return before + pending, [_fires(kind, message, alert, mine, now_us), *decided]


def _still_held(alert: AlertBody) -> bool:
    """Return whether a version is held after a change of its state as before: a broken glass stays broken."""
    return alert.annotations.get("after") in HELD


def _goes_on(kind: Kind, mine: Told, at_us: Micros, now_us: Micros) -> bool:
    """Return whether what fires is what was told of before.

    An alert has the time of its tick: what it tells of may have ended after that and been told of as over, and then it
    is a return. Only announcements have an end that is yet to come, by now and not as of the tick.
    """
    if mine.ends_us is None:
        return True
    return kind in ANNOUNCEMENTS and mine.firing(Micros(max(at_us, now_us)))


def _fires(kind: Kind, message: Message, alert: AlertBody, mine: Told | None, now_us: Micros) -> Told:
    """Return what is told when something fires: with its first time, or as the return of what had ended."""
    at_us, annotations = message.created_us, alert.annotations
    kept = mine if mine is not None and _goes_on(kind, mine, at_us, now_us) else None
    before_us = None if mine is None or kept is not None else mine.ends_us
    if before_us is not None and kind is Kind.ALERT_OPENED:
        annotations = annotations | {"regressed": time_of(before_us)}
    group = group_of(alert.labels, message.incident_id)
    return Told(
        fingerprint=fingerprint_of(alert.labels),
        model=message.model,
        version=message.version,
        incident_id=message.incident_id or (None if kept is None else kept.incident_id),
        group_key=group if kept is None else kept.group_key,
        severity=message.severity if kept is None else worst(kept.severity, message.severity),
        labels=alert.labels,
        annotations=annotations,
        # A return begins no earlier than what it returns from has ended: receivers tell the two apart by that.
        starts_us=max(at_us, before_us or at_us) if kept is None else kept.starts_us,
        ends_us=Micros(max(at_us, before_us or at_us) + ANNOUNCED_US) if kind in ANNOUNCEMENTS else None,
        channels=frozenset() if kept is None else kept.channels,
    )


def _ended(one: Told, at_us: Micros) -> Told:
    return replace(one, ends_us=Micros(max(one.starts_us, at_us)))


def _moved(before: Sequence[Told], part_id: str | None, whole_id: str) -> list[Told]:
    """Return what was routed between a merge and the message about it, as part of the whole."""
    key = group_of({}, whole_id)
    return [replace(one, incident_id=whole_id, group_key=key) for one in before if one.incident_id == part_id]

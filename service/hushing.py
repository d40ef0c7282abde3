"""Whom not to tell now, and telling them later: snoozes, maintenance and cooldown around routing.

Routing asks with each message whether it is hushed (worker process); a watch tells what was hushed and is still there
(API process). Both only read what people and policies decided; the worker's fold does not depend on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from service.alert.hush import hush, snooze_over
from service.domain.ids import Micros
from service.domain.incidents import Bearing, Hushed, Snooze
from service.domain.notices import FIRING, Kind, Routed, Told, payload_of
from service.domain.records import Alert, Incident, IncidentStatus, Message, TimelineItem
from service.notify.compose import LOG
from service.notify.reminders import still_there
from service.notify.routing import Router
from service.ports import SYSTEM, Clock, ReadStore
from service.ports_incidents import IncidentDesk

LOOKED_AT_MAX = 500
"""Snoozes, and hushed incidents, that are due in one look, and as many of the others, which take turns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HushingRouter:
    """A route that lets only the log hear what is hushed. Call it as the router that it stands before."""

    router: Router
    desk: IncidentDesk

    def __call__(self, message: Message, known: Sequence[Told], owner: str, now_us: Micros) -> Routed:
        """Decide about one message."""
        hushed = self._hushed(message, now_us)
        if hushed is None:
            return self.router(message, known, owner, now_us)
        alone = tuple(name for name in self.router.channels if name == LOG)
        routed = replace(self.router, channels=alone)(message, known, owner, now_us)
        return replace(routed, hushed=hushed if message.kind == Kind.ALERT_OPENED else None)

    def _hushed(self, message: Message, now_us: Micros) -> Hushed | None:
        alerts = payload_of(message).alerts
        # What ends is told to whoever heard of it.
        if not alerts or alerts[0].status != FIRING or alerts[0].annotations.get("told_again"):
            return None
        cause = alerts[0].labels.get("cause", "")
        bearing = self.desk.bearing(message)
        return hush(Kind(message.kind), message.severity, cause, message.incident_id, bearing, now_us)


@dataclass(slots=True)
class Turn:
    """Where the look at what is not due yet stands: the incidents before this one have had their turn."""

    snoozed: str = ""
    hushed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HushWatch:
    """Ends snoozes, and tells what was hushed and is still there; called by a background thread of the API process.

    Replicas may look at once: each write looks again, under the write lock, whether it is still to be done.
    """

    desk: IncidentDesk
    read: ReadStore
    clock: Clock

    turn: Turn = field(default_factory=Turn)

    def look(self) -> None:
        """Look at every snooze and hushed incident that is due, and at some of the others: they may end early."""
        now_us = self.clock.now_us()
        for snooze in self._snoozes(now_us):
            self._maybe_wake(snooze)
        for one in self._hushed(now_us):
            incident = self.read.incident(one.incident_id)
            if incident is not None and (one.until_us <= now_us or self._may_tell(one, incident)):
                self._tell(one, incident)

    def _snoozes(self, now_us: Micros) -> list[Snooze]:
        due = self.desk.snoozes(LOOKED_AT_MAX, due_us=now_us)
        page = self.desk.snoozes(LOOKED_AT_MAX, after=self.turn.snoozed)
        self.turn.snoozed = page[-1].incident_id if len(page) == LOOKED_AT_MAX else ""
        return list({one.incident_id: one for one in (*due, *page)}.values())

    def _hushed(self, now_us: Micros) -> list[Hushed]:
        due = self.desk.hushed(LOOKED_AT_MAX, due_us=now_us)
        page = self.desk.hushed(LOOKED_AT_MAX, after=self.turn.hushed)
        self.turn.hushed = page[-1].incident_id if len(page) == LOOKED_AT_MAX else ""
        return list({one.incident_id: one for one in (*due, *page)}.values())

    def _maybe_wake(self, snooze: Snooze) -> None:
        incident = self.read.incident(snooze.incident_id)
        if incident is None:
            return
        version = self.read.version(incident.model, incident.version)
        why = snooze_over(snooze, incident.severity, version, self.clock.now_us())
        over = incident.status is IncidentStatus.RESOLVED
        if why is None and not over:
            return
        with self.desk.write() as tx:
            if tx.snooze(incident.id) != snooze:
                return
            tx.drop_snooze(incident.id)
            if why is not None and not over:
                item = TimelineItem(at_us=self.clock.now_us(), actor=SYSTEM, kind="snooze_over", body=why)
                tx.note(incident.id, item)

    def _may_tell(self, one: Hushed, incident: Incident) -> bool:
        """Return whether nothing hushes an incident any more, before the time that was expected, or it is over."""
        return incident.status is IncidentStatus.RESOLVED or self._now(one, incident) is None

    def _now(self, one: Hushed, incident: Incident) -> Hushed | None:
        bearing: Bearing = self.desk.bearing(_about(incident, self.clock.now_us()))
        now_us = self.clock.now_us()
        return hush(Kind.ALERT_OPENED, incident.severity, incident.cause, one.incident_id, bearing, now_us)

    def _tell(self, one: Hushed, incident: Incident) -> None:
        still = None if incident.status is IncidentStatus.RESOLVED else self._now(one, incident)
        with self.desk.write() as tx:
            if tx.hushed(incident.id) != one:
                return
            if still is not None:  # another reason has taken the place of the first
                tx.save_hushed(still)
                return
            tx.drop_hushed(incident.id)
            alerts = tx.open_alerts(incident.id)
            current = tx.incident(incident.id)
            if current is None or current.status is IncidentStatus.RESOLVED or not alerts:
                return
            now_us = self.clock.now_us()
            tx.add_message(self._reminder(alerts[0], current, one, now_us))
            body = f"{one.why} no longer, and it is still there"
            tx.note(incident.id, TimelineItem(at_us=now_us, actor=SYSTEM, kind="told", body=body))

    def _reminder(self, alert: Alert, incident: Incident, one: Hushed, now_us: Micros) -> Message:
        version = self.read.version(incident.model, incident.version)
        if version is None:  # versions are never deleted
            raise LookupError(f"{incident.model}/{incident.version}")
        return still_there(alert, incident, version, one.why, now_us)


def _about(incident: Incident, now_us: Micros) -> Message:
    """Return a message as the watch would send it, to ask what bears on it."""
    return Message(
        id="",
        kind=Kind.ALERT_OPENED,
        payload="",
        created_us=now_us,
        severity=incident.severity,
        model=incident.model,
        version=incident.version,
        incident_id=incident.id,
    )

"""What people do about incidents beyond the record itself: act on what they saw, snooze, merge, plan maintenance.

Each operation is one write transaction, as in ``service/office.py``; each leaves an audit record.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from service.alert.hush import snooze_of
from service.alert.maintenance import check_window
from service.alert.merge import merge
from service.alert.stale import stale
from service.alert.triage import NOTE_LENGTH_MAX, Act, StaleView, seen
from service.domain.errors import Conflict, NotFound, Unprocessable
from service.domain.ids import Actor, Micros
from service.domain.incidents import Link, LinkKind, Maintenance, Snooze
from service.domain.records import Incident, IncidentStatus, TimelineItem
from service.domain.texts import bad_text
from service.notify.compose import time_of
from service.notify.incidents import merge_messages
from service.office import OfficeStages, act_on_incident, new_id
from service.ports import Clock, ReadStore
from service.ports_incidents import IncidentDesk, IncidentTx

T = TypeVar("T")
PLACE = "If-Match"
"""Where a request says what its sender saw."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentOffice:
    """What operations about incidents work with."""

    desk: IncidentDesk
    read: ReadStore
    clock: Clock

    def act(self, office: OfficeStages, actor: Actor, incident_id: str, act: Act) -> Incident:
        """Act on an incident as ``act_on_incident``; who looked before it changed is told what has changed."""
        return self._explained(incident_id, act.expected, lambda: act_on_incident(office, actor, incident_id, act))

    def snooze(
        self,
        actor: Actor,
        incident_id: str,
        until_us: Micros | None,
        until_worse: bool,  # noqa: FBT001 - as above
        note: str,
        expected: int | None,
    ) -> Snooze:
        """Hear no more of an incident until a time, or until it is worse.

        Raises
        ------
        NotFound
            When there is no such incident.
        Unprocessable
            When it says neither, the time is past or too far away, or the note is no fit text.
        Conflict
            When the incident is resolved, or has changed since the person looked.
        """
        _check_note("snooze", note)

        def write() -> Snooze:
            with self.desk.write() as tx:
                incident = _unresolved(tx, incident_id, expected)
                now_us = self.clock.now_us()
                snooze = snooze_of(incident, until_us=until_us, until_worse=until_worse, actor=actor, at_us=now_us)
                body = f"until {time_of(snooze.until_us)}" + (" or worse" if until_worse else "")
                body += f": {note}" if note else ""
                tx.save_incident(incident, TimelineItem(at_us=now_us, actor=actor, kind="snooze", body=body))
                tx.save_snooze(snooze)
                return snooze

        return self._explained(incident_id, expected, write)

    def wake(self, actor: Actor, incident_id: str, note: str, expected: int | None) -> None:
        """End a snooze before its time; whoever is to hear of the incident hears of it again. Raises as ``snooze``."""
        _check_note("wake", note)

        def write() -> None:
            with self.desk.write() as tx:
                incident = _unresolved(tx, incident_id, expected)
                if tx.snooze(incident_id) is None:
                    raise Conflict(f"incident '{incident_id}' is not snoozed")
                now_us = self.clock.now_us()
                tx.save_incident(incident, TimelineItem(at_us=now_us, actor=actor, kind="wake", body=note))
                tx.drop_snooze(incident_id)

        self._explained(incident_id, expected, write)

    def merge(self, actor: Actor, part_id: str, whole_id: str, note: str, expected: int | None) -> Incident:
        """Let one incident become part of another, with its alerts and what people were told; return the part.

        Raises
        ------
        NotFound
            When there is no such incident.
        Unprocessable
            When they are one and the same, or of different models.
        Conflict
            When one of them is resolved, or the part has changed since the person looked.
        """
        _check_note("merge", note)

        def write() -> Incident:
            with self.desk.write() as tx:
                part, whole = _unresolved(tx, part_id, expected), _incident(tx, whole_id)
                now_us = self.clock.now_us()
                (gone, said), (grown, heard) = merge(part, whole, note, actor, now_us)
                # Before the part is over: that would close its alerts.
                moved = tx.move_alerts(part_id, whole_id)
                tx.drop_snooze(part_id)
                if tx.hushed(part_id) is not None:
                    tx.drop_hushed(part_id)
                tx.save_incident(gone, said)
                tx.save_incident(grown, heard)
                tx.link(Link(incident_id=part_id, kind=LinkKind.MERGED, other_id=whole_id, at_us=now_us))
                for message in merge_messages(gone, grown, said, moved):
                    tx.add_message(message)
                return replace(gone, lock=gone.lock + 1)

        return self._explained(part_id, expected, write)

    def plan(self, actor: Actor, window: Maintenance) -> Maintenance:
        """Plan a window of maintenance; its id, its planner and its time of planning are filled in.

        Raises
        ------
        NotFound
            When there is no such model.
        Unprocessable
            When the window is over already, too long or too far ahead, or says no reason.
        Conflict
            When the model has too many of them.
        """
        with self.desk.write() as tx:
            if tx.model(window.model) is None:
                raise NotFound(f"no model '{window.model}'")
            now_us = self.clock.now_us()
            planned = replace(window, id=new_id(), created_us=now_us, created_by=actor)
            check_window(planned, tx.maintenance(window.model, now_us), now_us)
            tx.add_maintenance(planned)
            held = "" if planned.quarantine else ", no quarantine by drift"
            detail = f"{time_of(planned.start_us)} to {time_of(planned.end_us)}{held}: {planned.reason}"
            tx.audit(actor, "maintenance.plan", f"{window.model}/{planned.id}", detail, now_us)
            return planned

    def cancel(self, actor: Actor, model: str, window_id: str) -> None:
        """End a window of maintenance before its time; raise NotFound when there is none that is not over."""
        with self.desk.write() as tx:
            now_us = self.clock.now_us()
            if not tx.cancel_maintenance(model, window_id, now_us):
                raise NotFound(f"no maintenance '{window_id[:100]}' of model '{model}' that is not over")
            tx.audit(actor, "maintenance.cancel", f"{model}/{window_id}", "", now_us)

    def _explained(self, incident_id: str, expected: int | None, write: Callable[[], T]) -> T:
        try:
            return write()
        except StaleView as view:
            incident = self.read.incident(incident_id)
            if incident is None or expected is None:
                raise
            raise stale(incident, self.read.timeline(incident_id), expected, PLACE) from view


def _incident(tx: IncidentTx, incident_id: str) -> Incident:
    found = tx.incident(incident_id)
    if found is None:
        raise NotFound(f"no incident '{incident_id[:100]}'")
    return found


def _unresolved(tx: IncidentTx, incident_id: str, expected: int | None) -> Incident:
    found = _incident(tx, incident_id)
    seen(found, expected)
    if found.status is IncidentStatus.RESOLVED:
        raise Conflict(f"incident '{incident_id}' is resolved; only comments are possible")
    return found


def _check_note(what: str, note: str) -> None:
    places = bad_text("note", note, most=NOTE_LENGTH_MAX)
    if places:
        raise Unprocessable(f"{what} cannot be done", places=places)

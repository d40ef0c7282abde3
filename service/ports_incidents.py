"""What incidents need from the store beyond the record itself."""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from service.domain.ids import Micros
from service.domain.incidents import Bearing, Exposure, Hushed, Judged, Link, Maintenance, Moved, Snooze
from service.domain.records import Alert, Incident, Message, TimelineItem
from service.ports import ControlTx


class IncidentTx(ControlTx, Protocol):
    """A write transaction that also reaches what stands beside incidents."""

    def snooze(self, incident_id: str) -> Snooze | None:
        """Return the snooze of an incident."""

    def save_snooze(self, snooze: Snooze) -> None:
        """Snooze an incident in place of the snooze before; what is hushed by it is told when it is over."""

    def drop_snooze(self, incident_id: str) -> None:
        """Forget the snooze of an incident, if there is one."""

    def hushed(self, incident_id: str) -> Hushed | None:
        """Return whether people are still to be told of an incident."""

    def save_hushed(self, one: Hushed) -> None:
        """Remember that people are to be told of an incident later."""

    def drop_hushed(self, incident_id: str) -> None:
        """Forget that people are to be told of an incident."""

    def note(self, incident_id: str, item: TimelineItem) -> None:
        """Add to the timeline and to the audit chain, and let nothing else change."""

    def open_alerts(self, incident_id: str) -> Sequence[Alert]:
        """Return the open alerts of an incident, newest first."""

    def move_alerts(self, part_id: str, whole_id: str) -> Moved:
        """Let an incident's alerts, and what people were told of it, belong to another one."""

    def link(self, link: Link) -> None:
        """Remember what one incident is to another."""

    def maintenance(self, model: str, after_us: Micros) -> Sequence[Maintenance]:
        """Return the windows of a model that are not over at a time, by their start."""

    def add_maintenance(self, window: Maintenance) -> None:
        """Add a window."""

    def cancel_maintenance(self, model: str, window_id: str, at_us: Micros) -> bool:
        """End a window early; False when there is none that is not over."""


class IncidentDesk(Protocol):
    """What is asked about incidents, and the way to write about them."""

    def write(self) -> AbstractContextManager[IncidentTx]:
        """Open a write transaction, as ``ControlStore.write``."""

    def snooze(self, incident_id: str) -> Snooze | None:
        """Return the snooze of an incident."""

    def snoozes(self, limit: int, *, due_us: Micros | None = None, after: str = "") -> Sequence[Snooze]:
        """Return snoozes: those whose time is over at a time, the first first; or else all, by incident, after one."""

    def hushed(self, limit: int, *, due_us: Micros | None = None, after: str = "") -> Sequence[Hushed]:
        """Return what people are to be told of later, chosen as ``snoozes`` does."""

    def links(self, incident_id: str) -> Sequence[Link]:
        """Return what an incident is to others, and others to it."""

    def evidence(self, incident_id: str) -> tuple[str, str] | None:
        """Return the digest and the JSON of the evidence frozen with an incident."""

    def maintenance(self, model: str | None, after_us: Micros, limit: int) -> Sequence[Maintenance]:
        """Return windows that are not over at a time, of one model or of all, by their start."""

    def bearing(self, message: Message) -> Bearing:
        """Return all that bears on whether people are told of a message now."""

    def since(self, start_us: Micros, limit: int) -> Sequence[Incident]:
        """Return incidents opened since a time, newest first, without those that were merged into others."""

    def judged(self, start_us: Micros, limit: int, models: Collection[str] | None = None) -> Sequence[Judged]:
        """Return what there is to judge alerts by, of the same incidents as ``since`` and in the same order.

        With ``models`` only of those: ``limit`` is of what is returned.
        """

    def exposures(self, start_us: Micros) -> Sequence[Exposure]:
        """Return for how long each version was watched since a time."""

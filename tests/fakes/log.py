"""The telemetry log in a list: both sides of it, and durable as long as the test runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.errors import Conflict, Unavailable
from service.domain.ids import Micros, Position, VersionId
from service.ports import Appended, Clock, EntryKind, LogEntry, NewEntry


@dataclass(frozen=True, slots=True)
class _Stored:
    entry: LogEntry
    new: NewEntry


class InMemoryLog:
    """TelemetryLog and LogReader at once. Marks are appended by the test, with ``mark``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stored: list[_Stored] = []
        self._keys: dict[tuple[VersionId, str], _Stored] = {}
        self.failing = False
        """When true every append is refused, as a full or broken log would."""

    async def append(self, entry: NewEntry) -> Appended:
        return self.append_now(entry)

    def append_now(self, entry: NewEntry) -> Appended:
        if self.failing:
            raise Unavailable("the telemetry log is failing: told to")
        earlier = None
        if entry.idempotency_key is not None:
            earlier = self._keys.get((entry.version_id, entry.idempotency_key))
        if earlier is not None:
            if earlier.new.digest != entry.digest:
                raise Conflict(f"idempotency key '{entry.idempotency_key}' was used before with another body")
            return _answer(earlier, repeated=True)
        stored = self._store(entry)
        if entry.idempotency_key is not None:
            self._keys[entry.version_id, entry.idempotency_key] = stored
        return _answer(stored, repeated=False)

    def mark(self) -> Position:
        """Append a mark, as the real log does when traffic pauses."""
        mark = NewEntry(kind=EntryKind.MARK, version_id=VersionId(0), batch_id="", rows=0, body=b"")
        return self._store(mark).entry.position

    def head(self) -> Position:
        return self._stored[-1].entry.position if self._stored else Position(0)

    def read(self, after: Position, *, max_entries: int, max_bytes: int) -> Sequence[LogEntry]:
        page: list[LogEntry] = []
        room = max_bytes
        for stored in self._stored[after : after + max_entries]:
            room -= len(stored.entry.body)
            if page and room < 0:
                break
            page.append(stored.entry)
        return page

    def close(self) -> None:
        """Hold nothing; here because readers are closed."""

    def _store(self, new: NewEntry) -> _Stored:
        last_us = self._stored[-1].entry.arrival_us if self._stored else Micros(0)
        entry = LogEntry(
            position=Position(len(self._stored) + 1),
            arrival_us=max(self._clock.now_us(), last_us),
            kind=new.kind,
            version_id=new.version_id,
            rows=new.rows,
            body=new.body,
        )
        self._stored.append(_Stored(entry, new))
        return self._stored[-1]


def _answer(stored: _Stored, *, repeated: bool) -> Appended:
    return Appended(
        position=stored.entry.position,
        arrival_us=stored.entry.arrival_us,
        repeated=repeated,
        receipt=stored.new.receipt,
        batch_id=stored.new.batch_id,
    )

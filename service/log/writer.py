"""Group commit: one thread takes all that waits, commits it at once, and wakes all who waited.

While a commit is on its way to the disk, the next group gathers by itself. When that is how several requests came
together, the group after it gathers a millisecond longer; a lone client is never delayed.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Thread
from time import monotonic, sleep

from service.domain.errors import Unavailable
from service.domain.ids import Micros, Position, VersionId
from service.log.errors import AppendFailed
from service.log.figures import LogFigures, Meter
from service.log.intake import Answer, Intake, Waiting, answer
from service.log.storage import Storage
from service.ports import Appended, Clock, EntryKind, NewEntry
from service.settings import Settings

MARK = NewEntry(kind=EntryKind.MARK, version_id=VersionId(0), batch_id="", rows=0, body=b"")
MARK_SECONDS_MAX = 60.0
"""Marks go on for as long as the log is written, at least one a minute: a pause may be a silence that has to be told,
and a gap without marks says that nobody was listening."""
GATHER_SECONDS = 0.001
"""When several requests waited for the last commit, the next group gathers for this long: under load, fewer and larger
commits are worth more than a millisecond. A client that sends one request after the other never waits for it."""
CHORE_SECONDS = 0.25
"""How long the thread sleeps at most, and how often it trims while it is busy."""
TIDY_SECONDS = 5.0
CLOSE_SECONDS = 30.0
ENTRY_OVERHEAD = 512
"""Bytes that one waiting entry costs besides what it carries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLimits:
    """The bounds of one log."""

    queue_entries_max: int
    queue_bytes_max: int
    group_entries_max: int
    group_bytes_max: int
    retention_us: int
    bytes_max: int

    @classmethod
    def from_settings(cls, settings: Settings) -> "LogLimits":
        """Take the bounds from the settings."""
        return cls(
            queue_entries_max=settings.log_queue_entries_max,
            queue_bytes_max=settings.log_queue_bytes_max,
            group_entries_max=settings.log_group_entries_max,
            group_bytes_max=settings.log_group_bytes_max,
            retention_us=round(settings.log_retention_hours * 3_600e6),
            bytes_max=settings.log_bytes_max,
        )


class GroupCommitLog:
    """The write side of the telemetry log over any storage.

    Parameters
    ----------
    mark_after
        Seconds without an entry after which a mark is appended, so that the last tick can close. Further marks follow
        at twice the pause each, and then once a minute, so that silence is seen.
    """

    def __init__(self, storage: Storage, limits: LogLimits, clock: Clock, *, mark_after: float = 1.0) -> None:
        self._storage = storage
        self._limits = limits
        self._clock = clock
        self._intake = Intake(entries_max=limits.queue_entries_max, bytes_max=limits.queue_bytes_max)
        self._meter = Meter()
        self._pause = _Pause(mark_after)
        self._trim_up_to = Position(0)
        self._trimmed_at = 0.0
        self._tidied_at = 0.0
        self._untidy = False
        self._reader = storage.reader()
        self._thread = Thread(target=self._run, name="telemetry-log", daemon=True)

    def start(self) -> None:
        """Open the storage and start the thread; raise LogRefused when the storage may not be opened."""
        self._storage.open()
        self._intake.open()
        self._thread.start()

    async def append(self, entry: NewEntry) -> Appended:
        """Append with group commit and return once the commit is on disk."""
        loop = asyncio.get_running_loop()
        waiting = Waiting(entry, _size(entry), loop, loop.create_future())
        self._intake.put(waiting)
        return await waiting.future

    def head(self) -> Position:
        """Return the position of the last durable entry, as the storage itself says.

        What the thread remembers would be late by a moment: a worker might have read further already.
        """
        return self._reader.head()

    def trim(self, up_to: Position) -> None:
        """Allow entries up to a position to be deleted, once they are old or the log is too big."""
        self._trim_up_to = max(self._trim_up_to, up_to)

    def figures(self) -> LogFigures:
        """Return what the log says of itself."""
        entries, size = self._intake.depth()
        meter = self._meter
        return LogFigures(
            healthy=not self._intake.closed,
            queue_entries=entries,
            queue_bytes=size,
            commits=meter.commits,
            entries=meter.entries,
            bytes=meter.bytes,
            repeated=meter.repeated,
            refused=self._intake.refused,
            failed_commits=meter.failed_commits,
            last_error=meter.last_error,
            commit_seconds=meter.latency(),
            clock_behind_seconds=meter.clock_behind_us / 1e6,
        )

    async def close(self) -> None:
        """Take nothing more, commit what waits, and close."""
        self._intake.close("it is closed")
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, CLOSE_SECONDS)
        self._reader.close()

    def _run(self) -> None:
        try:
            while (group := self._next_group()) is not None:
                if group:
                    self._commit(group)
                if len(group) > 1:
                    sleep(GATHER_SECONDS)
                self._do_chores(idle=not group)
        finally:
            self._intake.close("its thread has ended")
            left = self._intake.drop_all()
            answer(left, [Unavailable("the telemetry log has closed", retry_after_seconds=5) for _ in left])
            self._storage.close()

    def _next_group(self) -> list[Waiting] | None:
        return self._intake.take(
            entries_max=self._limits.group_entries_max,
            bytes_max=self._limits.group_bytes_max,
            wait_seconds=min(CHORE_SECONDS, self._pause.remaining()),
        )

    def _commit(self, group: list[Waiting]) -> None:
        answers: Sequence[Answer] = [Unavailable("the telemetry log has failed", retry_after_seconds=5) for _ in group]
        try:
            answers = self._append(group)
        finally:
            answer(group, answers)

    def _append(self, group: list[Waiting]) -> Sequence[Answer]:
        started, now_us = monotonic(), self._clock.now_us()
        try:
            answers = self._storage.append([waiting.entry for waiting in group], now_us)
        except AppendFailed as failure:
            self._fail(failure)
            return [Unavailable(f"the telemetry log could not commit: {failure}") for _ in group]
        seconds = monotonic() - started
        fresh = [w.size for w, a in zip(group, answers, strict=True) if isinstance(a, Appended) and not a.repeated]
        repeated = sum(isinstance(a, Appended) and a.repeated for a in answers)
        self._meter.committed(seconds=seconds, entries=len(fresh), size=sum(fresh), repeated=repeated)
        if fresh:
            newest = max(a.arrival_us for a in answers if isinstance(a, Appended) and not a.repeated)
            self._meter.clock_behind_us = max(0, newest - now_us)
            self._pause.begin()
            self._untidy = True
        return answers

    def _fail(self, failure: AppendFailed) -> None:
        self._meter.failed(str(failure))
        if failure.fatal:
            self._intake.close(str(failure))
            left = self._intake.drop_all()
            answer(left, [Unavailable(f"the telemetry log has failed: {failure}") for _ in left])

    def _do_chores(self, *, idle: bool) -> None:
        if self._intake.closed:
            return
        try:
            if idle and self._pause.remaining() <= 0:
                self._pause.marked()
                self._storage.append([MARK], self._clock.now_us())
            if idle or monotonic() - self._trimmed_at >= CHORE_SECONDS:
                self._trim_some()
            if idle and self._untidy and monotonic() - self._tidied_at >= TIDY_SECONDS:
                self._storage.tidy()
                self._untidy = False
                self._tidied_at = monotonic()
        except AppendFailed as failure:
            self._fail(failure)

    def _trim_some(self) -> None:
        if not self._trim_up_to:
            return
        before_us = Micros(self._clock.now_us() - self._limits.retention_us)
        if self._storage.trim(self._trim_up_to, before_us=before_us, bytes_max=self._limits.bytes_max):
            self._untidy = True
        self._trimmed_at = monotonic()


class _Pause:
    """When the next mark is due: after one, two, four ... times ``mark_after`` without an entry, then every minute."""

    def __init__(self, mark_after: float) -> None:
        self._mark_after = mark_after
        self._since = monotonic()
        self._stretch = mark_after
        """Until the next mark, since the last entry.

        A log that is opened has a pause to mark as well: the process before it may have died before its mark."""

    def begin(self) -> None:
        """Start over: an entry came."""
        self._since = monotonic()
        self._stretch = self._mark_after

    def marked(self) -> None:
        """Wait twice as long for the next mark, but not more than a minute longer."""
        self._stretch += min(self._stretch, MARK_SECONDS_MAX)

    def remaining(self) -> float:
        """Return the seconds until a mark is due."""
        return max(0.0, self._since + self._stretch - monotonic())


def _size(entry: NewEntry) -> int:
    key = entry.idempotency_key or ""
    return ENTRY_OVERHEAD + len(entry.body) + len(entry.receipt) + len(key.encode())

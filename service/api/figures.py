"""The figures behind ``/metrics``, read from the store in the background so that no scrape ever waits for it."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from service.alert.quality import Quality
from service.api.watch import watch_of
from service.domain.enforcement import Enforcement
from service.domain.ids import Micros, Position, VersionId
from service.domain.notices import Backlog
from service.domain.records import Alert, Snapshot
from service.domain.redteam import RedTeamRun
from service.domain.reports import ReportFigures
from service.domain.reviews import ReviewFigures
from service.domain.schedule import Schedule
from service.ports import Clock, ReadStore, WorkerFigures
from service.ports_notify import NotificationDesk

OPEN_ALERTS_MAX = 1_000
SAMPLES_MAX = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What the store said at one moment."""

    read_us: Micros
    snapshots: tuple[Snapshot, ...]
    alerts: tuple[Alert, ...]
    worker: WorkerFigures
    audit_entries: int
    redteam: tuple[RedTeamRun, ...] = ()
    """The latest run of each version."""
    schedule: Schedule = field(default_factory=Schedule)
    """Of red-team runs that the service starts by itself."""
    enforcements: tuple[Enforcement, ...] = ()
    """The newest quarantine of each version that was ever in quarantine."""
    notifications: Backlog = field(default_factory=Backlog)
    reviews: ReviewFigures = field(default_factory=ReviewFigures)
    quality: Quality | None = None
    """Of the alerts of the last days."""
    reports: ReportFigures | None = None


class Lag:
    """How long the oldest entry that the worker has not committed has been waiting.

    Remembers when each head of the log was first seen, so that neither side need look up old entries.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples: deque[tuple[Position, Micros]] = deque()
        self._last = Position(0)

    def saw(self, head: Position, now_us: Micros) -> None:
        """Note the head of the log."""
        with self._lock:
            if head > self._last and len(self._samples) < SAMPLES_MAX:
                self._samples.append((head, now_us))
                self._last = head

    def seconds(self, position: Position, now_us: Micros) -> float:
        """Return the wait of the oldest entry after ``position``, 0 when there is none."""
        with self._lock:
            while self._samples and self._samples[0][0] <= position:
                self._samples.popleft()
            return max(0.0, (now_us - self._samples[0][1]) / 1e6) if self._samples else 0.0


class Figures:
    """Holds the last picture; the poller calls ``refresh`` and ``sample``.

    Parameters
    ----------
    read
        The store.
    head
        Returns the position of the log's last durable entry.
    clock
        Dates the pictures.
    schedule
        Returns the schedule of red-team runs.
    enforcements
        Returns the newest quarantine of each version.
    desk
        Tells what waits to be told; without it nothing does.
    reviews
        Returns what waits for people.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - one source each
        self,
        read: ReadStore,
        head: Callable[[], Position],
        clock: Clock,
        schedule: Callable[[], Schedule] = Schedule,
        enforcements: Callable[[], Sequence[Enforcement]] = tuple,
        desk: NotificationDesk | None = None,
        reviews: Callable[[], ReviewFigures] = ReviewFigures,
    ) -> None:
        self.quality: Callable[[], Quality | None] = lambda: None
        """Tells how good alerts were."""
        self.reports: Callable[[], ReportFigures | None] = lambda: None
        """Tells what became of reports."""
        self._read = read
        self._desk = desk
        self._reviews = reviews
        self._schedule = schedule
        self._head = head
        self._clock = clock
        self._enforcements = enforcements
        self.lag = Lag()
        self.picture: Picture | None = None
        self.head = Position(0)
        """As of the last sample."""

    def sample(self) -> None:
        """Note where the log stands."""
        self.head = self._head()
        self.lag.saw(self.head, self._clock.now_us())

    def refresh(self) -> None:
        """Read everything once."""
        now_us = self._clock.now_us()
        newest = self._read.audit(1)
        self.picture = Picture(
            read_us=now_us,
            snapshots=tuple(self._read.snapshots()),
            # Apart, so that no flood of attacks hides what drifts.
            alerts=tuple(
                alert
                for adversarial in (False, True)
                for alert in self._read.alerts(
                    version_id=None, status="open", limit=OPEN_ALERTS_MAX, adversarial=adversarial
                )
            ),
            worker=self._read.worker(),
            audit_entries=newest[0].seq if newest else 0,
            redteam=tuple(self._read.redteam_runs()),
            schedule=self._schedule(),
            enforcements=tuple(self._enforcements()),
            notifications=Backlog() if self._desk is None else self._desk.backlog(now_us),
            reviews=self._reviews(),
            quality=self.quality(),
            reports=self.reports(),
        )

    def lag_seconds(self, position: Position) -> float:
        """Return how far behind a worker at ``position`` is, as of the last sample."""
        return self.lag.seconds(position, self._clock.now_us())

    def last_arrival(self, version_id: VersionId) -> Micros:
        """Return when the log took a version's newest event, as of the last picture; 0 when there was none."""
        for snapshot in self.picture.snapshots if self.picture else ():
            if snapshot.version_id == version_id:
                return Micros(watch_of(snapshot).last_arrival_us)
        return Micros(0)

"""A whole delivery path over a real store in a file, with channels that do as told and a clock that stands still."""

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from service.channel_settings import NotificationSettings
from service.domain.ids import Actor, Micros, VersionId
from service.domain.notices import Kind, Payload, payload_of
from service.domain.policy import Cause
from service.domain.records import Incident, IncidentStatus, Message, Severity, TimelineItem, Verdict
from service.notify.compose import Notice, compose
from service.notify.incidents import incident_messages
from service.notify.routing import Router
from service.ports_notify import Channel, DeliveryFailed
from service.store import Store, open_store
from service.store.migrate import upgrade
from service.worker.delivery import Dispatcher, Pace
from service.worker.stats import WorkerStats
from tests.fakes import ManualClock
from tests.service.alert.test_decide import VERSION

SLACK_URL = "https://hooks.example.org/x"
NETWORK_FREE = "service.worker.delivery"


@cache
def _template() -> Path:
    path = Path(mkdtemp(prefix="notify-")) / "state.db"
    upgrade(f"sqlite:///{path}")
    return path


def fresh_store(folder: Path) -> Store:
    """Return an empty store."""
    path = folder / "state.db"
    shutil.copy(_template(), path)
    return open_store(f"sqlite:///{path}", timeout_seconds=5.0)


@dataclass
class Recorder:
    """A channel that fails as told to, and remembers what arrived and when."""

    name: str
    clock: ManualClock | None = None
    failure: DeliveryFailed | Exception | None = None
    hangs: bool = False
    arrived: list[Message] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    times: list[Micros] = field(default_factory=list)
    hook: Callable[[Message], None] | None = None

    async def deliver(self, message: Message) -> None:
        self.tried.append(message.id)
        if self.hook is not None:
            self.hook(message)
        if self.hangs:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure
        self.arrived.append(message)
        if self.clock is not None:
            self.times.append(self.clock.now_us())

    async def close(self) -> None:
        """Nothing is open."""

    @property
    def ids(self) -> list[str]:
        return [message.id for message in self.arrived]

    @property
    def kinds(self) -> list[str]:
        return [message.kind for message in self.arrived]

    @property
    def payloads(self) -> list[Payload]:
        return [payload_of(message) for message in self.arrived]


class Desk:
    """A store, a dispatcher, and what people and the pipeline would write."""

    def __init__(
        self, folder: Path, *channels: str, settings: dict[str, Any] | None = None, store: Store | None = None
    ) -> None:
        self.clock, self.stats = ManualClock(), WorkerStats()
        self.store = store or fresh_store(folder)
        self.settings = NotificationSettings.model_validate(settings or {})
        self.channels = {name: Recorder(name, self.clock) for name in ("log", *channels)}
        self.paces = {name: Pace(deadline_seconds=0.05) for name in channels}
        self.dispatcher = self.another("one")

    def another(self, owner: str, channels: dict[str, Channel] | None = None) -> Dispatcher:
        """Return a dispatcher over the same store, as another replica has it."""
        return Dispatcher(
            outbox=self.store.outbox,
            channels=channels or dict(self.channels),
            route=Router(settings=self.settings, channels=tuple(channels or self.channels)),
            clock=self.clock,
            stats=self.stats,
            owner=owner,
            paces=self.paces,
        )

    def put(self, *messages: Message) -> None:
        with self.store.control.write() as tx:
            for message in messages:
                tx.add_message(message)

    def round(self, dispatcher: Dispatcher | None = None, rounds: int = 1) -> None:
        """Let the dispatcher look, and wait for what it began; what waits behind a message takes a round more."""
        used = dispatcher or self.dispatcher

        async def work() -> None:
            for _ in range(rounds):
                used.step()
                await used.settle()

        asyncio.run(work())

    def at(self, seconds: float) -> Micros:
        return Micros(ManualClock().now_us() + round(seconds * 1e6))

    def until(self, seconds: float, *, every: float = 1.0) -> None:
        """Let time pass, with a look every so often."""
        while self.clock.now_us() < self.at(seconds):
            self.round()
            self.clock.advance(every)
        self.round()

    def statuses(self, channel: str) -> dict[str, str]:
        found = self.store.desk.deliveries(status=None, channel=channel, message_id=None, limit=500)
        return {one.message.id: one.status.value for one in found}


def alert(
    key: str = "a",
    *,
    at_us: Micros | None = None,
    severity: Severity = Severity.MEDIUM,
    incident: str = "i1",
    firing: bool = True,
    cause: str = "data_drift",
    **annotations: str,
) -> Message:
    """Return what an alert that opens, or is over, tells."""
    notice = Notice(
        kind=Kind.ALERT_OPENED,
        key=key,
        version=VERSION,
        summary=annotations.pop("summary", f"fraud 1: {cause}"),
        description=annotations.pop("description", "evidence reached the budget"),
        at_us=ManualClock().now_us() if at_us is None else at_us,
        firing=firing,
        labels={"cause": cause},
        annotations={"incident_id": incident, "severity": severity, **annotations},
    )
    return compose(notice)


def state(key: str, after: str, *, at_us: Micros, severity: Severity, firing: bool, incident: str = "") -> Message:
    """Return what a state change tells."""
    notice = Notice(
        kind=Kind.STATE_CHANGED,
        key=key,
        version=VERSION,
        summary=f"fraud 1 is {after}",
        description="why",
        at_us=at_us,
        firing=firing,
        labels={},
        annotations={"after": after, "severity": severity, **({"incident_id": incident} if incident else {})},
    )
    return compose(notice)


def settled(
    status: IncidentStatus, *, at_us: Micros, incident: str = "i1", verdict: Verdict | None = None, lock: int = 0
) -> Message:
    """Return what an acknowledged or resolved incident tells."""
    before = Incident(
        id=incident,
        version_id=VersionId(1),
        model="fraud",
        version="1",
        cause=Cause.DATA_DRIFT,
        title="fraud 1: data drift",
        status=IncidentStatus.OPEN,
        assignee=None,
        verdict=None,
        note=None,
        opened_us=Micros(0),
        acknowledged_us=None,
        resolved_us=None,
        lock=lock,
    )
    after = Incident(**{f: getattr(before, f) for f in before.__slots__} | {"status": status, "verdict": verdict})
    item = TimelineItem(at_us=at_us, actor=Actor("ada"), kind="x", body="seen it")
    (message,) = incident_messages(before, after, item)
    return message

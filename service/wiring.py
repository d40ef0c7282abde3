"""Everything composed: what the API process and the worker process hold, and the order in which it starts and ends."""

import gc
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event

import anyio.to_thread

from service.api.auth import KeyRing
from service.api.compile import Compiler, sweep
from service.api.deps import Api
from service.api.drafting import drafted
from service.api.figures import Figures
from service.api.key_uses import KeyUseNotes
from service.api.metrics import Metrics
from service.api.metrics_quality import QualityFigures
from service.api.standing import Standings
from service.clock import SystemClock
from service.console.deps import ConsoleDeps
from service.console.streams import Streams
from service.enforcement import EnforcementWatch
from service.gate.acknowledge import Acknowledgements
from service.gate.refresh import Fleet, Poller
from service.hushing import HushingRouter, HushWatch
from service.incident_office import IncidentOffice
from service.ingest.deidentify import Deidentifier
from service.ingest.gather import Gatherer
from service.ingest.limits import Limits
from service.log import ClosingLogReader, GroupCommitLog, LogFigures, open_log, open_reader
from service.notify.channels import build_channels, channel_names
from service.notify.routing import Router
from service.observability import Counters
from service.office import OfficeStages
from service.pipeline import AcceptStages, WorkStages
from service.ports import Clock
from service.ports_notify import Channel
from service.reports.desk import ReportDesk
from service.reports.runner import KEEP_SECONDS, LOOK_SECONDS
from service.reports.wired import bundler_of, reports_of, runner_of
from service.review.stages import ReviewStages
from service.review.watch import ReviewWatch
from service.settings import Secrets, Settings
from service.store import Store, open_store
from service.transcripts import Reading
from service.worker.breath import Breath
from service.worker.delivery import Dispatcher, Pace
from service.worker.loop import Worker
from service.worker.stats import WorkerStats

SWEEP_SECONDS = 60.0
"""How often transcripts that are over are deleted."""
KEY_USES_SECONDS = 5.0
"""How often it is looked which keys were used."""
WARMED_MAX = 256
"""Decoders compiled before the first request; a larger fleet compiles the rest as they are used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """The API process."""

    store: Store
    log: GroupCommitLog
    api: Api
    metrics: Metrics
    console: ConsoleDeps
    pollers: tuple[Poller, ...]

    started: Event = field(default_factory=Event)

    def start(self) -> None:
        """Open the log, read the first picture, and warm what would stall the first request; once.

        Raises
        ------
        LogRefused
            When another process holds the log.
        Unavailable
            When the store cannot be read.
        """
        if self.started.is_set():
            return
        self.started.set()
        sweep(self.api.settings.uploads_dir)
        self.log.start()
        self.api.fleet.refresh()
        self.api.figures.sample()
        self.api.figures.refresh()
        self._warm()
        settle_memory()
        for poller in self.pollers:
            poller.start()

    async def close(self) -> None:
        """Take nothing more, let what waits commit, and close."""
        for poller in self.pollers:
            await anyio.to_thread.run_sync(poller.stop, self.api.settings.store_timeout_seconds)
        await self.log.close()
        await anyio.to_thread.run_sync(self.store.close)

    def _warm(self) -> None:
        from service.ingest.warm import warm_up

        warm_up(self.api.accept.limits)
        for version in list(self.api.fleet.view.by_id.values())[-WARMED_MAX:]:
            self.api.accept.preparers.of(version)


def build_runtime(settings: Settings) -> Runtime:
    """Compose the API process.

    Raises
    ------
    SecretKeyError, StoreRefused, LogRefused, Unavailable
        When it cannot work; the message tells what to do.
    """
    clock = SystemClock()
    secrets = Secrets.of(settings)
    store = _open_state(settings)
    log = open_log(settings.telemetry_url, settings, clock)
    reports = reports_of(settings, secrets, clock, store.read, store.reports)
    api = _api(settings, secrets, clock, store, log, reports)
    api.fleet.on_change(api.keyring.refresh)
    return Runtime(
        store=store,
        log=log,
        api=api,
        metrics=Metrics(settings, api.counters, api.fleet, api.figures, api.log_figures, clock),
        console=ConsoleDeps(
            read=store.read,
            looking=store.looking,
            standing=Standings(api.fleet, api.figures),
            keys=store.keys,
            office=api.office,
            clock=clock,
            authenticate=api.keyring.authenticate,
            used=lambda key_id: api.keyring.see({key_id}),
            session_key=secrets.sessions,
            changed=api.changed,
            stale_seconds=settings.stale_seconds,
            schedule=store.schedule.read,
            transcripts=api.transcripts,
            review=api.review,
            incidents=store.incidents,
            triage=api.triage,
            pages=store.pages,
            desk=store.desk,
            channels=api.channel_names,
            settings=settings,
            uses=store.keys,
            streams=Streams(settings.console_streams_max),
            ending=api.ending,
            reports=reports,
            bundler=api.bundler,
            draft=partial(drafted, api),
        ),
        pollers=_pollers(settings, api, log),
    )


def _api(
    settings: Settings, secrets: Secrets, clock: Clock, store: Store, log: GroupCommitLog, reports: ReportDesk
) -> Api:
    limits, deidentifier = Limits.from_settings(settings), Deidentifier(secrets.pseudonyms)
    accept = AcceptStages.over(
        log,
        clock,
        limits,
        deidentifier,
        waiting_max=settings.log_queue_entries_max,
        waiting_bytes_max=settings.log_queue_bytes_max,
    )
    office = OfficeStages(
        control=store.control,
        clock=clock,
        head=log.head,
        limits=limits,
        deidentifier=deidentifier,
        signing_key=secrets.signing,
    )
    figures = _figures(clock, store, log, reports)
    return Api(
        settings=settings,
        secrets=secrets,
        clock=clock,
        read=store.read,
        control=store.control,
        desk=store.desk,
        incidents=store.incidents,
        triage=IncidentOffice(desk=store.incidents, read=store.read, clock=clock),
        channel_names=channel_names(settings.notifications, settings.webhook_url),
        keys=store.keys,
        accept=accept,
        office=office,
        review=ReviewStages(office=office, store=store.reviews),
        fleet=Fleet(store.read, clock, store.reviews.glasses_open),
        keyring=KeyRing(store.keys, secrets.pepper, clock),
        heard=Acknowledgements(clock),
        enforcements=store.enforcements,
        counters=Counters(),
        figures=figures,
        log_figures=partial(_log_figures, log, accept.gatherer),
        compiler=Compiler(settings.baseline_seconds_max),
        transcripts=Reading(store=store.transcripts, keys=secrets.transcripts, clock=clock),
        pages=store.pages,
        uses=store.keys,
        reports=reports,
        bundler=bundler_of(secrets, reports, store.incidents),
        ending=reports.making.ending,
    )


def _figures(clock: Clock, store: Store, log: GroupCommitLog, reports: ReportDesk) -> Figures:
    figures = Figures(
        store.read, log.head, clock, store.schedule.read, store.enforcements.latest, store.desk, store.reviews.figures
    )
    figures.quality = QualityFigures(store.incidents, clock)
    figures.reports = reports.figures
    return figures


def _log_figures(log: GroupCommitLog, gatherer: Gatherer) -> LogFigures:
    """Return the log's figures, with the small requests that wait to share an entry of it."""
    figures, (requests, size) = log.figures(), gatherer.depth()
    return replace(
        figures,
        queue_entries=figures.queue_entries + requests,
        queue_bytes=figures.queue_bytes + size,
        refused=figures.refused + gatherer.refused,
    )


def _enforcement_watch(settings: Settings, api: Api, review: ReviewWatch) -> EnforcementWatch:
    return EnforcementWatch(
        ledger=api.enforcements,
        heard=api.heard,
        fleet=api.fleet,
        clock=api.clock,
        last_arrival=api.figures.last_arrival,
        grace_seconds=settings.enforcement_seconds,
        let_through_until=review.let_through_until,
    )


def _pollers(settings: Settings, api: Api, log: GroupCommitLog) -> tuple[Poller, ...]:
    review = ReviewWatch(stages=api.review, fleet=api.fleet, clock=api.clock)
    watch = _enforcement_watch(settings, api, review)
    hushed = HushWatch(desk=api.incidents, read=api.read, clock=api.clock)
    runner = runner_of(settings, api.reports, api.incidents)

    def trim() -> None:
        if api.figures.picture is not None:
            log.trim(api.figures.picture.worker.position)

    return (
        Poller("fleet", settings.refresh_seconds, [api.fleet.refresh, api.figures.sample]),
        # Apart: what is written may wait for a lock, and the gate's picture may not.
        Poller("records", settings.refresh_seconds, [review.close, watch.write_down]),
        Poller("key uses", KEY_USES_SECONDS, [KeyUseNotes(api.keyring, api.uses, api.clock).write_down]),
        Poller("figures", settings.figures_seconds, [api.figures.refresh, watch.look, review.look, hushed.look, trim]),
        Poller("transcripts", SWEEP_SECONDS, [api.transcripts.sweep]),
        Poller("reports", LOOK_SECONDS, [runner.look]),
        Poller("report rows", KEEP_SECONDS, [runner.keep]),
        # Apart: drawing rows may take minutes.
        Poller("report sweep", KEEP_SECONDS, [runner.sweep]),
    )


def settle_memory() -> None:
    """Leave what start-up built out of every later collection, and collect less often.

    A batch makes thousands of objects that reference counting frees; with the default threshold of 700 the collector
    walks them again and again. Cycles are few here, so that waiting for 100,000 new objects costs little memory.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def _open_state(settings: Settings, *, patient: bool = False) -> Store:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    return open_store(settings.state_url, timeout_seconds=settings.store_timeout_seconds, patient=patient)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkRuntime:
    """The worker process."""

    store: Store
    log: ClosingLogReader
    channels: Mapping[str, Channel]
    worker: Worker
    delivery: Dispatcher
    breath: Breath

    async def deliver(self, stop: Event) -> None:
        """Deliver notifications until ``stop`` is set."""
        try:
            await self.delivery.run(stop)
        finally:
            for channel in self.channels.values():
                await channel.close()

    def close(self) -> None:
        """Close every connection."""
        self.log.close()
        self.store.close()


def build_worker(settings: Settings) -> WorkRuntime:
    """Compose the worker process. Raises as ``build_runtime``, and ``SecretMissing`` of a channel."""
    clock = SystemClock()
    secrets = Secrets.of(settings)
    store = _open_state(settings, patient=True)
    channels = _channels(settings, clock)
    stats = WorkerStats()
    breath = Breath()
    reader = open_reader(settings.telemetry_url, give_way=breath)
    owner = f"{socket.gethostname()}-{os.getpid()}"
    stages = WorkStages(
        store=store.worker(owner, settings.worker_lease_seconds, clock, give_way=breath),
        log=reader,
        signing_key=secrets.signing,
        transcript_keys=secrets.transcripts,
        entries_max=settings.worker_batch_entries_max,
        bytes_max=settings.worker_batch_bytes_max,
        stats=stats.to_json,
        computing=breath.alarmed,
    )
    settle_memory()
    return WorkRuntime(
        breath=breath,
        store=store,
        log=reader,
        channels=channels,
        worker=Worker(stages, stats, settings.worker_idle_seconds),
        delivery=Dispatcher(
            outbox=store.outbox,
            channels=channels,
            route=HushingRouter(
                router=Router(settings=settings.notifications, channels=tuple(channels)), desk=store.incidents
            ),
            clock=clock,
            stats=stats,
            owner=f"{owner}-{os.urandom(4).hex()}",
            paces={
                name: Pace(at_once=one.at_once, deadline_seconds=one.deadline_seconds)
                for name, one in settings.notifications.channels.items()
            },
        ),
    )


def _channels(settings: Settings, clock: Clock) -> dict[str, Channel]:
    secret = settings.webhook_secret
    plain = None if secret is None else secret.get_secret_value()
    return build_channels(settings.notifications, settings.webhook_url, plain, clock)

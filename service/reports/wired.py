"""Reports put together from settings and secrets."""

from pathlib import Path
from threading import Event

import service
from service.ports import Clock, ReadStore
from service.ports_incidents import IncidentDesk
from service.ports_reports import ReportStore
from service.reports.desk import ReportDesk
from service.reports.evidence import Bundler
from service.reports.make import Making
from service.reports.runner import ReportRunner
from service.settings import Secrets, Settings

SQLITE = "sqlite:///"


def reports_of(settings: Settings, secrets: Secrets, clock: Clock, read: ReadStore, store: ReportStore) -> ReportDesk:
    """Return what operations about reports work with."""
    making = Making(
        log_url=_absolute(settings.telemetry_url),
        keys=secrets.transcripts,
        python=settings.reports_python,
        seconds_max=settings.reports_seconds_max,
        memory_bytes_max=settings.reports_memory_bytes_max,
        output_bytes_max=settings.reports_bytes_max,
        ending=Event(),
    )
    return ReportDesk(store=store, read=read, clock=clock, making=making, queue_max=settings.reports_queue_max)


def bundler_of(secrets: Secrets, reports: ReportDesk, incidents: IncidentDesk) -> Bundler:
    """Return what evidence bundles are made with."""
    return Bundler(
        desk=reports,
        incidents=incidents,
        seed=secrets.bundles,
        signing_key=secrets.signing,
        software=f"lazaretto {service.__version__}",
    )


def runner_of(settings: Settings, reports: ReportDesk, incidents: IncidentDesk) -> ReportRunner:
    """Return what makes the reports that wait."""
    return ReportRunner(
        desk=reports, incidents=incidents, kept_max=settings.reports_kept_max, seconds_max=settings.reports_seconds_max
    )


def _absolute(url: str) -> str:
    """Return the address of a log as a process with another working directory finds it."""
    return f"{SQLITE}{Path(url.removeprefix(SQLITE)).resolve()}" if url.startswith(SQLITE) else url

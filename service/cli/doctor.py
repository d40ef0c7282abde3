"""What ``lazaretto doctor`` looks at."""

import os
import platform
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

import httpx
import msgspec

from service.cli.doctor_channels import examine_backlog, examine_channels
from service.clock import SystemClock
from service.domain.errors import LazarettoError
from service.domain.schedule import Outcome
from service.log import LogRefused, open_reader
from service.settings import SecretKeyError, Secrets, Settings
from service.store import Store, StoreRefused, open_store
from service.store.migrate import SchemaStatus, status

FINE, NOTE, FAILED = "ok", "note", "FAILED"
FREE_BYTES_MIN = 1024**3
HEARTBEAT_SECONDS_MAX = 30.0
OVERDUE_SECONDS = 600.0
FIXED_SQLITE = (3, 51, 3)
TIMEOUT_SECONDS = 3.0
NO_SETTINGS = {"LAZARETTO_CONFIG", "LAZARETTO_URL", "LAZARETTO_API_KEY"}
"""Variables of ours that are read elsewhere."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    verdict: str
    what: str
    text: str


def examine(settings: Settings) -> list[Finding]:
    """Look at everything; nothing is changed, and a missing piece does not hide the next one."""
    return [
        Finding(FINE, "python", platform.python_version()),
        *_environment(os.environ),
        *_directory(settings),
        _secret(settings),
        *_store(settings),
        *_log(settings),
        *(Finding(*found) for found in examine_channels(settings)),
        _server(settings),
    ]


def _environment(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Name variables that look like settings and are none: they are ignored, whatever was meant by them."""
    prefix = "LAZARETTO_"
    known = {f"{prefix}{name.upper()}" for name in Settings.model_fields} | NO_SETTINGS
    for name in sorted(environment):
        if name.startswith(prefix) and name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            yield Finding(NOTE, "environment", f"{name} is no setting and is ignored{hint}")


def _directory(settings: Settings) -> Iterator[Finding]:
    path = settings.data_dir
    if not path.is_dir():
        yield Finding(NOTE, "data directory", f"{path} is not there yet; 'lazaretto serve' makes it")
        return
    free = shutil.disk_usage(path).free
    text = f"{path}, {free / 1024**3:.1f} GiB free"
    enough = free >= FREE_BYTES_MIN
    yield Finding(FINE if enough else FAILED, "data directory", text if enough else f"{text}: too little")


def _secret(settings: Settings) -> Finding:
    if settings.secret_key is None and not settings.secret_file.exists():
        return Finding(NOTE, "secret key", "is made at the first start")
    try:
        Secrets.of(settings)
    except (SecretKeyError, OSError) as error:
        return Finding(FAILED, "secret key", str(error))
    where = "LAZARETTO_SECRET_KEY" if settings.secret_key is not None else str(settings.secret_file)
    if settings.secret_key is None and settings.secret_file.stat().st_mode & 0o077:
        return Finding(FAILED, "secret key", f"{where} can be read by others; run: chmod 600 {where}")
    return Finding(FINE, "secret key", where)


def _store(settings: Settings) -> Iterator[Finding]:
    what = "state store"
    try:
        found = status(settings.state_url)
    except (StoreRefused, LazarettoError) as error:
        yield Finding(FAILED, what, str(error))
        return
    if found is SchemaStatus.CURRENT:
        yield Finding(FINE, what, "its schema is current")
        yield from _people_and_worker(settings)
    elif found is SchemaStatus.EMPTY:
        yield Finding(NOTE, what, "is empty; 'lazaretto serve' fills it")
    elif found is SchemaStatus.OLDER:
        yield Finding(FAILED, what, "has an older schema; stop the service, then run: lazaretto migrate")
    else:
        yield Finding(FAILED, what, "has a newer schema than this version knows; install the newer version")
    if settings.state_url.startswith("sqlite") and sqlite3.sqlite_version_info < FIXED_SQLITE:
        text = f"{sqlite3.sqlite_version} can corrupt a log that two connections write: never open it with other tools"
        yield Finding(NOTE, "SQLite", text)


def _people_and_worker(settings: Settings) -> Iterator[Finding]:
    try:
        store = open_store(settings.state_url, timeout_seconds=settings.store_timeout_seconds)
    except (StoreRefused, LazarettoError) as error:
        yield Finding(FAILED, "state store", str(error))
        return
    try:
        yield from _inside(store, settings)
        backlog = store.desk.backlog(SystemClock().now_us())
        yield from (Finding(*found) for found in examine_backlog(backlog, settings))
    except LazarettoError as error:
        yield Finding(FAILED, "state store", error.detail)
    finally:
        store.close()


def _inside(store: Store, settings: Settings) -> Iterator[Finding]:
    keys = store.read.keys()
    usable = [key for key in keys if key.revoked_us is None]
    if usable:
        yield Finding(FINE, "keys", f"{len(usable)} in use")
    else:
        yield Finding(NOTE, "keys", "none yet; run: lazaretto keys create --name me --scopes admin")
    worker = store.read.worker()
    silent = (SystemClock().now_us() - worker.heartbeat_us) / 1e6
    if worker.heartbeat_us and silent < HEARTBEAT_SECONDS_MAX:
        yield Finding(FINE, "worker", f"wrote {silent:.1f} s ago, at position {worker.position}")
    else:
        yield Finding(NOTE, "worker", "is not running" if worker.heartbeat_us else "has never run")
    yield from _schedule(store, settings)


def _schedule(store: Store, settings: Settings) -> Iterator[Finding]:
    """Say how the red-team runs go that the service starts by itself, where it shall."""
    if settings.redteam_plan is None:
        return
    what, now_us, found = "red-team schedule", SystemClock().now_us(), store.schedule.read()
    if not settings.redteam_plan.is_file():
        yield Finding(FAILED, what, f"there is no plan at {settings.redteam_plan}")
    told = f"{found.done} runs ended well, {found.failed} did not, {found.missed} turns were missed"
    late = (now_us - found.next_us) / 1e6
    if found.outcome in {Outcome.FAILED, Outcome.TIMED_OUT}:
        yield Finding(FAILED, what, f"the latest run {found.outcome.value.replace('_', ' ')}: {found.detail}; {told}")
    elif found.next_us and found.outcome is not Outcome.RUNNING and late > OVERDUE_SECONDS:
        yield Finding(FAILED, what, f"a run has been due for {late / 3600:.1f} h: is the service running? {told}")
    else:
        yield Finding(FINE, what, told if found.next_us else "the first run begins with the service")


def _log(settings: Settings) -> Iterator[Finding]:
    try:
        reader = open_reader(settings.telemetry_url)
    except LogRefused as error:
        yield Finding(FAILED, "telemetry log", str(error))
        return
    try:
        reader.check()
        yield Finding(FINE, "telemetry log", f"readable, last position {reader.head()}")
    except (LogRefused, LazarettoError) as error:
        yield Finding(FAILED, "telemetry log", str(error))
    finally:
        reader.close()


def _server(settings: Settings) -> Finding:
    url = f"http://{settings.host}:{settings.port}/readyz"
    try:
        answer = httpx.get(url, timeout=TIMEOUT_SECONDS, trust_env=False)
    except httpx.HTTPError:
        return Finding(NOTE, "server", f"nothing answers at {url}")
    if answer.is_success:
        return Finding(FINE, "server", f"ready at {url}")
    return Finding(FAILED, "server", f"{url} says {answer.status_code}: {answer.text[:300]}")

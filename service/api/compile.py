"""Reference data to a baseline, in a process of its own: it takes seconds, and the gate must not wait.

Nothing here imports FastAPI: the worker process loads this module.
"""

import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_process
import anyio.to_thread

from service.api.asgi import ClientGone, Most, Receive, Scope, check_length, too_large
from service.detect.calibration import calibrate
from service.detect.moved import moved
from service.detect.reference import CompiledReference, compile_reference
from service.detect.reference_labels import Labels
from service.domain.calibration import Calibration
from service.domain.errors import Unavailable, Unprocessable, UnsupportedMedia
from service.domain.policy import Tuning
from service.domain.reports import Reports
from service.domain.schema import Schema
from service.frames import Frame
from service.ingest.deidentify import Deidentifier
from service.ingest.inflate import SUPPORTED
from service.ingest.limits import Limits
from service.ingest.reference import read_reference
from service.ingest.reference_label import read_label
from service.reports.reference import kept_rows

WAITING_MAX = 3
RETRY_SECONDS = 15
NO_ROWS = Reports()
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A reference as it came, on disk, and what is needed to read it."""

    path: str
    content_type: str
    schema: Schema
    limits: Limits
    pseudonym_key: bytes
    tuning: Tuning
    budget_ticks: float
    before: bytes | None = None
    """The artefact in force, to be compared with."""
    reports: Reports = NO_ROWS
    """Whether rows are kept for reports."""
    label: str | None = None
    """The column of true labels."""


def compile_upload(upload: Upload) -> CompiledReference:
    """Read, take away what identifies people, and compile; warnings of all of it are kept."""
    segments = upload.tuning.segments
    key = None if segments is None else segments.key
    reference = read_reference(Path(upload.path), upload.content_type, upload.schema, upload.limits, key)
    frame = Deidentifier(upload.pseudonym_key).apply(upload.schema, reference.frame)
    labels = None
    if upload.label is not None:
        labels = read_label(Path(upload.path), upload.content_type, upload.schema, upload.limits, upload.label)
    read_warnings = tuple(
        {"column": column, "code": "reference", "text": text}
        for column, text in reference.warnings
        if upload.label is None or column != upload.label
    )
    wanted = Wanted(
        schema=upload.schema,
        tuning=upload.tuning,
        budget_ticks=upload.budget_ticks,
        before=upload.before,
        reports=upload.reports,
        labels=labels,
    )
    return compile_frame(frame, wanted, read_warnings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a baseline is compiled for."""

    schema: Schema
    tuning: Tuning
    budget_ticks: float
    before: bytes | None = None
    """The artefact in force, to be compared with."""
    reports: Reports = NO_ROWS
    """What is kept of the rows for drift reports."""
    labels: Labels | None = None
    """What turned out to be true of each row."""


def compile_frame(frame: Frame, wanted: Wanted, warnings: tuple[dict[str, str], ...]) -> CompiledReference:
    """Compile rows that identify nobody any more; ``warnings`` of whoever has read them come first."""
    tuning = wanted.tuning
    follow, requests = tuning.follow is not None, tuning.requests
    compiled = compile_reference(
        wanted.schema, frame, tuning.segments, follow=follow, requests=requests, labels=wanted.labels
    )
    differs = () if wanted.before is None else moved(wanted.before, frame, compiled.columns)
    calibration = calibrate(compiled.artefact, tuning, wanted.budget_ticks)
    sample, kept = kept_rows(wanted.schema, frame, wanted.reports)
    told = (*warnings, *compiled.warnings, *differs, *kept)
    return replace(compiled, warnings=told, calibration=calibration, sample=sample)


def check_encoding(encoding: str | None) -> None:
    """Raise UnsupportedMedia for an encoding that is not understood; which of them it is, the first bytes tell."""
    if (encoding or "identity").strip().lower() not in SUPPORTED:
        supported = ", ".join(SUPPORTED)
        raise UnsupportedMedia(f"content encoding '{(encoding or '')[:100]}' is not supported; supported: {supported}")


class Compiler:
    """Compiles one reference at a time; a few may wait.

    Parameters
    ----------
    seconds_max
        How long one may take, waiting included.
    """

    def __init__(self, seconds_max: float) -> None:
        self._seconds_max = seconds_max
        self._limiter = anyio.CapacityLimiter(1)
        self._inside = 0

    async def compile(self, upload: Upload) -> CompiledReference:
        """Compile in a worker process.

        Raises
        ------
        Unavailable
            When too many wait already, or the process died.
        Unprocessable
            When the reference cannot be compiled, or not in time.
        """
        return await self._run(partial(compile_upload, upload))

    async def work(self, work: Callable[[], CompiledReference]) -> CompiledReference:
        """Compile what comes from elsewhere in a worker process; raises as ``compile``."""
        return await self._run(work)

    async def explain(self, artefact: bytes, tuning: Tuning, budget_ticks: float) -> Calibration:
        """Explain a compiled baseline in a worker process; raises as ``compile``."""
        return await self._run(partial(calibrate, artefact, tuning, budget_ticks))

    async def _run(self, work: Callable[[], T]) -> T:
        if self._inside > WAITING_MAX:
            raise Unavailable("other baselines are being compiled", retry_after_seconds=RETRY_SECONDS)
        self._inside += 1
        try:
            with anyio.fail_after(self._seconds_max):
                return await anyio.to_process.run_sync(work, cancellable=True, limiter=self._limiter)
        except TimeoutError:
            raise Unprocessable(
                f"the baseline did not compile within {self._seconds_max:g} seconds; send fewer rows"
            ) from None
        except anyio.BrokenWorkerProcess as error:
            raise Unavailable("the compiling process died", retry_after_seconds=RETRY_SECONDS) from error
        finally:
            self._inside -= 1


@asynccontextmanager
async def spool(scope: Scope, receive: Receive, folder: Path, most: Most) -> AsyncIterator[str]:
    """Stream a body into a file that is gone afterwards: raw reference rows are not kept.

    Raises
    ------
    TooLarge
        As soon as the body is longer than ``most``.
    """
    check_length(scope, most)
    descriptor, path = _open(folder)
    try:
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk: bytes = message.get("body", b"")
            more = message.get("more_body", False)
            size += len(chunk)
            if size > most.size:
                raise too_large(most)
            if chunk:
                await anyio.to_thread.run_sync(_write_all, descriptor, chunk)
        os.close(descriptor)
        descriptor = -1
        yield path
    finally:
        if descriptor >= 0:
            os.close(descriptor)
        _remove(path)


def _open(folder: Path) -> tuple[int, str]:
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.mkstemp(dir=folder, prefix="baseline-")


def _remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what a killed process has left behind."""
    for left in folder.glob("baseline-*"):
        left.unlink(missing_ok=True)


def _write_all(descriptor: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(descriptor, view) :]

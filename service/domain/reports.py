"""Reports about drift: what a policy lets be kept for them, how one is asked for, and what it found."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import msgspec

from service.domain.ids import Actor, Micros, VersionId

NAME_MAX = 300
LEFT_OUT_MAX = 2_000
ROWS_MAX = 10_000
KEPT_DAYS_MAX = 400
DETAIL_MAX = 1_000


class Reports(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which rows reports are made from, and for how long those and the reports are kept."""

    rows: Annotated[int, msgspec.Meta(ge=0, le=ROWS_MAX)] = 1_000
    """Events drawn from the log for each side of a report; 0 draws none, so that there are no reports."""
    reference_rows: Annotated[int, msgspec.Meta(ge=0, le=ROWS_MAX)] = 0
    """Rows of the reference kept when a baseline is put. By default none: the traffic before a change stands for it."""
    keep_days: Annotated[float, msgspec.Meta(ge=0.01, le=KEPT_DAYS_MAX)] = 30.0
    leave_out: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_MAX)], ...],
        msgspec.Meta(max_length=LEFT_OUT_MAX),
    ] = ()
    """Columns that are never drawn, besides those that are left out anyway."""


class ReportStatus(StrEnum):
    """Where a report stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


WAITING = (ReportStatus.QUEUED, ReportStatus.RUNNING)


class Part(StrEnum):
    """What a report consists of."""

    ROWS = "rows"
    HTML = "html"
    JSON = "json"


class SampleKind(StrEnum):
    """What a kept sample is of."""

    REFERENCE = "reference"
    INCIDENT = "incident"


class ReportColumn(msgspec.Struct, frozen=True, kw_only=True):
    """What a report says of one column."""

    name: str
    kind: str
    drifted: bool
    method: str
    score: float | None
    threshold: float | None


class ReportFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a report is made from, and what it found; empty texts and ``None`` for what is not known yet."""

    current_rows: int
    reference_rows: int
    current_seen: int
    """Events that the current rows were drawn from."""
    reference: str
    """Which rows stand for what is normal: ``reference`` or ``traffic``."""
    from_us: int
    to_us: int
    reference_from_us: int
    reference_to_us: int
    cut: bool
    """Whether only a part of the log was looked at, evenly spread."""
    frozen: bool
    """Whether the rows are those that were kept when the incident was opened."""
    left_out: dict[str, str]
    """Columns that are not in the rows, each with why."""
    columns: tuple[ReportColumn, ...] = ()
    renderer: str = ""
    seconds: float | None = None
    html_sha256: str = ""
    json_sha256: str = ""

    @property
    def drifted(self) -> tuple[str, ...]:
        """Return the names of the columns that the report calls drifted."""
        return tuple(one.name for one in self.columns if one.drifted)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRecord:
    """A report as the store has it, without its parts."""

    id: str
    version_id: VersionId
    model: str
    version: str
    incident_id: str | None
    status: ReportStatus
    from_us: Micros
    to_us: Micros
    requested_us: Micros
    requested_by: Actor
    until_us: Micros
    """From then on it is as if it were not there."""
    started_us: Micros | None = None
    ended_us: Micros | None = None
    detail: str = ""
    """Why it failed."""
    facts: ReportFacts | None = None
    key_id: str | None = None
    """Of the key that its parts are encrypted with."""
    parts: frozenset[Part] = frozenset()
    """Those that are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRecord:
    """Rows that are kept for reports."""

    subject: str
    """Id of the baseline or of the incident."""
    kind: SampleKind
    version_id: VersionId
    rows: int
    at_us: Micros
    until_us: Micros
    key_id: str | None
    sample: bytes | None
    """Encrypted; ``None`` once erased."""
    erased_us: Micros | None = None
    erased_by: Actor | None = None


REPORT_SECONDS = (1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0)
"""Bounds of the histogram of how long reports take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFigures:
    """What became of reports since the process started, and what waits."""

    waiting: int
    done: int
    failed: int
    refused: int
    counts: tuple[int, ...]
    """By how long they took: up to each bound, and above the last one."""
    seconds: float
    """That all of them took."""

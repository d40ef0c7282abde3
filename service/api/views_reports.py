"""What the API answers about reports."""

from service.api.views import View, iso, iso_or_none
from service.domain.ids import Micros
from service.domain.reports import Part, ReportColumn, ReportRecord


class ReportGroundView(View, frozen=True, kw_only=True):
    """The rows that a report is made from."""

    current_rows: int
    current_seen: int
    """Events that they were drawn from."""
    reference: str
    """`reference`: kept rows of the baseline's reference; `traffic`: events of the time before."""
    reference_rows: int
    reference_from: str | None
    """`null` for rows of a reference."""
    reference_to: str | None
    cut: bool
    """Whether only a part of the log was looked at, evenly spread."""
    frozen: bool
    """Whether the log had the events no more, so that the rows are those kept when the incident was opened."""
    left_out: dict[str, str]
    """Columns without rows, each with why."""


class ReportView(View, frozen=True, kw_only=True):
    """A report."""

    report_id: str
    model: str
    version: str
    incident_id: str | None
    status: str
    """`queued`, `running`, `done` or `failed`."""
    detail: str
    """Why it failed."""
    start: str
    """Of the time that it is about."""
    end: str
    requested: str
    requested_by: str
    started: str | None
    ended: str | None
    until: str
    """When it is deleted."""
    parts: list[str]
    """What can be downloaded: `rows`, `html`, `json`."""
    ground: ReportGroundView | None
    drifted: list[str] | None
    """Names of the columns that the report calls drifted; `null` until it is done."""
    columns: list[ReportColumn]
    """Drifted ones first."""
    renderer: str | None
    seconds: float | None
    """That rendering took."""


class ReportErasedView(View, frozen=True, kw_only=True):
    """How many reports were erased."""

    erased: int


def of_report(record: ReportRecord) -> ReportView:
    """Return a report as the API shows it."""
    facts = record.facts
    done = facts is not None and bool(facts.renderer)
    return ReportView(
        report_id=record.id,
        model=record.model,
        version=record.version,
        incident_id=record.incident_id,
        status=str(record.status),
        detail=record.detail,
        start=iso(record.from_us),
        end=iso(record.to_us),
        requested=iso(record.requested_us),
        requested_by=record.requested_by,
        started=iso_or_none(record.started_us),
        ended=iso_or_none(record.ended_us),
        until=iso(record.until_us),
        parts=[str(part) for part in Part if part in record.parts],
        ground=_ground(record),
        drifted=list(facts.drifted) if facts is not None and done else None,
        columns=list(facts.columns) if facts is not None else [],
        renderer=facts.renderer if facts is not None and done else None,
        seconds=None if facts is None else facts.seconds,
    )


def _ground(record: ReportRecord) -> ReportGroundView | None:
    facts = record.facts
    if facts is None:
        return None
    traffic = facts.reference == "traffic"
    return ReportGroundView(
        current_rows=facts.current_rows,
        current_seen=facts.current_seen,
        reference=facts.reference,
        reference_rows=facts.reference_rows,
        reference_from=iso(Micros(facts.reference_from_us)) if traffic else None,
        reference_to=iso(Micros(facts.reference_to_us)) if traffic else None,
        cut=facts.cut,
        frozen=facts.frozen,
        left_out=facts.left_out,
    )

"""What is said of a drift report on its page and beside it: how it stands, what it found, what can be had of it."""

from dataclasses import dataclass

from service.console import words
from service.console.access import Viewer
from service.console.addresses import incident_url, report_url, reports_url
from service.console.read_models import When
from service.domain.ids import Micros
from service.domain.records import Incident, Scope
from service.domain.reports import WAITING, Part, ReportRecord, ReportStatus
from service.reports.desk import ReportDesk

DRIFTED_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a report is about, and where to go from it."""

    title: str
    address: str
    """Of the page of what it is about."""
    model: str
    version: str
    ask: str
    """Where a form asks for it, again or for the first time."""
    fields: tuple[tuple[str, str], ...] = ()
    """That the form sends along."""
    reports: str = ""
    """Of the list of reports that it stands in."""
    bundle: str = ""
    """Of the signed bundle; empty when there is none to be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportCard:
    """What is shown of a report."""

    url: str
    """Of its page; the frame and the downloads lie below it."""
    ask: str
    fields: tuple[tuple[str, str], ...]
    exists: bool
    status: str
    waiting: bool
    done: bool
    failed: bool
    detail: str
    lines: tuple[str, ...]
    drifted: tuple[str, ...]
    drifted_more: int
    left_out: tuple[tuple[str, str], ...]
    ended: When | None
    shown: bool
    """Whether there is a page to show."""
    earlier: When | None
    """When that ended, where it is an earlier one."""
    has_rows: bool
    may_ask: bool
    may_rows: bool
    digest: str


def incident_subject(incident: Incident, *, may_bundle: bool) -> Subject:
    """Return what a report about an incident is about."""
    where = incident_url(incident.id)
    return Subject(
        title=incident.title,
        address=where,
        model=incident.model,
        version=incident.version,
        ask=f"{where}/report",
        reports=reports_url(incident.model, incident.version),
        bundle=f"{where}/bundle" if may_bundle else "",
    )


def incident_card(desk: ReportDesk, viewer: Viewer, incident: Incident, now_us: Micros) -> ReportCard:
    """Write the newest report for people; while it is made, or where it failed, an earlier one can still be seen."""
    return _card(
        viewer,
        f"{incident_url(incident.id)}/report",
        incident_subject(incident, may_bundle=False),
        (desk.found(incident), desk.found(incident, Part.HTML)),
        now_us,
        has_rows=desk.found(incident, Part.ROWS) is not None,
    )


def window_card(viewer: Viewer, record: ReportRecord, about: Subject, now_us: Micros) -> ReportCard:
    """Write one report for people."""
    shown = record if Part.HTML in record.parts else None
    return _card(viewer, report_url(record.id), about, (record, shown), now_us, has_rows=Part.ROWS in record.parts)


def _card(
    viewer: Viewer,
    url: str,
    about: Subject,
    which: tuple[ReportRecord | None, ReportRecord | None],
    now_us: Micros,
    *,
    has_rows: bool,
) -> ReportCard:
    record, shown = which
    facts = None if record is None else record.facts
    status = None if record is None else record.status
    drifted = () if facts is None else facts.drifted
    return ReportCard(
        url=url,
        ask=about.ask,
        fields=about.fields,
        exists=record is not None,
        status="" if status is None else str(status),
        waiting=status in WAITING,
        done=status is ReportStatus.DONE,
        failed=status is ReportStatus.FAILED,
        detail="" if record is None else record.detail,
        lines=() if record is None else _lines(record),
        drifted=drifted[:DRIFTED_SHOWN],
        drifted_more=max(0, len(drifted) - DRIFTED_SHOWN),
        left_out=() if facts is None else tuple(sorted(facts.left_out.items())),
        ended=None if record is None or record.ended_us is None else When.of(record.ended_us, now_us),
        shown=shown is not None,
        earlier=None if shown is None or record == shown or shown.ended_us is None else When.of(shown.ended_us, now_us),
        has_rows=has_rows,
        may_ask=viewer.identity.may(Scope.OPERATE) and status not in WAITING,
        may_rows=viewer.identity.may(Scope.OPERATE),
        digest="" if shown is None or shown.facts is None else shown.facts.html_sha256,
    )


def _lines(record: ReportRecord) -> tuple[str, ...]:
    facts = record.facts
    if facts is None:
        return ()
    against = "rows of the reference that were kept" if facts.reference == "reference" else "events of the time before"
    length = words.duration((facts.to_us - facts.from_us) / 1e6)
    which = "events since the change" if record.incident_id else "events of this time"
    lines = [
        f"{facts.current_rows:,} of {facts.current_seen:,} {which}, in {length}",
        f"compared with {facts.reference_rows:,} {against}",
    ]
    if facts.cut:
        lines.append("the log has more than is read for a report: parts of it, evenly spread, were looked at")
    if facts.frozen:
        lines.append("the log has the events no more: these are the rows kept when the incident was opened")
    return tuple(lines)

"""The declared parts of the traffic, as the page of a version lists them."""

from dataclasses import dataclass

from service.console import words
from service.console.facts import Facts, StatusSegment
from service.domain.records import ColumnFinding

COLUMNS_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRow:
    """One segment in a line."""

    name: str
    evidence: str | None
    """As an exponent of ten."""
    share: str
    blamed: bool
    text: str
    """What changed in it, or why it is not watched by itself."""


def segment_rows(facts: Facts) -> tuple[SegmentRow, ...]:
    """Return the segments, those that are blamed first, then by evidence."""
    inside: dict[str, list[ColumnFinding]] = {}
    for finding in facts.inside:
        inside.setdefault(str(finding.segment), []).append(finding)
    rows = sorted(facts.status.segments, key=lambda s: (s.segment not in inside, -_rank(s), s.segment))
    return tuple(_row(segment, inside.get(segment.segment, [])) for segment in rows)


def _row(segment: StatusSegment, findings: list[ColumnFinding]) -> SegmentRow:
    return SegmentRow(
        name=segment.segment,
        evidence=words.exponent(segment.log_evidence),
        share=f"{100 * segment.share:.3g} %" if segment.share else "none",
        blamed=bool(findings),
        text=_text(segment, findings),
    )


def _text(segment: StatusSegment, findings: list[ColumnFinding]) -> str:
    if segment.insufficient is not None:
        return f"Not watched by itself: {segment.insufficient}."
    if not findings:
        return "Nothing is blamed here."
    said, now = [], {column.name: column for column in segment.columns if column.effects}
    for finding in findings[:COLUMNS_NAMED]:
        column = now.get(finding.name)
        psi = (finding if column is None else column).effects.get("psi")
        limits = None if column is None else column.intervals.get("psi")
        effect = "" if psi is None else f", PSI {words.with_interval(psi, limits)}"
        said.append(f"{finding.name} ({finding.direction}{effect}) since {words.moment(finding.since_us)[11:19]}")
    more = len(findings) - COLUMNS_NAMED
    return f"{', '.join(said)}{f' and {more} more' if more > 0 else ''}."


def _rank(segment: StatusSegment) -> float:
    return float("-inf") if segment.log_evidence is None else segment.log_evidence

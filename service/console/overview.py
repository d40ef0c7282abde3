"""The list of versions beside a page, the one that needs attention most first."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.console import words
from service.console.roll import Entry
from service.domain.states import State

OVERVIEW_ROWS = 12
"""The fleet's own page has them all."""
TONES = {
    State.ACTIVE: "good",
    State.SUSPECT: "warn",
    State.QUARANTINED: "bad",
    State.UNDER_REVIEW: "warn",
    State.ROLLED_BACK: "off",
    State.RETIRED: "off",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewRow:
    """One version in the list."""

    model: str
    version: str
    state: str
    tone: str
    evidence: str | None
    threshold: str | None
    share: float
    over: bool


def overview(entries: Sequence[Entry]) -> list[OverviewRow]:
    """Return the first of the entries as rows."""
    return [_row(entry) for entry in entries[:OVERVIEW_ROWS]]


def _row(entry: Entry) -> OverviewRow:
    version = entry.version
    return OverviewRow(
        model=version.model,
        version=version.version,
        state=words.STATE_NAMES[version.state],
        tone=TONES[version.state],
        evidence=words.exponent(entry.log_evidence),
        threshold=words.exponent(entry.log_threshold),
        share=entry.share,
        over=entry.over,
    )

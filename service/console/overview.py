"""The list of all versions, the one that needs attention most first."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.console import words
from service.console.facts import log_threshold
from service.domain.keys import Identity
from service.domain.records import Model, Snapshot, Version
from service.domain.states import State

OVERVIEW_ROWS = 50
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
    """One version in the list of all."""

    model: str
    version: str
    state: str
    tone: str
    evidence: str | None
    threshold: str | None
    share: float
    over: bool
    rank: tuple[int, float]


def share_of(log_evidence: float, log_threshold: float) -> float:
    """Return how much of the way to the threshold the evidence has gone, on the log scale, 0 to 1."""
    if math.isnan(log_evidence) or log_evidence <= 0.0:
        return 0.0
    return 1.0 if log_threshold <= 0.0 else min(1.0, log_evidence / log_threshold)


_RANKS = (State.QUARANTINED, State.UNDER_REVIEW, State.SUSPECT, State.ACTIVE, State.ROLLED_BACK, State.RETIRED)


def overview(
    models: Sequence[Model], versions: Sequence[Version], snapshots: Sequence[Snapshot], viewer: Identity
) -> list[OverviewRow]:
    """List the versions that the viewer may see, the one that needs attention most first."""
    policies: Mapping[str, Model] = {model.name: model for model in models}
    seen = {snapshot.version_id: snapshot for snapshot in snapshots}
    rows = [
        _overview_row(version, log_threshold(policies[version.model], seen.get(version.id)), seen.get(version.id))
        for version in versions
        if viewer.sees(version.model) and version.model in policies
    ]
    return sorted(rows, key=lambda row: (row.rank, row.model, row.version))


def _overview_row(version: Version, threshold: float, snapshot: Snapshot | None) -> OverviewRow:
    log_evidence = snapshot.evidence_log if snapshot else -math.inf
    return OverviewRow(
        model=version.model,
        version=version.version,
        state=words.STATE_NAMES[version.state],
        tone=TONES[version.state],
        evidence=words.exponent(log_evidence),
        threshold=words.exponent(threshold),
        share=share_of(log_evidence, threshold),
        over=log_evidence >= threshold,
        rank=(_RANKS.index(version.state), -share_of(log_evidence, threshold)),
    )

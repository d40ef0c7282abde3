"""What waits for people: held versions, and baselines that somebody put; who must do what, and until when. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.console import words
from service.console.next_steps import Steps, steps_of
from service.console.overview import TONES
from service.console.people import able, listed
from service.console.read_models import When
from service.domain.ids import Actor, Micros, VersionId
from service.domain.keys import Identity
from service.domain.records import ApiKey, Incident, Model, Scope, Version
from service.domain.reviews import Glass, Proposal, Review
from service.domain.states import HELD, State
from service.quarantine.decide import count_approvals
from service.quarantine.proposals import MOVED, signatures_needed
from service.quarantine.review import standing_of

MOVED_SHOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFacts:
    """All that the queue is decided from."""

    now_us: Micros
    models: Mapping[str, Model]
    versions: Sequence[Version]
    keys: Sequence[ApiKey]
    reviews: Mapping[VersionId, Review]
    glasses: Mapping[VersionId, Glass]
    """Open ones."""
    approvals: Mapping[VersionId, Sequence[Actor]]
    proposals: Sequence[Proposal]
    incidents: Mapping[VersionId, Incident]
    """The worst one of each held version that nobody has resolved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """One held version."""

    key: str
    model: str
    version: str
    state: str
    tone: str
    since: When
    reason: str
    waits_for: str
    mine: bool
    """Whether it waits for the viewer."""
    reviewers: str
    due: When | None
    left: str
    """Until then, or since then."""
    overdue: bool
    escalations: int
    approvals: str
    glass_by: str
    glass_until: When | None
    glass_reason: str
    incident_id: str | None
    incident_title: str
    steps: Steps
    may_draft: bool
    change: int
    deployed_by: str
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalRow:
    """One baseline that waits for people."""

    id: str
    model: str
    version: str
    rows: str
    put: When
    by: str
    signed: str
    waits_for: str
    mine: bool
    moved: tuple[str, ...]
    moved_left: int


def queue_of(facts: QueueFacts, viewer: Identity) -> tuple[QueueRow, ...]:
    """List held versions: broken glass first, then what is overdue, then what is due next, then what nobody reviews."""
    held = [
        version
        for version in facts.versions
        if version.state in HELD and viewer.sees(version.model) and version.model in facts.models
    ]
    rows = [_row(version, facts, viewer) for version in held]
    return tuple(row for _, row in sorted(rows, key=lambda pair: pair[0]))


def _row(version: Version, facts: QueueFacts, viewer: Identity) -> tuple[tuple[object, ...], QueueRow]:
    model, now_us = facts.models[version.model], facts.now_us
    asked = facts.approvals.get(version.id, ())
    standing = standing_of(version, model.policy, facts.reviews.get(version.id), now_us)
    glass = facts.glasses.get(version.id)
    broken = glass if glass is not None and glass.lets_through(now_us) else None
    incident = facts.incidents.get(version.id)
    counted = count_approvals(version, model.policy, asked)
    waits_for, mine = _waits(version, facts, viewer, standing.reviewers if standing else ())
    due_us = standing.due_us if standing else None
    row = QueueRow(
        key=f"{version.model}/{version.version}",
        model=version.model,
        version=version.version,
        state=words.STATE_NAMES[version.state],
        tone=TONES[version.state],
        since=When.of(version.since_us, now_us),
        reason=version.reason,
        waits_for=waits_for,
        mine=mine,
        reviewers=listed(standing.reviewers) if standing and standing.reviewers else "",
        due=None if due_us is None else When.of(due_us, now_us),
        left="" if due_us is None else words.duration(abs(due_us - now_us) / 1e6),
        overdue=standing is not None and standing.overdue,
        escalations=standing.escalations if standing else 0,
        approvals=f"{counted.have} of {counted.need}" if version.state is State.UNDER_REVIEW else "",
        glass_by=str(broken.actor) if broken else "",
        glass_until=When.of(broken.until_us, now_us) if broken else None,
        glass_reason=broken.reason if broken else "",
        incident_id=incident.id if incident else None,
        incident_title=incident.title if incident else "",
        steps=steps_of(version, model.policy, asked, viewer, is_open=incident is not None),
        may_draft=version.baseline_id is not None and viewer.may(Scope.OPERATE),
        change=version.lock,
        deployed_by=str(version.deployed_by),
        owner=model.owner,
    )
    rank = (broken is None, not row.overdue, due_us if due_us is not None else 2**62, version.since_us, row.key)
    return rank, row


def _waits(version: Version, facts: QueueFacts, viewer: Identity, reviewers: Sequence[Actor]) -> tuple[str, bool]:
    """Say whose turn it is, and whether it is the viewer's."""
    names = able(facts.keys, version.model, facts.now_us)
    if version.state is State.QUARANTINED:
        return f"{listed(names)}: start the review.", viewer.may(Scope.OPERATE)
    asked = facts.approvals.get(version.id, ())
    counted = count_approvals(version, facts.models[version.model].policy, asked)
    fit = [name for name in (reviewers or names) if name not in asked]
    missing = max(1, counted.need - counted.have)
    more = "one more must ask" if missing == 1 else f"{missing} must ask"
    text = f"{listed(fit) if fit else 'anybody else'}: release it ({more}), or roll it back."
    turn = viewer.actor not in asked and (viewer.actor in reviewers or not reviewers)
    return text, viewer.may(Scope.OPERATE) and turn


def proposals_of(facts: QueueFacts, viewer: Identity) -> tuple[ProposalRow, ...]:
    """List baselines that wait, the oldest first."""
    versions = {version.id: version for version in facts.versions}
    rows = []
    for one in facts.proposals:
        version = versions.get(one.version_id)
        if version is None or not viewer.sees(version.model) or version.model not in facts.models:
            continue
        need = signatures_needed(facts.models[version.model].policy)
        moved = [warning for warning in one.warnings if warning["code"] == MOVED]
        fit = [name for name in able(facts.keys, version.model, facts.now_us) if name not in one.signed_by]
        rows.append(
            ProposalRow(
                id=one.id,
                model=version.model,
                version=version.version,
                rows=f"{one.rows:,}",
                put=When.of(one.created_us, facts.now_us),
                by=str(one.created_by),
                signed=f"{len(one.signed_by)} of {need}, by {listed(one.signed_by)}",
                waits_for=listed(fit),
                mine=viewer.may(Scope.OPERATE) and viewer.actor not in one.signed_by,
                moved=tuple(f"{warning['column'] or 'columns'}: {warning['text']}" for warning in moved[:MOVED_SHOWN]),
                moved_left=max(0, len(moved) - MOVED_SHOWN),
            )
        )
    return tuple(rows)

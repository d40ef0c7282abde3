"""What reviews need from the store: reads of what waits for people, and one write transaction beside ``ControlTx``."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from service.domain.enforcement import Enforcement
from service.domain.ids import Micros, VersionId
from service.domain.records import TimelineItem
from service.domain.reviews import Glass, Proposal, Review, ReviewFigures
from service.ports import ControlTx


class ReviewTx(Protocol):
    """One write transaction of a person; it holds the store's write lock, like ``ControlTx``."""

    @property
    def control(self) -> ControlTx:
        """The rest of what people write, in the same transaction."""

    def quarantine(self, version_id: VersionId) -> Enforcement | None:
        """Return the quarantine that a version is in."""

    def glasses(self, version_id: VersionId, quarantine: int) -> Sequence[Glass]:
        """Return how often the glass was broken in one quarantine, oldest first."""

    def add_glass(self, glass: Glass) -> None:
        """Insert it; the gate obeys at the next look."""

    def end_glass(self, glass: Glass) -> bool:
        """Write down its end; False when somebody else has."""

    def tell_incident(self, incident_id: str, item: TimelineItem) -> None:
        """Add to an incident's timeline, and with it to the audit chain."""

    def able(self, model: str, now_us: Micros) -> frozenset[str]:
        """Return the names of the keys that may decide about a model."""

    def review(self, version_id: VersionId) -> Review | None:
        """Return what was decided about the version's newest review."""

    def save_review(self, review: Review) -> None:
        """Keep it in place of the one before."""

    def proposal(self, proposal_id: str) -> Proposal | None:
        """Return one, with its artefact."""

    def promises(self, baseline_id: str) -> bool:
        """Return whether a baseline supports a promise about false alarms, as far as that was worked out."""

    def waiting(self, version_id: VersionId) -> int:
        """Return how many baselines of a version are proposed."""

    def add_proposal(self, proposal: Proposal) -> None:
        """Insert it, and forget the oldest settled ones."""

    def save_proposal(self, proposal: Proposal) -> None:
        """Update who has signed it, or how it was settled."""


class ReviewStore(Protocol):
    """Reviews, broken glass and proposed baselines. Every list is bounded."""

    def write(self) -> AbstractContextManager[ReviewTx]:
        """Open a write transaction."""

    def glasses_open(self) -> Sequence[Glass]:
        """Return those whose end is not written down."""

    def glasses(self, version_id: VersionId, limit: int) -> Sequence[Glass]:
        """Return the breakings of a version's glass, newest first."""

    def reviews(self) -> Mapping[VersionId, Review]:
        """Return what was decided about the newest review of each version."""

    def proposals(self, version_id: VersionId, limit: int) -> Sequence[Proposal]:
        """Return the proposals of a version without their artefacts, those that wait first, then the newest."""

    def figures(self) -> ReviewFigures:
        """Return what the metrics show."""

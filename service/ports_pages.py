"""What pages that list and compare ask of the store: parts of long lists, by what somebody looks for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.domain.enforcement import Enforcement
from service.domain.ids import Actor, Micros, VersionId
from service.domain.policy import Cause
from service.domain.records import AuditEntry, Incident, IncidentStatus, Severity
from service.domain.reviews import Proposal

Models = frozenset[str] | None
"""Names of the models that somebody may see; ``None`` for every one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentsWanted:
    """Which incidents somebody looks for; what is ``None`` is no condition."""

    models: Models = None
    statuses: frozenset[IncidentStatus] | None = None
    severity: Severity | None = None
    model: str | None = None
    cause: Cause | None = None
    assignee: str | None = None
    versions: frozenset[VersionId] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentsFound:
    """A part of the incidents that somebody looks for."""

    rows: Sequence[Incident]
    total: int
    """Of all parts together."""
    by_status: Mapping[IncidentStatus, int]
    """How many there are of each status, whatever status is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """An earlier incident of the same cause, and the columns that were blamed in it."""

    incident: Incident
    columns: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditWanted:
    """Which links of the audit chain somebody looks for; what is ``None`` is no condition."""

    models: Models = None
    """For a key of some models: only links about these."""
    actor: str | None = None
    model: str | None = None
    action: str | None = None
    """The whole name, or its beginning up to a dot: ``incident`` finds ``incident.ack``."""
    since_us: Micros | None = None
    until_us: Micros | None = None
    """Not included."""
    before: int | None = None
    """Only links with smaller numbers."""
    after: int | None = None
    """Only links with larger numbers; the nearest ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditNames:
    """What can be looked for in the audit chain."""

    actors: Sequence[str]
    actions: Sequence[str]


class PageStore(Protocol):
    """Reads for pages. Every list is bounded."""

    def incidents(self, wanted: IncidentsWanted, limit: int, offset: int) -> IncidentsFound:
        """Return a part of the incidents looked for: those nobody has resolved first, the worst first, newest first."""

    def alike(self, incident: Incident, names: Models, limit: int) -> Sequence[Alike]:
        """Return earlier incidents of the same cause but merged ones: of the version, of the model, then newest first.

        ``names`` are those of the models that may be seen.
        """

    def audit(self, wanted: AuditWanted, limit: int) -> Sequence[AuditEntry]:
        """Return links of the audit chain, newest first."""

    def audit_names(self, limit: int) -> AuditNames:
        """Return who has done something, and what was done, by name."""

    def proposals(self, limit: int) -> Sequence[Proposal]:
        """Return the baselines of all versions that wait for people, oldest first, without their artefacts."""

    def proposal(self, proposal_id: str) -> Proposal | None:
        """Return one, with its artefact."""

    def approvals(self) -> Mapping[VersionId, Sequence[Actor]]:
        """Return who has asked for the pending release of each version, in order."""

    def enforcement(self, version_id: VersionId) -> Enforcement | None:
        """Return whether the newest quarantine of a version is obeyed."""

    def events_since(self, version_id: VersionId, since_us: Micros) -> int:
        """Return how many events a version has had since a minute."""


class KeyUses(Protocol):
    """When keys were last used, to the minute."""

    def uses(self) -> Mapping[str, Micros]:
        """Return when each key that was ever used was used last, by its id."""

    def note_uses(self, used: Mapping[str, Micros]) -> None:
        """Write down when keys were used; a key that is gone is left out, and no time goes back."""

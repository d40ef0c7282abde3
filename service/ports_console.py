"""What only the console's pages ask of the store: every answer is bounded, and small whatever there is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.domain.ids import Actor, Micros, VersionId
from service.domain.records import Incident, Model, Severity, Snapshot, Version
from service.domain.redteam import RedTeamRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Every version as the process knows it without asking the store: at most a second old."""

    revision: int
    models: Mapping[str, Model]
    versions: Sequence[Version]
    """Oldest first."""
    snapshots: Mapping[VersionId, Snapshot]
    """Without their ``blob``."""
    read_us: Micros
    """When the store was last asked; it has not answered since when this is long ago."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unresolved:
    """The unresolved incidents of a version."""

    version_id: VersionId
    incidents: int
    severity: Severity
    """Of the worst of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoursePoint:
    """One minute or hour of a version, without its histograms."""

    start_us: Micros
    baseline_id: str
    events: int
    evidence_log_max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineMark:
    """When a version got a baseline."""

    id: str
    digest: str
    rows: int
    created_us: Micros
    created_by: Actor


class Looking(Protocol):
    """The questions."""

    def unresolved(self) -> Sequence[Unresolved]:
        """Return the versions that have unresolved incidents."""

    def course(self, version_id: VersionId, level: str, first_us: Micros, last_us: Micros) -> Sequence[CoursePoint]:
        """Return the windows that start within [first, last], oldest first, at most 10,000."""

    def baselines(self, version_id: VersionId, limit: int) -> Sequence[BaselineMark]:
        """Return the baselines of a version, newest first."""

    def incidents_within(
        self, version_id: VersionId, first_us: Micros, last_us: Micros, limit: int
    ) -> Sequence[Incident]:
        """Return the incidents of a version that were unresolved at some time within [first, last], newest first."""

    def redteam(self, version_id: VersionId) -> RedTeamRun | None:
        """Return the latest red-team run of a version."""

"""Whether a quarantine is obeyed: when a gateway first refused, and whether the version still serves all the same."""

from dataclasses import dataclass

from service.domain.ids import Micros, VersionId


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforcement:
    """One quarantine of one version."""

    version_id: VersionId
    lock: int
    """The version's lock that the quarantine was written under; with the version it names the quarantine."""
    quarantined_us: Micros
    incident_id: str | None
    enforced_us: Micros | None = None
    """When the gate first kept a request from the version: the gateway that asked has heard of the quarantine."""
    decision_id: str | None = None
    """Of that answer."""
    overdue_us: Micros | None = None
    """Since when people know that events still come after the deadline; ``None`` again once they have stopped."""
    ended_us: Micros | None = None
    """When the version was released, rolled back or retired."""

    @property
    def seconds(self) -> float | None:
        """From the quarantine to the first refusal; ``None`` before it."""
        return None if self.enforced_us is None else max(0.0, (self.enforced_us - self.quarantined_us) / 1e6)

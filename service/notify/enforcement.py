"""A quarantine that is not obeyed, as a notice: it fires until no event comes any more."""

from service.domain.enforcement import Enforcement
from service.domain.ids import Micros
from service.domain.notices import Kind
from service.domain.records import Severity, Version
from service.notify.compose import Notice, time_of


def quarantine_not_enforced(one: Enforcement, version: Version, text: str, at_us: Micros, *, firing: bool) -> Notice:
    """Say that a version in quarantine still serves, or that it no longer does."""
    incident = {} if one.incident_id is None else {"incident_id": one.incident_id}
    enforced = {} if one.enforced_us is None else {"enforced_at": time_of(one.enforced_us)}
    still = "still serves although it is in quarantine" if firing else "no longer serves in quarantine"
    return Notice(
        kind=Kind.NOT_ENFORCED,
        key=f"{version.id}:{one.lock}:{at_us}",
        version=version,
        summary=f"{version.model} {version.version} {still}",
        description=text,
        at_us=at_us,
        firing=firing,
        labels={},
        annotations={"severity": Severity.HIGH, "quarantined_at": time_of(one.quarantined_us), **enforced, **incident},
    )

"""The evidence of an incident, as it was when the incident was opened. Pure: nothing is written here."""

import math
from collections.abc import Sequence

import msgspec

from service.domain.incidents import Frozen, FrozenColumn, FrozenHistogram
from service.domain.policy import Policy
from service.domain.records import Alert, BaselineRecord, ColumnFinding, Incident, Version

BYTES_MAX = 256 * 1024
"""Of the JSON; histograms of the columns with the least evidence are left out of what is larger."""


def freeze(
    incident: Incident,
    alert: Alert,
    version: Version,
    policy: Policy,
    baseline: BaselineRecord | None,
    histograms: Sequence[FrozenHistogram] = (),
) -> Frozen:
    """Return the evidence to keep; histograms come in the order of the evidence, strongest first."""
    shown = {one.name for one in histograms}
    use = alert.adversarial
    frozen = Frozen(
        incident_id=incident.id,
        version_id=version.id,
        cause=incident.cause,
        at_us=incident.opened_us,
        position=alert.position,
        state=version.state,
        reason=alert.reason,
        log_evidence=_finite(alert.evidence_log),
        log_threshold=_finite(alert.threshold_log),
        columns=tuple(_column(one) for one in alert.columns),
        histograms=tuple(histograms),
        left_out=tuple(one.words for one in alert.columns if one.segment is not None or one.name not in shown),
        principals=() if use is None else use.principals,
        adversarial=None if use is None else msgspec.to_builtins(use),
        baseline_id=None if baseline is None else baseline.id,
        baseline_digest=None if baseline is None else baseline.digest,
        policy=policy,
    )
    while frozen.histograms and len(msgspec.json.encode(frozen)) > BYTES_MAX:
        *kept, last = frozen.histograms
        left_out = (*frozen.left_out, last.name)
        frozen = msgspec.structs.replace(frozen, histograms=tuple(kept), left_out=left_out)
    return frozen


def baseline_at(records: Sequence[BaselineRecord], position: int) -> BaselineRecord | None:
    """Return the baseline in force for an entry; ``records`` are in the order of where they begin."""
    return next((one for one in reversed(records) if one.from_position < position), None)


def _column(finding: ColumnFinding) -> FrozenColumn:
    return FrozenColumn(
        name=finding.name,
        segment=finding.segment,
        group=finding.group,
        direction=finding.direction,
        log_evidence=_finite(finding.evidence_log),
        since_us=finding.since_us,
    )


def _finite(log: float) -> float | None:
    return log if math.isfinite(log) else None

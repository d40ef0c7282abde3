"""What a worker would have written about a version."""

import json
import math

from service.domain.ids import Micros, Position, VersionId
from service.domain.records import Snapshot

EFFECTS = ("psi", "js", "ks", "wasserstein", "hellinger", "chi2")


def a_column(name: str, log_evidence: float | None = 0.0, *, psi: float | None = 0.1) -> dict[str, object]:
    effects = {**dict.fromkeys(EFFECTS, 0.0), "psi": psi, "ks": None}
    return {
        "name": name,
        "kind": "numeric",
        "group": "feature",
        "log_evidence": log_evidence,
        "since_us": None,
        "direction": None,
        "effects": dict.fromkeys(("1m", "5m", "1h", "1d"), effects),
        "intervals": {"1h": {"psi": None if psi is None else (psi / 2, psi * 2), "ks": None}},
    }


def a_snapshot(
    number: int = 1,
    *columns: dict[str, object],
    log_evidence: float | None = 1.0,
    last_arrival_us: int = 0,
    monitoring: str = "watching",
) -> Snapshot:
    status = {
        "monitoring": monitoring,
        "events_total": 10,
        "last_arrival_us": last_arrival_us,
        "log_evidence": log_evidence,
        "ticks": 5,
        "columns": columns,
    }
    return Snapshot(
        version_id=VersionId(number),
        baseline_id="b",
        position=Position(7),
        events_total=10,
        labels_total=3,
        leaks_total=2,
        evidence_log=-math.inf if log_evidence is None else log_evidence,
        threshold_log=14.8,
        blob=b"",
        status=json.dumps(status),
        updated_us=Micros(0),
    )

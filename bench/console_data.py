"""What stands beside models and incidents in the benchmark of the console: runs, proposals, windows, reports, hours."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, insert

from service.domain.ids import derived_id
from service.domain.reports import ReportColumn, ReportFacts
from service.store import tables
from service.store.audit import canonical
from service.store.tables_incidents import maintenance
from service.store.tables_reports import reports
from service.store.tables_review import proposals

Row = dict[str, Any]
RUNS, ATTACKS, BENIGN, SCENARIOS = 200, 40, 15, 25
PROPOSALS, WINDOWS, REPORTS = 200, 500, 100
HOURS = 720
MINUTE_US, HOUR_US, DAY_US = 60_000_000, 3_600_000_000, 86_400_000_000


def fill_beside(connection: Connection, template: Row, now_us: int, models: int) -> None:
    """Add everything; ``template`` is the row of a baseline, as the service wrote it."""
    numbers = range(1, models + 1)
    connection.execute(insert(tables.redteam_runs), [_run(i, now_us) for i in numbers[:RUNS]])
    connection.execute(insert(proposals), [_proposal(i, template, now_us) for i in numbers[:PROPOSALS]])
    connection.execute(insert(maintenance), [_window(i, now_us) for i in numbers[:WINDOWS]])
    connection.execute(insert(reports), [_report(n, min(100, models), now_us) for n in range(REPORTS)])


def fill_hours(connection: Connection, template: Row, now_us: int, versions: Sequence[int]) -> None:
    """Give versions whose pages nobody asks for a month of hours that count as watched, without histograms."""
    newest = now_us // HOUR_US * HOUR_US
    bare = {**template, "level": "1h", "column_evidence": b"", "counts": b""}
    for version in versions:
        own = {**bare, "version_id": version, "baseline_id": f"b{version}"}
        starts = (newest - back * HOUR_US for back in range(2, HOURS))
        connection.execute(insert(tables.windows), [{**own, "start_us": start} for start in starts])


def _rate(hits: int, trials: int) -> Row:
    share = hits / trials
    return {"hits": hits, "trials": trials, "low": max(0.0, share - 0.1), "high": min(1.0, share + 0.1)}


def _run(version: int, now_us: int) -> Row:
    evade = [{"id": "AML.T0015", "name": "Evade AI Model"}]
    attacks = [
        {
            "victim": "digits", "attack": f"a{n}", "title": f"Attack number {n}",
            "family": ("score", "decision")[n % 2],
            "techniques": evade, "sessions": 20, "errors": 0, "successes": 20, "timely": _rate((n * version) % 21, 20),
            "by_intent": _rate(n % 21, 20), "seen": _rate(n % 21, 20), "queries_median": 900.0,
            "tiers": {"probing": 9}, "campaigns": 1, "blind": (n * version) % 21 < 10,
        }
        for n in range(ATTACKS)
    ]  # fmt: skip
    benign = [
        {
            "victim": "digits", "workload": f"w{n}", "title": f"Workload number {n}", "kind": "ordinary",
            "sessions": 100, "errors": 0, "alarmed": _rate(n, 100), "tiers": {},
        }
        for n in range(BENIGN)
    ]  # fmt: skip
    scenarios = [
        {
            "scenario": f"s{n}", "title": f"Scenario number {n}", "stride": ["Tampering"], "techniques": [],
            "defence": "evidence goes by arrival", "outcome": "held" if n % 9 else "broken", "checks": 3,
            "failed": 0 if n % 9 else 1, "evidence": ["held: the past: 0 points"], "error": "",
        }
        for n in range(SCENARIOS)
    ]  # fmt: skip
    summary = {
        "plan": "nightly", "seed": version, "complete": True, "done": 80, "total": 80, "attacks": attacks,
        "benign": benign, "scenarios": scenarios, "skipped": [["digits", "lowprofool"]], "errors": [],
    }  # fmt: skip
    text = msgspec.json.encode(summary).decode()
    return {"version_id": version, "at_us": now_us - version * HOUR_US, "actor": "ada", "summary": text}


def _proposal(version: int, template: Row, now_us: int) -> Row:
    moved = [{"column": "", "code": "moved", "text": "12 of 27 columns differ from the baseline before"}]
    return {
        "id": derived_id("proposal", version), "version_id": version, "replaces": f"b{version}",
        "digest": template["digest"], "signature": template["signature"], "artefact": template["artefact"],
        "rows": template["rows"], "columns": template["columns"], "warnings": msgspec.json.encode(moved).decode(),
        "calibration": None, "signed_by": '["bob"]', "status": "proposed", "created_us": now_us - version * MINUTE_US,
        "created_by": "bob", "settled_us": None, "settled_by": None, "reason": "",
    }  # fmt: skip


def _window(model: int, now_us: int) -> Row:
    start = now_us + (model - 50) * MINUTE_US
    return {
        "id": derived_id("window", model), "model_id": model, "start_us": start, "end_us": start + HOUR_US,
        "quarantine": model % 2 == 0, "reason": "the camera is moved", "created_us": now_us - HOUR_US,
        "created_by": "ada", "cancelled_us": None,
    }  # fmt: skip


def _report(number: int, version: int, now_us: int) -> Row:
    end = now_us - number * HOUR_US
    columns = tuple(
        ReportColumn(name=f"n{n:02}", kind="numeric", drifted=n < 3, method="ks", score=0.01, threshold=0.0004)
        for n in range(25)
    )
    facts = ReportFacts(
        current_rows=1_000, reference_rows=1_000, current_seen=90_000, reference="traffic", from_us=end - HOUR_US,
        to_us=end, reference_from_us=end - 9 * HOUR_US, reference_to_us=end - HOUR_US, cut=False, frozen=False,
        left_out={"email": "looks like an identifier"}, columns=columns, renderer="evidently 0.7", seconds=11.0,
    )  # fmt: skip
    return {
        "id": derived_id("report", number), "version_id": version, "incident_id": None, "status": "done",
        "from_us": end - HOUR_US, "to_us": end, "requested_us": end, "requested_by": "ada",
        "until_us": end + 30 * DAY_US,
        "started_us": end + 1, "ended_us": end + 2, "owner": None, "lease_until_us": None, "detail": "",
        "facts": canonical(facts), "key_id": "none", "rows": b"-", "html": b"-", "json": b"-",
    }  # fmt: skip

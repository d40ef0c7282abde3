"""Times the console's pages over a fleet of 1,000 models and 10,000 incidents: ``python -m bench.console``.

One version is registered, judged and measured by a running service; its rows are copied, so that every page is made
from what the service itself wrote. Pages are asked for one after the other, in this process, from the request to the
last byte of the answer: what is measured is the server's time, without a network and without a browser. Meanwhile the
service's own threads read the fleet and the figures as they always do.
"""

import argparse
import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
from sqlalchemy import Connection, create_engine, insert, select

from bench import console_data
from bench.processes import Service, SetupFailed, call, service
from bench.report import table
from bench.run import describe_machine
from bench.work import ARROW, CATEGORICAL, MODEL, NUMERIC, VERSION, make_stream
from service.app import create_app
from service.clock import SystemClock
from service.domain.ids import Actor, Micros, derived_id
from service.settings import Settings
from service.store import open_store, tables
from service.store.audit import GENESIS, link
from service.wiring import build_runtime

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks-console.md"
MODELS, INCIDENTS, UNRESOLVED, AUDIT = 1_000, 10_000, 200, 20_000
BODIES, ROWS = 12, 1_000
DEEP = 3
"""Versions with a month of windows; the others have their last minutes."""
MINUTE_US, HOUR_US, DAY_US = 60_000_000, 3_600_000_000, 86_400_000_000
MINUTES, HOURS = 1_440, 720
OWNERS = ("imaging", "fraud", "credit", "search", "ads", "risk", "maps", "voice", "care", "supply", "growth", "trust")
BUDGET_MS, BUDGET_BYTES = 150.0, 200_000
STATES = {0: "quarantined", 1: "under_review", 2: "suspect"}
"""Of the first versions in a hundred; the rest is active."""
STEPS = {
    "quarantined": (("active", "suspect", "suspect"), ("suspect", "quarantine", "quarantined")),
    "under_review": (
        ("active", "suspect", "suspect"),
        ("suspect", "quarantine", "quarantined"),
        ("quarantined", "start_review", "under_review"),
    ),
    "suspect": (("active", "suspect", "suspect"),),
    "active": (),
}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Template:
    """The rows of one version, as the service wrote them."""

    model: Row
    version: Row
    baseline: Row
    calibration: Row
    snapshot: Row
    window: Row


@dataclass(frozen=True, slots=True)
class Timing:
    """How one page did."""

    path: str
    status: int
    median_ms: float
    """From the request to the last byte, by the clock."""
    slowest_ms: float
    processor_ms: float
    """Median of what the process computed meanwhile, its background threads included."""
    size: int


def make_template(folder: Path) -> Template:
    """Run the service on one version and return what it wrote."""
    reference = make_stream(20_000, seed=1)
    stream = make_stream(BODIES * ROWS, seed=2)
    with service(folder / "template", reference, core=1) as running:
        _send(running, stream)
        engine = create_engine(f"sqlite:///{folder / 'template' / 'state.db'}")
        with engine.connect() as connection:
            found = Template(
                model=_first(connection, "models"),
                version=_first(connection, "versions"),
                baseline=_first(connection, "baselines"),
                calibration=_first(connection, "calibrations"),
                snapshot=_first(connection, "snapshots"),
                window=_first(connection, "windows"),
            )
        engine.dispose()
    return found


def _send(running: Service, stream: Any) -> None:
    target = f"/v1/models/{MODEL}/versions/{VERSION}/events"
    for number in range(BODIES):
        body = ARROW.write(stream, slice(number * ROWS, (number + 1) * ROWS))
        call(running.port, "POST", target, key=running.key, body=body, content_type=ARROW.content_type)
        time.sleep(0.3)
    deadline = time.perf_counter() + 60
    while running.events() < BODIES * ROWS:
        if time.perf_counter() > deadline:
            raise SetupFailed("the worker did not take the events")
        time.sleep(0.1)


def _first(connection: Connection, name: str) -> Row:
    row = connection.execute(select(tables.metadata.tables[name])).mappings().first()
    if row is None:
        raise SetupFailed(f"the service wrote nothing into {name}")
    return dict(row)


def make_store(data: Path, template: Template, now_us: int, models: int, incidents: int) -> None:
    """Fill a fresh store with copies of the template."""
    data.mkdir(parents=True)
    open_store(f"sqlite:///{data / 'state.db'}", timeout_seconds=30).close()
    engine = create_engine(f"sqlite:///{data / 'state.db'}")
    with engine.begin() as connection:
        _fill_versions(connection, template, now_us, models)
        _fill_windows(connection, template, now_us, models)
        _fill_incidents(connection, now_us, models, incidents)
        console_data.fill_beside(connection, template.baseline, now_us, models)
        _fill_audit(connection, now_us)
    engine.dispose()


def _state(number: int) -> str:
    return STATES.get(number % 100, "active")


def _fill_versions(connection: Connection, template: Template, now_us: int, models: int) -> None:
    rows: dict[str, list[Row]] = {name: [] for name in ("models", "versions", "baselines", "calibrations", "snapshots")}
    status = msgspec.json.decode(template.snapshot["status"])
    columns = status["columns"]
    for i in range(1, models + 1):
        name, state = f"model-{i:04d}", _state(i)
        rows["models"].append({**template.model, "id": i, "name": name, "owner": OWNERS[i % len(OWNERS)]})
        since = now_us - i * MINUTE_US
        own = {"id": i, "model_id": i, "state": state, "since_us": since, "lock": len(STEPS[state])}
        rows["versions"].append({**template.version, **own, "version": "2026-11-02", "created_us": now_us - 9 * DAY_US})
        base = {"seq": i, "id": f"b{i}", "version_id": i, "created_us": now_us - 8 * DAY_US}
        rows["baselines"].append({**template.baseline, **base})
        rows["calibrations"].append({**template.calibration, "baseline_id": f"b{i}"})
        evidence = 18.0 if state != "active" else (i % 140) / 10.0
        moved = [{**one, "log_evidence": evidence * (1 - j / len(columns))} for j, one in enumerate(columns)]
        told = {**status, "columns": moved, "log_evidence": evidence, "last_arrival_us": now_us - i * 100_000}
        snapshot = {"version_id": i, "baseline_id": f"b{i}", "evidence_log": evidence, "updated_us": now_us}
        rows["snapshots"].append({**template.snapshot, **snapshot, "status": msgspec.json.encode(told).decode()})
    for table_name, found in rows.items():
        connection.execute(insert(tables.metadata.tables[table_name]), found)
    connection.execute(insert(tables.transitions), _transitions(now_us, models))


def _transitions(now_us: int, models: int) -> list[Row]:
    return [
        {
            "version_id": i, "lock": lock, "before": before, "event": event, "after": after, "actor": "lazaretto",
            "reason": "confirmed in 2 of 2 consecutive evaluations", "position": 1, "incident_id": None,
            "at_us": now_us - (3 - lock) * 20 * MINUTE_US,
        }
        for i in range(1, models + 1)
        for lock, (before, event, after) in enumerate(STEPS[_state(i)])
    ]  # fmt: skip


def _fill_windows(connection: Connection, template: Template, now_us: int, models: int) -> None:
    def rows(version: int, level: str, width: int, number: int) -> list[Row]:
        newest = now_us // width * width
        return [
            {**template.window, "version_id": version, "level": level, "baseline_id": f"b{version}",
             "start_us": newest - back * width, "evidence_log": back % 70 / 10, "evidence_log_max": back % 90 / 10}
            for back in range(number)
        ]  # fmt: skip

    # The urgent one, whose page is measured, has all its windows.
    deep = [100, *range(1, DEEP)]
    for version in range(1, models + 1):
        whole = version in deep
        connection.execute(insert(tables.windows), rows(version, "1m", MINUTE_US, MINUTES if whole else 3))
        connection.execute(insert(tables.windows), rows(version, "1h", HOUR_US, HOURS if whole else 2))
    bare = [one for one in range(1, models + 1) if one not in deep]
    console_data.fill_hours(connection, template.window, now_us, bare)


def _fill_incidents(connection: Connection, now_us: int, models: int, incidents: int) -> None:
    rows, alerts, timeline = [], [], []
    for i in range(incidents):
        version = (i * 37) % models + 1 if i >= UNRESOLVED else 100 * (i % (models // 100)) + 100
        opened, open_one = now_us - i * 5 * MINUTE_US, i < UNRESOLVED
        identity, cause = derived_id("bench", i), ("data_drift", "data_quality", "latency", "traffic")[i % 4]
        rows.append({
            "id": identity, "version_id": version, "cause": cause,
            "title": f"{cause} in model-{version:04d} 2026-11-02",
            "status": "open" if open_one else "resolved", "assignee": None, "note": None, "lock": 0,
            "verdict": None if open_one else ("real drift", "data bug", "benign", "false alarm")[i % 4],
            "opened_us": opened, "acknowledged_us": None, "resolved_us": None if open_one else opened + HOUR_US,
            "severity": ("low", "medium", "high")[i % 3],
        })  # fmt: skip
        alerts.append({
            "id": derived_id("alert", i), "version_id": version, "cause": cause, "status": "closed",
            "reason": "evidence above the threshold", "evidence_log": 18.0, "threshold_log": 14.7, "confirmations": 2,
            "columns": "[]", "since_us": opened - MINUTE_US, "opened_us": opened, "closed_us": opened + HOUR_US,
            "position": 1, "incident_id": identity, "subject": "", "adversarial": None,
        })  # fmt: skip
        timeline += [
            {"incident_id": identity, "at_us": opened + k * MINUTE_US, "actor": "ada", "kind": kind, "body": "looking"}
            for k, kind in enumerate(("opened", "ack", "comment"))
        ]
    connection.execute(insert(tables.incidents), rows)
    connection.execute(insert(tables.alerts), alerts)
    connection.execute(insert(tables.timeline), timeline)


def _fill_audit(connection: Connection, now_us: int) -> None:
    digest, rows = GENESIS, []
    for seq in range(1, AUDIT + 1):
        entry = link(
            digest, seq, Micros(now_us - (AUDIT - seq) * MINUTE_US), Actor("ada"), "incident.ack", f"i{seq}", "{}"
        )
        digest = entry.digest
        rows.append({name: getattr(entry, name) for name in tables.audit.c.keys()})  # noqa: SIM118 - columns, not a dict
    connection.execute(insert(tables.audit), rows)


def make_key(data: Path) -> str:
    """Make a key that may read and act."""
    words = [sys.executable, "-m", "service", "keys", "create", "--data-dir", str(data)]
    words += ["--name", "ada", "--scopes", "read,operate,admin", "--json"]
    made = subprocess.run(words, capture_output=True, check=True, cwd=PAGE.parents[1])
    key: str = msgspec.json.decode(made.stdout)["key"]
    return key


async def measure(data: Path, key: str, paths: Sequence[str], times: int) -> list[Timing]:
    """Ask for every page so many times, one after the other."""
    runtime = build_runtime(Settings(data_dir=data, log_level="ERROR"))
    runtime.start()
    app = create_app(runtime)
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bench") as client:
            token = re.search(r'name="form_token" value="([^"]+)"', (await client.get("/login")).text)
            if token is None:
                raise SetupFailed("the login page has no form")
            signed = await client.post("/login", data={"form_token": token[1], "key": key})
            if signed.status_code != 303:
                raise SetupFailed(f"nobody could sign in: {signed.status_code}")
            return [await _time(client, path, times) for path in paths]
    finally:
        await runtime.close()


async def _time(client: httpx.AsyncClient, path: str, times: int) -> Timing:
    spent, computed = [], []
    answer = await client.get(path)
    for _ in range(2):
        answer = await client.get(path)
    for _ in range(times):
        began, worked = time.perf_counter(), time.process_time()
        answer = await client.get(path)
        spent.append(1e3 * (time.perf_counter() - began))
        computed.append(1e3 * (time.process_time() - worked))
    median, processor = statistics.median(spent), statistics.median(computed)
    return Timing(path, answer.status_code, median, max(spent), processor, len(answer.content))


def paths_of(models: int) -> list[str]:
    """Return the addresses that are measured."""
    urgent = f"/models/model-{min(100, models):04d}/versions/2026-11-02"
    return [
        "/", "/fleet", "/fleet?show=attention", "/fleet?sort=evidence&page=20", "/fleet?q=fraud&sort=last",
        f"/models/model-{min(100, models):04d}", urgent, f"{urgent}?span=1d", f"{urgent}?span=30d&window=1d",
        f"{urgent}/reports", f"/reports/{derived_id('report', 0)}",
        f"/incidents/{derived_id('bench', 0)}", f"/incidents/{derived_id('bench', 0)}/report", "/incidents",
        "/incidents?status=resolved&page=50", "/reviews", f"/reviews/baselines/{derived_id('proposal', 1)}",
        "/maintenance", "/quality", "/quality?days=365", "/red-team", "/red-team?run=model-0001/2026-11-02", "/audit",
        "/audit?action=incident", "/settings", "/runbooks/data_drift",
    ]  # fmt: skip


def _kept(broken: Sequence[Timing]) -> str:
    return f"not kept by {', '.join(f'`{one.path}`' for one in broken)}" if broken else "kept by every page"


def render(timings: Sequence[Timing], models: int, incidents: int, times: int, busy: float) -> str:
    """Return the page of documentation."""
    machine = ", ".join(f"{name} {value}" for name, value in describe_machine().items())
    rows = [
        [
            f"`{one.path}`",
            *(f"{ms:.0f}" for ms in (one.processor_ms, one.median_ms, one.slowest_ms)),
            f"{one.size / 1000:.0f}",
        ]
        for one in timings
    ]
    large = [one for one in timings if one.size >= BUDGET_BYTES]
    verdict = (
        f"The budget is {BUDGET_MS:.0f} ms and {BUDGET_BYTES // 1000} kB a page. By what they compute: "
        f"{_kept([one for one in timings if one.processor_ms >= BUDGET_MS])}; by the clock: "
        f"{_kept([one for one in timings if one.median_ms >= BUDGET_MS])}; by their size: {_kept(large)}."
    )
    work = (
        f"{models:,} models of one version with {len(NUMERIC) + len(CATEGORICAL)} features each, {incidents:,} "
        f"incidents, {AUDIT:,} audited changes, {console_data.RUNS} red-team runs, {console_data.PROPOSALS} proposed "
        f"baselines, {console_data.WINDOWS} windows of maintenance, {console_data.REPORTS} reports and a month of "
        f"hours of each model, in SQLite. Server time of {times} requests one after the other, from "
        "the request to the last byte, in one process, while its own threads keep the fleet and the figures current: "
        "the median of what the process computed, and of what the clock says, which other programs lengthen. "
        "`python -m bench.console` writes this page."
    )
    said = (
        work,
        verdict,
        table(["page", "processor, ms", "clock, ms", "slowest, ms", "kB"], rows),
        f"Measured on: {machine}; {busy:.1f} other programs wanted a processor at the same time (load average).",
    )
    return "\n\n".join(("# The console's pages, timed", *said)) + "\n"


def main(arguments: list[str]) -> int:
    """Measure, print, and write the page; not while a page does not answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=MODELS)
    parser.add_argument("--incidents", type=int, default=INCIDENTS)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--keep", type=Path, help="folder to keep the store in; one that is there is used again")
    parser.add_argument("--print", action="store_true", help="print the page instead of writing it")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        data = (asked.keep or Path(scratch)) / "data"
        if not data.exists():
            template = make_template(Path(scratch))
            make_store(data, template, SystemClock().now_us(), asked.models, asked.incidents)
        busy = os.getloadavg()[0]
        timings = asyncio.run(measure(data, make_key(data), paths_of(asked.models), asked.times))
    broken = [one for one in timings if one.status != 200]
    for one in broken:
        print(f"{one.path}: {one.status}", file=sys.stderr)
    if broken:
        return 1
    text = render(timings, asked.models, asked.incidents, asked.times, busy)
    if asked.print:
        print(text)
    else:
        PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

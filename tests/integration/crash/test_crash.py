"""Kill the API and the worker a hundred times under load: nothing acknowledged is lost, nothing is counted twice."""

import random
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from service.domain.ids import Micros
from service.store import open_store
from tests.integration.crash.load import COLUMNS, COUNTRIES, Client, Tally
from tests.integration.crash.plant import Plant

KILLS = 100
CLIENTS = 4
API_SHARE = 0.4
"""The API takes longer to come back, so it is struck a little less often."""
SEED = 20_261_123
DRAIN_SECONDS = 180.0
MODEL, VERSION = "fraud-scorer", "2026-11-02"
SCHEMA = {
    "features": [{"name": name, "kind": "numeric"} for name in COLUMNS] + [{"name": "country", "kind": "categorical"}],
    "prediction": {"kind": "class", "classes": ["fraud", "ok"]},
}


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    plant = Plant(tmp_path / "data")
    try:
        yield plant
    finally:
        plant.stop()


def reference() -> bytes:
    """Return 2,000 rows of ordinary traffic as CSV."""
    generator = np.random.default_rng(SEED)
    values = generator.normal(0, 1, size=(2_000, len(COLUMNS)))
    countries = generator.choice(COUNTRIES, size=2_000)
    lines = [",".join([*map(repr, row), country]) for row, country in zip(values.tolist(), countries, strict=True)]
    return "\n".join([",".join([*COLUMNS, "country"]), *lines]).encode()


def prepare(plant: Plant) -> str:
    """Register a model with a version and a baseline; return the ingest key."""
    admin = {"Authorization": f"Bearer {plant.key('ada', 'admin,read,operate')}"}
    ingest = plant.key("server", "ingest")
    plant.start("api")
    plant.wait_alive()
    with httpx.Client(base_url=plant.url, headers=admin, timeout=60) as http:
        http.post("/v1/models", json={"name": MODEL, "owner": "risk"}).raise_for_status()
        made = http.post(f"/v1/models/{MODEL}/versions", json={"version": VERSION, "schema": SCHEMA})
        made.raise_for_status()
        put = http.put(
            f"/v1/models/{MODEL}/versions/{VERSION}/baseline",
            content=reference(),
            headers={"Content-Type": "text/csv"},
        )
        put.raise_for_status()
    plant.kill("api")
    plant.kills["api"] = 0
    return ingest


def storm(plant: Plant, ingest: str) -> Tally:
    """Send from several clients while the two processes are killed at random points."""
    chance = random.Random(SEED)
    stop, drift, tally = threading.Event(), threading.Event(), Tally()
    url = f"{plant.url}/v1/models/{MODEL}/versions/{VERSION}/events"
    clients = [Client(number, url, ingest, tally, stop, drift) for number in range(CLIENTS)]
    for role in ("api", "worker"):
        plant.start(role)
    plant.wait_alive()
    for client in clients:
        client.start()
    for kill in range(KILLS):
        role = "api" if chance.random() < API_SHARE else "worker"
        # Every kill happens under load: wait until both have moved since the last one, then strike at a random moment.
        wait_for_work(plant.data_dir, tally)
        time.sleep(chance.random() * 0.3)
        plant.kill(role)
        plant.start(role)
        if kill == KILLS * 3 // 4:
            drift.set()
    stop.set()
    for client in clients:
        client.join(timeout=DRAIN_SECONDS)
        assert not client.is_alive()
    return tally


def wait_for_work(data_dir: Path, tally: Tally) -> None:
    """Wait until the API has acknowledged new batches and the worker has committed a new position."""
    deadline = time.monotonic() + DRAIN_SECONDS
    with closing(open_store(f"sqlite:///{data_dir / 'state.db'}", timeout_seconds=5.0)) as store:
        acknowledged, position = len(tally.acknowledged), store.read.worker().position
        while len(tally.acknowledged) < acknowledged + 3 or store.read.worker().position == position:
            assert time.monotonic() < deadline, "the plant does not work any more"
            time.sleep(0.02)


def folded(data_dir: Path) -> dict[str, Any]:
    """Return everything that the fold derives from the log, without the moments at which it was written."""
    store = open_store(f"sqlite:///{data_dir / 'state.db'}", timeout_seconds=5.0)
    with closing(store):
        (version,) = store.read.versions(MODEL)
        snapshot = store.read.snapshot(version.id)
        assert snapshot is not None
        windows = store.read.windows(version.id, "1m", first_us=Micros(0), last_us=Micros(2**62))
        alerts = store.read.alerts(version_id=version.id, status=None, limit=100)
        transitions = store.read.transitions(version.id, 100)
        return {
            "position": store.read.worker().position,
            "state": version.state,
            "events": snapshot.events_total,
            "evidence": snapshot.evidence_log,
            "blob": snapshot.blob,
            "status": msgspec.json.decode(snapshot.status),
            "windows": windows,
            "alerts": alerts,
            "transitions": [(t.before, t.event, t.after, t.actor, t.reason, t.position) for t in transitions],
        }


def drain(data_dir: Path) -> None:
    """Wait until the worker has folded the whole log."""
    deadline = time.monotonic() + DRAIN_SECONDS
    with closing(sqlite3.connect(f"file:{data_dir / 'telemetry.db'}?mode=ro", uri=True)) as log:
        (head,) = log.execute("select max(position) from entries").fetchone()
    while time.monotonic() < deadline:
        store = open_store(f"sqlite:///{data_dir / 'state.db'}", timeout_seconds=5.0)
        with closing(store):
            if store.read.worker().position >= head:
                return
        time.sleep(0.2)
    pytest.fail(f"the worker did not reach position {head}")


@pytest.mark.slow
def test_a_hundred_kills_lose_nothing_double_nothing_and_change_no_bit(plant: Plant, tmp_path: Path) -> None:
    ingest = prepare(plant)
    shutil.copytree(plant.data_dir, tmp_path / "calm")
    tally = storm(plant, ingest)
    plant.wait_alive()
    assert sum(plant.kills.values()) == KILLS
    plant.kill("api")  # nothing, not even a mark, may be appended while the worker reads the rest
    drain(plant.data_dir)
    plant.stop()
    assert tally.surprises == []

    with closing(sqlite3.connect(plant.data_dir / "telemetry.db")) as log:
        rows = log.execute(
            "select idempotency_key, rows, position, batch_id from entries where kind = 'batch'"
        ).fetchall()
        (in_segments,) = log.execute("select count(segment) from entries").fetchone()
    assert {row[0]: row[1] for row in rows} == tally.acknowledged
    assert {row[0]: row[2] for row in rows} == tally.positions
    assert {row[0]: row[3] for row in rows} == tally.batch_ids
    assert len(rows) == len(tally.acknowledged)
    assert in_segments > KILLS // 10, "too few bodies were large"

    stormy = folded(plant.data_dir)
    assert stormy["events"] == sum(tally.acknowledged.values())
    assert stormy["alerts"], "the drift at the end was not seen"

    # The same log and the same decisions, folded once without a single interruption.
    for stale in (tmp_path / "calm").glob("telemetry.db*"):
        stale.unlink()
    for name in ("telemetry.db", "telemetry.db-wal"):
        if (plant.data_dir / name).exists():
            shutil.copy(plant.data_dir / name, tmp_path / "calm" / name)
    shutil.copytree(plant.data_dir / "telemetry.db-segments", tmp_path / "calm" / "telemetry.db-segments")
    calm_plant = Plant(tmp_path / "calm")
    try:
        calm_plant.start("worker")
        drain(tmp_path / "calm")
    finally:
        calm_plant.stop()
    assert folded(tmp_path / "calm") == stormy

"""When the log is slow, full or broken: 503 at once, and 202 only for what is on disk."""

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from service.domain.errors import Conflict
from service.domain.ids import Micros
from service.log.errors import AppendFailed
from service.log.storage import Storage
from service.ports import Appended, NewEntry
from tests.service.api.conftest import EVENTS, World, living

PATIENCE_SECONDS = 20.0


class HeldStorage:
    """Stands before the real storage: each commit waits to be let through, and may be told to fail."""

    def __init__(self, real: Storage) -> None:
        self._real = real
        self.let_through = threading.Event()
        self.committing = threading.Event()
        self.failure: AppendFailed | None = None

    def append(self, group: Sequence[NewEntry], now_us: Micros) -> list[Appended | Conflict]:
        self.committing.set()
        assert self.let_through.wait(PATIENCE_SECONDS)
        if self.failure is not None:
            raise self.failure
        return self._real.append(group, now_us)

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[World, HeldStorage]]:
    with living(tmp_path, log_queue_entries_max=1) as world:
        storage = HeldStorage(world.runtime.log._storage)
        monkeypatch.setattr(world.runtime.log, "_storage", storage)
        yield world, storage
        storage.let_through.set()


def test_a_full_queue_is_503_while_the_commit_still_runs(held: tuple[World, HeldStorage]) -> None:
    world, storage = held
    path, headers = f"{world.model('full')}/events", world.everything
    first = world.client.begin("POST", path, json=EVENTS, headers=headers)
    assert storage.committing.wait(PATIENCE_SECONDS)
    second = world.client.begin("POST", path, json=EVENTS, headers=headers)
    waits = time.monotonic() + PATIENCE_SECONDS
    while world.runtime.api.log_figures().queue_entries < 1 and time.monotonic() < waits:
        time.sleep(0.001)
    refused = world.client.post(path, json=EVENTS, headers=headers)
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert refused.headers["content-type"] == "application/problem+json"
    assert not first.done()
    assert world.client.get("/v1/gate/full/1").status_code == 200
    storage.let_through.set()
    assert {first.result(PATIENCE_SECONDS).status_code, second.result(PATIENCE_SECONDS).status_code} == {202}


def test_a_commit_that_fails_is_503_and_nothing_is_in_the_log(held: tuple[World, HeldStorage]) -> None:
    world, storage = held
    path, headers = f"{world.model('broken')}/events", world.everything
    storage.failure = AppendFailed("disk full", fatal=False)
    storage.let_through.set()
    before = world.runtime.log.head()
    assert world.client.post(path, json=EVENTS, headers=headers).status_code == 503
    assert world.runtime.log.head() == before
    storage.failure = None
    assert world.client.post(path, json=EVENTS, headers=headers).status_code == 202
    assert world.runtime.log.head() > before


def test_a_log_that_cannot_be_trusted_takes_the_service_out_of_traffic(held: tuple[World, HeldStorage]) -> None:
    world, storage = held
    path, headers = f"{world.model('fatal')}/events", world.everything
    storage.failure = AppendFailed("fsync failed", fatal=True)
    storage.let_through.set()
    for _ in range(2):
        assert world.client.post(path, json=EVENTS, headers=headers).status_code == 503
    ready = world.client.get("/readyz")
    assert ready.status_code == 503
    assert "fsync failed" in ready.json()["checks"]["log"]
    assert world.client.get("/healthz").status_code == 200
    assert world.client.get("/v1/gate/fatal/1").status_code == 200

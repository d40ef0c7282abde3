"""The worker's loop: patience, heartbeats, and an end when it is told to."""

import threading
from collections.abc import Callable
from functools import cache

import msgspec
import pytest

from service.detect.reference import CompiledReference
from service.domain.ids import Micros
from service.domain.states import Event
from service.office import put_baseline
from service.worker.loop import BACK_OFF_SECONDS, GATHER_SECONDS, Worker
from service.worker.stats import BUCKETS_SECONDS, Histogram, WorkerStats
from tests.service.worker.world import ANA, World, compiled


@cache
def reference() -> CompiledReference:
    return compiled()


def test_a_worker_comes_to_rest_at_the_head_of_the_log() -> None:
    world = World()
    version = world.add_version(reference=reference())
    world.send_for(5, version)
    worker = world.worker()
    assert worker.step() == GATHER_SECONDS
    assert worker.step() == worker.idle_seconds
    assert world.store.tables.position == world.log.head()
    assert (world.stats.passes, world.stats.entries, world.stats.events) == (1, 5, 250)
    assert sum(world.stats.commit_seconds.counts) == sum(world.stats.pass_seconds.counts) == 1


def test_a_worker_that_is_behind_does_not_wait_for_more() -> None:
    world = World()
    version = world.add_version(reference=reference())
    world.send_for(5, version)
    worker = Worker(world.stages(entries_max=2), WorkerStats())
    assert [worker.step() for _ in range(3)] == [0.0, 0.0, GATHER_SECONDS]


def test_it_waits_longer_and_longer_while_the_store_is_away_and_recovers() -> None:
    world = World()
    version = world.add_version(reference=reference())
    world.send_for(2, version)
    worker = world.worker()
    world.store.failing = True
    waits = [worker.step() for _ in range(len(BACK_OFF_SECONDS) + 2)]
    assert waits == [*BACK_OFF_SECONDS, BACK_OFF_SECONDS[-1], BACK_OFF_SECONDS[-1]]
    world.store.failing = False
    world.catch_up(worker)
    assert world.store.tables.snapshots[version.id].events_total == 100
    assert world.stats.dropped_passes == len(waits)
    world.store.failing = True
    assert worker.step() == BACK_OFF_SECONDS[0]


def test_a_second_worker_waits_for_the_lease_and_takes_over_when_it_ends() -> None:
    world = World()
    version = world.add_version(reference=reference())
    first = world.worker()
    world.send_for(1, version)
    assert first.step() == GATHER_SECONDS
    second = Worker(world.stages("other"), WorkerStats())
    assert second.step() > 0
    world.clock.advance(11)
    world.send_for(1, version)
    assert second.step() == GATHER_SECONDS
    # The first one comes back, with a memory that is too old to write.
    assert first.step() == 0.0
    assert world.stats.dropped_passes == 1
    assert world.store.tables.snapshots[version.id].events_total == 100


def test_what_a_person_decides_is_seen_without_any_traffic() -> None:
    world = World()
    version = world.add_version(reference=None)
    world.send_for(1, version)
    worker = world.worker()
    world.catch_up(worker)
    put_baseline(world.office, ANA, version, reference())
    world.catch_up(worker)
    assert msgspec.json.decode(world.store.tables.snapshots[version.id].status)["monitoring"] == "watching"
    world.ask(ANA, Event.QUARANTINE)
    world.catch_up(worker)
    world.send_for(1, version)
    world.catch_up(worker)
    assert world.store.tables.snapshots[version.id].leaks_total == 50


def test_an_idle_worker_keeps_its_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    worker = world.worker()
    worker.step()
    before = world.store.tables.heartbeat_us
    world.clock.advance(5)
    worker.step()
    assert world.store.tables.heartbeat_us == before
    monkeypatch.setattr("service.worker.loop.HEARTBEAT_SECONDS", 0.0)
    worker.step()
    assert world.store.tables.heartbeat_us == Micros(before + 5_000_000)


class Waits(threading.Event):
    """Notes for how long it was waited, and lets something happen meanwhile."""

    def __init__(self, meanwhile: list[Callable[[], None]]) -> None:
        super().__init__()
        self.clock = 0.0
        self._meanwhile = meanwhile

    def wait(self, timeout: float | None = None) -> bool:
        self.clock += timeout or 0.0
        if self._meanwhile:
            self._meanwhile.pop(0)()
        else:
            self.set()
        return self.is_set()


def test_it_gathers_while_entries_come_and_is_cut_short_every_other_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    version = world.add_version(reference=reference())
    worker = world.worker()

    def send() -> None:
        world.send_for(1, version)

    def nothing() -> None:
        pass

    monkeypatch.setattr("service.worker.loop.GATHER_SECONDS", 8 / 32)
    monkeypatch.setattr("service.worker.loop.LULL_SECONDS", 1 / 32)
    send()
    # The first rest is a full one. In the second, entries come twice, then stop. The third is full, come what may.
    script = [send, *[nothing] * 7, send, send, nothing, *[nothing] * 8]
    stop = Waits(script)
    monkeypatch.setattr("service.worker.loop.time.perf_counter", lambda: stop.clock)
    passes = []
    step = worker.step

    def noted() -> float:
        passes.append(round(stop.clock * 32))
        return step()

    monkeypatch.setattr(worker, "step", noted)
    worker.run(stop)
    assert passes == [0, 8, 11, 19]


def test_it_stops_when_told_to() -> None:
    world = World()
    version = world.add_version(reference=reference())
    world.send_for(3, version)
    stop = threading.Event()
    thread = threading.Thread(target=world.worker().run, args=(stop,))
    thread.start()
    while world.store.tables.position < world.log.head():
        stop.wait(0.005)
    stop.set()
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_figures_fall_into_the_bucket_whose_bound_they_do_not_pass() -> None:
    histogram = Histogram()
    for seconds in (0.0, BUCKETS_SECONDS[0], 0.003, 99.0):
        histogram.observe(seconds)
    assert (histogram.counts[0], histogram.counts[2], histogram.counts[-1]) == (2, 1, 1)
    assert histogram.sum_seconds == pytest.approx(99.004)


def test_the_figures_are_json_with_their_buckets() -> None:
    shown = msgspec.json.decode(WorkerStats(events=7).to_json())
    assert shown["events"] == 7
    assert len(shown["commit_seconds"]["counts"]) == len(shown["buckets_seconds"]) + 1

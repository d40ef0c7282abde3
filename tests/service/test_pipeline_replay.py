"""Ingest and replay as a state machine: however passes are cut, dropped and restarted, the outcome is the same."""

from functools import cache

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from service.detect.reference import CompiledReference
from service.domain.ids import Position
from service.domain.records import Version
from service.domain.states import Event
from service.ports import EntryKind
from service.worker.loop import Worker
from tests.fakes.tables import Tables
from tests.service.worker.world import ANA, World, compiled


@cache
def reference() -> CompiledReference:
    return compiled()


def what_remains(tables: Tables) -> tuple[object, ...]:
    """Return everything that must not depend on how the worker ran."""
    return (
        tables.position,
        tables.snapshots,
        tables.windows,
        tables.alerts,
        tables.incidents,
        tables.transitions,
        tables.outbox,
        {version.id: (version.state, version.lock, version.reason) for version in tables.versions.values()},
    )


class IngestAndReplay(RuleBasedStateMachine):
    """One world whose worker is disturbed, and one that folds the same log at the end in a single go."""

    @initialize()
    def begin(self) -> None:
        self.worlds = World(), World()
        self.versions: list[tuple[Version, Version]] = []
        for name, baseline in (("1", reference()), ("2", reference()), ("3", None)):
            first, second = (world.add_version(name, reference=baseline) for world in self.worlds)
            # Baseline ids are random; the two worlds must not differ by them.
            self.versions.append((first, second))
        tables, other = (world.store.tables for world in self.worlds)
        other.baselines, other.versions = list(tables.baselines), dict(tables.versions)
        self.worker: Worker = self.worlds[0].worker()

    @rule(
        which=st.integers(0, 2),
        rows=st.sampled_from([1, 5, 80]),
        shift=st.sampled_from([0.0, 0.0, 2.0]),
        missing=st.sampled_from([0.0, 0.0, 0.5]),
    )
    def send(self, which: int, rows: int, shift: float, missing: float) -> None:
        for world, version in zip(self.worlds, self.versions[which], strict=True):
            world.send(version, rows, shift=shift, missing=missing)

    @rule(seconds=st.sampled_from([0.2, 1.0, 70.0]))
    def wait(self, seconds: float) -> None:
        for world in self.worlds:
            world.clock.advance(seconds)

    @rule()
    def mark(self) -> None:
        for world in self.worlds:
            world.log.mark()

    @rule(entries=st.integers(1, 6))
    def work(self, entries: int) -> None:
        """Do one pass of a few entries."""
        world = self.worlds[0]
        object.__setattr__(self.worker.stages, "entries_max", entries)
        self.worker.step()
        assert world.store.tables.position <= world.log.head()

    @rule(entries=st.integers(1, 6))
    def crash(self, entries: int) -> None:
        """Forget everything that is not in the store; the new worker cuts otherwise."""
        self.worker = self.worlds[0].worker(entries_max=entries)

    @rule(entries=st.integers(1, 6))
    def fail(self, entries: int) -> None:
        """Lose the store in the middle of a pass."""
        world = self.worlds[0]
        object.__setattr__(self.worker.stages, "entries_max", entries)
        world.store.failing = True
        assert self.worker.step() > 0
        world.store.failing = False

    def teardown(self) -> None:
        if not hasattr(self, "worlds"):
            return
        disturbed, quiet = self.worlds
        disturbed.catch_up(self.worker)
        quiet.catch_up()
        assert what_remains(disturbed.store.tables) == what_remains(quiet.store.tables)
        batches = [
            e for e in quiet.log.read(Position(0), max_entries=10**6, max_bytes=10**9) if e.kind is EntryKind.BATCH
        ]
        counted = sum(snapshot.events_total for snapshot in quiet.store.tables.snapshots.values())
        assert counted == sum(entry.rows for entry in batches)


IngestAndReplay.TestCase.settings = settings(max_examples=40, stateful_step_count=30)
TestIngestAndReplay = IngestAndReplay.TestCase


def test_the_machine_reaches_quarantine() -> None:
    """Without this, the comparison above might compare nothing much."""
    machine = IngestAndReplay()
    machine.begin()
    for _ in range(8):
        machine.send(which=0, rows=80, shift=2.0, missing=0.0)
        machine.wait(seconds=1.0)
        machine.work(entries=2)
    machine.teardown()
    assert [t.event for t in machine.worlds[0].store.tables.transitions] == [Event.SUSPECT, Event.QUARANTINE]
    assert ANA not in {t.actor for t in machine.worlds[0].store.tables.transitions}

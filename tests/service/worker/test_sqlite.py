"""The worker on the real state store: what it wrote is what it meant, also after a restart in between."""

from pathlib import Path

from service.domain.ids import Micros, Position
from service.domain.records import Version
from service.domain.states import Event, State
from service.office import put_baseline, register_model, register_version
from service.pipeline import WorkStages
from service.store import Store, open_store
from tests.service.worker.world import ANA, BOB, DANA, KEY, SCHEMA, SMALL_BUDGET, World, compiled

FAR = Micros(2**60)


class SqlWorld(World):
    """The world on a database file."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.sql = store
        self.office = self.office.__class__(
            control=store.control,
            clock=self.clock,
            head=self.log.head,
            limits=self.office.limits,
            deidentifier=self.office.deidentifier,
            signing_key=KEY,
        )

    def stages(self, owner: str = "w", entries_max: int = 2_048) -> WorkStages:
        self.handle = self.sql.worker(owner, 10.0, self.clock)
        return WorkStages(
            store=self.handle,
            log=self.log,
            signing_key=KEY,
            entries_max=entries_max,
            stats=self.stats.to_json,
        )

    def current(self, version: Version) -> Version:
        found = self.sql.read.version(version.model, version.version)
        assert found is not None
        return found


def begin(world: World) -> Version:
    register_model(world.office, ANA, "m1", "team", "", SMALL_BUDGET)
    version = register_version(world.office, ANA, "m1", "1", SCHEMA, DANA)
    put_baseline(world.office, ANA, version, compiled())
    return version


def test_the_real_store_holds_what_the_fake_one_holds(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'state.db'}", timeout_seconds=5.0)
    try:
        real, fake = SqlWorld(store), World()
        versions = begin(real), begin(fake)
        for world, version in zip((real, fake), versions, strict=True):
            world.send_for(6, version)
            world.catch_up(world.worker(entries_max=4))
            world.send_for(6, version, shift=2.0)
            if isinstance(world, SqlWorld):
                world.handle.close()
            # Another worker reads everything again.
            world.catch_up(world.worker(entries_max=3))
        snapshot, other = store.read.snapshot(versions[0].id), fake.store.read.snapshot(versions[1].id)
        assert snapshot is not None
        assert other is not None
        assert (snapshot.events_total, snapshot.leaks_total) == (other.events_total, other.leaks_total)
        assert snapshot.evidence_log == other.evidence_log
        assert snapshot.status == other.status
        ours = store.read.windows(versions[0].id, "1m", Micros(0), FAR)
        theirs = fake.store.read.windows(versions[1].id, "1m", Micros(0), FAR)
        assert [(w.start_us, w.events, w.counts, w.column_evidence) for w in ours] == [
            (w.start_us, w.events, w.counts, w.column_evidence) for w in theirs
        ]
        assert [t.event for t in store.read.transitions(versions[0].id, 10)] == [Event.QUARANTINE, Event.SUSPECT]
        (alert,) = store.read.alerts(version_id=versions[0].id, status="open", limit=10)
        assert alert == next(iter(fake.store.tables.alerts.values()))
    finally:
        store.close()


def test_a_release_on_the_real_store_starts_evidence_from_zero(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'state.db'}", timeout_seconds=5.0)
    try:
        world = SqlWorld(store)
        version = begin(world)
        worker = world.worker()
        world.send_for(8, version, shift=2.0)
        world.catch_up(worker)
        assert world.current(version).state is State.QUARANTINED
        for actor, event in ((ANA, Event.START_REVIEW), (ANA, Event.RELEASE), (BOB, Event.RELEASE)):
            world.ask(actor, event)
        released = world.current(version)
        assert (released.state, released.restart_position) == (State.ACTIVE, Position(8))
        assert store.read.alerts(version_id=version.id, status="open", limit=10) == []
        world.send_for(5, version)
        world.catch_up(worker)
        assert world.current(version).state is State.ACTIVE
        snapshot = store.read.snapshot(version.id)
        assert snapshot is not None
        assert snapshot.evidence_log < snapshot.threshold_log
    finally:
        store.close()

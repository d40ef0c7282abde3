"""Any history of groups, repetitions, restarts and deletions leaves the log that a simple model predicts."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from service.domain.errors import Conflict
from service.domain.ids import Micros, Position, VersionId
from service.log.sqlite import SqliteStorage
from service.log.sqlite_reader import SqliteLogReader
from service.ports import Appended, EntryKind, NewEntry

keys = st.sampled_from([None, "a", "b", "c"])
entries = st.tuples(st.integers(1, 2), keys, st.sampled_from([b"one", b"two"]))


class LogHistory(RuleBasedStateMachine):
    """Positions without gaps, arrival never back, one entry per key, deletion from the old end only."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "telemetry.db"
        self.storage = SqliteStorage(self.path, timeout_seconds=1.0)
        self.storage.open()
        self.reader = SqliteLogReader(self.path)
        self.kept: dict[int, tuple[int, bytes]] = {}
        self.names: dict[tuple[int, str], tuple[int, bytes]] = {}
        self.last = (0, 0)

    @rule(group=st.lists(entries, min_size=1, max_size=6), now=st.integers(0, 100))
    def append(self, group: list[tuple[int, str | None, bytes]], now: int) -> None:
        new = [
            NewEntry(
                kind=EntryKind.BATCH, version_id=VersionId(version), batch_id="b", rows=1, body=body,
                idempotency_key=key, digest=body,
            )
            for version, key, body in group
        ]  # fmt: skip
        answers = self.storage.append(new, Micros(now))
        arrival = max(now, self.last[1])
        for (version, key, body), answer in zip(group, answers, strict=True):
            known = None if key is None else self.names.get((version, key))
            if known is None:
                assert isinstance(answer, Appended)
                assert (answer.position, answer.arrival_us) == (self.last[0] + 1, arrival)
                assert not answer.repeated
                self.last = (answer.position, arrival)
                self.kept[answer.position] = (arrival, body)
                if key is not None:
                    self.names[version, key] = (answer.position, body)
            elif known[1] == body:
                assert isinstance(answer, Appended)
                assert answer.repeated
                assert answer.position == known[0]
            else:
                assert isinstance(answer, Conflict)

    @rule(up_to=st.integers(0, 30), before=st.integers(0, 101))
    def trim(self, up_to: int, before: int) -> None:
        while self.storage.trim(Position(up_to), before_us=Micros(before), bytes_max=10**12):
            pass
        gone = {p for p, (at, _) in self.kept.items() if p <= up_to and p < self.last[0] and at < before}
        self.kept = {p: kept for p, kept in self.kept.items() if p not in gone}
        self.names = {name: known for name, known in self.names.items() if known[0] not in gone}

    @rule()
    def restart(self) -> None:
        self.storage.close()
        self.storage = SqliteStorage(self.path, timeout_seconds=1.0)
        self.storage.open()

    @invariant()
    def the_reader_sees_what_is_kept(self) -> None:
        read = self.reader.read(Position(0), max_entries=10**6, max_bytes=10**9)
        assert {e.position: (e.arrival_us, e.body) for e in read} == self.kept
        assert [e.position for e in read] == sorted(self.kept)
        assert self.reader.head() == self.last[0]

    def teardown(self) -> None:
        self.reader.close()
        self.storage.close()
        self.folder.cleanup()


TestLogHistory = LogHistory.TestCase
TestLogHistory.settings = settings(max_examples=25, stateful_step_count=20)

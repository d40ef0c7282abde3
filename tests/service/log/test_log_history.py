"""Any history of groups, repetitions, restarts, crashes and deletions leaves the log that a simple model predicts."""

import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from service.domain.errors import Conflict
from service.domain.ids import Micros, Position, VersionId
from service.log import segments, sqlite
from service.log.sqlite import SqliteStorage
from service.log.sqlite_reader import SqliteLogReader
from service.ports import Appended, EntryKind, NewEntry

keys = st.sampled_from([None, "a", "b", "c"])
LARGE_BYTES, WORTH_BYTES, SEGMENT_BYTES, RESERVE_BYTES = 16, 40, 400, 300
"""So small that short histories fill many segments."""
bodies = st.sampled_from([b"one", b"two", b"", b"l" * LARGE_BYTES, b"large" * 20, b"larger" * 40])
entries = st.tuples(st.integers(1, 2), keys, bodies)


class LogHistory(RuleBasedStateMachine):
    """Positions without gaps, arrival never back, one entry per key, deletion from the old end only."""

    def __init__(self) -> None:
        super().__init__()
        self.patched = pytest.MonkeyPatch()
        self.patched.setattr(sqlite, "LARGE_BYTES", LARGE_BYTES)
        self.patched.setattr(sqlite, "WORTH_BYTES", WORTH_BYTES)
        self.patched.setattr(segments, "SEGMENT_BYTES", SEGMENT_BYTES)
        self.patched.setattr(segments, "RESERVE_BYTES", RESERVE_BYTES)
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

    @rule(
        unrecorded=st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=3),
        reached=st.floats(0, 1),
        synced=st.booleans(),
    )
    def crash_before_the_commit(self, unrecorded: list[bytes], reached: float, synced: bool) -> None:
        """Die between the segment and the database: any part of what was written last may be on disk, or zeros."""
        self.storage._segments.write(self.last[0] + 1, unrecorded)
        file, self.storage._segments._file = self.storage._segments._file, None
        assert file is not None
        recorded = self.recorded_in_newest()
        size = os.fstat(file).st_size
        os.ftruncate(file, recorded + round(reached * (size - recorded)))
        if not synced:
            os.pwrite(file, b"\0" * 50, recorded)
        os.close(file)
        self.restart()

    def recorded_in_newest(self) -> int:
        """Return how much of the newest segment is recorded; 0 when the segment itself is new."""
        newest = max(self.path.with_name(self.path.name + "-segments").iterdir())
        with closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT bytes FROM segments WHERE number = ?", (int(newest.stem),)).fetchone()
        return 0 if found is None else int(found[0])

    @invariant()
    def only_recorded_segments_are_there(self) -> None:
        folder = self.path.with_name(self.path.name + "-segments")
        files = sorted(int(file.stem) for file in folder.iterdir()) if folder.exists() else []
        assert files == list(self.storage._segments._sizes)
        oldest = min(self.kept, default=0)
        assert all(following > oldest for following in files[1:])

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
        self.patched.undo()


TestLogHistory = LogHistory.TestCase
TestLogHistory.settings = settings(max_examples=25, stateful_step_count=20)

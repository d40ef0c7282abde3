"""Group commit over a storage that the test holds in its hands."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field, replace
from threading import Event
from time import sleep
from typing import Any

import pytest

from service.domain.errors import Conflict, Unavailable
from service.domain.ids import Micros, Position, VersionId
from service.log.errors import AppendFailed, LogRefused
from service.log.writer import MARK, GroupCommitLog, LogLimits, _Pause
from service.ports import Appended, EntryKind, LogEntry, NewEntry
from tests.fakes import ManualClock

LIMITS = LogLimits(
    queue_entries_max=1_000,
    queue_bytes_max=10**8,
    group_entries_max=256,
    group_bytes_max=4 * 1024 * 1024,
    retention_us=10**12,
    bytes_max=10**12,
)


@dataclass
class HeldStorage:
    """Keeps groups in a list; commits wait for ``gate``, and fail with the errors in ``failures`` first."""

    groups: list[list[NewEntry]] = field(default_factory=list)
    failures: list[AppendFailed] = field(default_factory=list)
    gate: Event = field(default_factory=Event)
    entered: Event = field(default_factory=Event)
    closed: bool = False
    refuses: bool = False

    def __post_init__(self) -> None:
        self.gate.set()

    def open(self) -> None:
        if self.refuses:
            raise LogRefused("told to")

    def append(self, group: Sequence[NewEntry], now_us: Micros) -> list[Appended | Conflict]:
        self.entered.set()
        self.gate.wait(30)
        if self.failures:
            raise self.failures.pop(0)
        first = sum(map(len, self.groups)) + 1
        self.groups.append(list(group))
        return [
            Appended(
                position=Position(first + n), arrival_us=now_us, repeated=False, receipt=e.receipt, batch_id=e.batch_id
            )
            for n, e in enumerate(group)
        ]

    def trim(self, up_to: Position, *, before_us: Micros, bytes_max: int) -> bool:  # noqa: ARG002 - the protocol's
        return False

    def tidy(self) -> None:
        pass

    def reader(self) -> "HeldStorage":
        return self

    def read(self, after: Position, *, max_entries: int, max_bytes: int) -> Sequence[LogEntry]:  # noqa: ARG002 - the protocol's
        return []

    def head(self) -> Position:
        return Position(sum(map(len, self.groups)))

    def check(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def _entry(size: int = 10) -> NewEntry:
    return NewEntry(kind=EntryKind.BATCH, version_id=VersionId(1), batch_id="b", rows=1, body=b"x" * size)


@pytest.fixture
def storage() -> HeldStorage:
    return HeldStorage()


Play = Callable[..., Any]


@pytest.fixture
def play(storage: HeldStorage) -> Iterator[Play]:
    """Run a scene with a started log in an event loop of its own, and close the log after it."""

    def run(
        scene: Callable[[GroupCommitLog], Coroutine[Any, Any, object]], *, mark_after: float = 1e9, **limits: int
    ) -> object:
        async def with_log() -> object:
            log = GroupCommitLog(storage, replace(LIMITS, **limits), ManualClock(), mark_after=mark_after)
            log.start()
            try:
                return await asyncio.wait_for(scene(log), 30)
            finally:
                storage.gate.set()
                await log.close()

        return asyncio.run(with_log())

    yield run
    assert storage.closed


async def _filled(
    log: GroupCommitLog, storage: HeldStorage, waiting: int, size: int = 10
) -> list[asyncio.Task[Appended]]:
    """Hold one entry in the commit, and let others wait behind it."""
    storage.gate.clear()
    storage.entered.clear()
    tasks = [asyncio.create_task(log.append(_entry()))]
    await asyncio.to_thread(storage.entered.wait, 10)
    tasks += [asyncio.create_task(log.append(_entry(size))) for _ in range(waiting)]
    await asyncio.sleep(0)
    return tasks


def test_what_gathers_during_a_commit_is_one_group(storage: HeldStorage, play: Play) -> None:
    async def scene(log: GroupCommitLog) -> None:
        tasks = await _filled(log, storage, 99)
        assert log.figures().queue_entries == 99
        storage.gate.set()
        answers = await asyncio.gather(*tasks)
        assert [a.position for a in answers] == list(range(1, 101))

    play(scene)
    assert [len(group) for group in storage.groups] == [1, 99]


def test_a_clock_that_was_set_back_is_told_until_it_has_caught_up(storage: HeldStorage, play: Play) -> None:
    append, newest = storage.append, [Micros(0)]

    def in_order(group: Sequence[NewEntry], now_us: Micros) -> list[Appended | Conflict]:
        newest[0] = max(newest[0], now_us)
        return append(group, newest[0])

    storage.append = in_order  # type: ignore[method-assign]

    async def scene(log: GroupCommitLog) -> None:
        clock = log._clock
        assert isinstance(clock, ManualClock)
        told = []
        for step in (0.0, 3_600.0, -3_600.0, 1_800.0, 1_801.0):
            clock.advance(step)
            await log.append(_entry())
            told.append(log.figures().clock_behind_seconds)
        assert told == [0.0, 0.0, 3_600.0, 1_800.0, 0.0]

    play(scene)


def test_a_slow_disk_makes_larger_groups_not_fewer_answers(storage: HeldStorage, play: Play) -> None:
    append = storage.append

    def slow(group: Sequence[NewEntry], now_us: Micros) -> list[Appended | Conflict]:
        sleep(0.02)
        return append(group, now_us)

    storage.append = slow  # type: ignore[method-assign]

    async def scene(log: GroupCommitLog) -> None:
        async def one_client() -> None:
            for _ in range(10):
                await log.append(_entry())

        await asyncio.gather(*(one_client() for _ in range(50)))
        assert log.figures().entries == 500
        assert log.figures().commits <= 40

    play(scene)


def test_a_group_is_bounded_by_entries(storage: HeldStorage, play: Play) -> None:
    async def scene(log: GroupCommitLog) -> None:
        tasks = await _filled(log, storage, 25)
        storage.gate.set()
        await asyncio.gather(*tasks)

    play(scene, group_entries_max=10)
    assert [len(group) for group in storage.groups] == [1, 10, 10, 5]


def test_a_group_is_bounded_by_bytes_but_takes_at_least_one(storage: HeldStorage, play: Play) -> None:
    async def scene(log: GroupCommitLog) -> None:
        tasks = await _filled(log, storage, 5, size=40_000)
        storage.gate.set()
        await asyncio.gather(*tasks)

    play(scene, group_bytes_max=90_000)
    assert [len(group) for group in storage.groups] == [1, 2, 2, 1]


@pytest.mark.parametrize(("limit", "value"), [("queue_entries_max", 3), ("queue_bytes_max", 3 * (512 + 10))])
def test_a_full_queue_refuses_at_once_and_takes_again_later(
    storage: HeldStorage, play: Play, limit: str, value: int
) -> None:
    async def scene(log: GroupCommitLog) -> None:
        tasks = await _filled(log, storage, 3)
        with pytest.raises(Unavailable, match="full") as refused:
            await log.append(_entry())
        assert refused.value.retry_after_seconds >= 1
        assert log.figures().refused == 1
        storage.gate.set()
        await asyncio.gather(*tasks)
        await log.append(_entry())

    play(scene, **{limit: value})
    assert sum(map(len, storage.groups)) == 5


def test_an_entry_over_the_byte_bound_is_taken_when_nothing_waits(storage: HeldStorage, play: Play) -> None:
    async def scene(log: GroupCommitLog) -> None:
        await log.append(_entry(5_000))

    play(scene, queue_bytes_max=1_024)
    assert len(storage.groups) == 1


def test_a_failed_commit_answers_nobody_with_success_and_the_log_goes_on(storage: HeldStorage, play: Play) -> None:
    async def scene(log: GroupCommitLog) -> None:
        storage.failures = [AppendFailed("database or disk is full", fatal=False)]
        tasks = await _filled(log, storage, 0)
        storage.gate.set()
        with pytest.raises(Unavailable, match="disk is full"):
            await tasks[0]
        assert (await log.append(_entry())).position == 1
        figures = log.figures()
        assert (figures.healthy, figures.failed_commits, figures.entries) == (True, 1, 1)
        assert figures.last_error == "database or disk is full"

    play(scene)


def test_a_fatal_failure_closes_the_log_for_all_who_wait(storage: HeldStorage, play: Play) -> None:
    async def scene(log: GroupCommitLog) -> None:
        storage.failures = [AppendFailed("disk I/O error", fatal=True)]
        tasks = await _filled(log, storage, 20)
        storage.gate.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(a, Unavailable) for a in answers)
        with pytest.raises(Unavailable, match="disk I/O error"):
            await log.append(_entry())
        assert not log.figures().healthy

    play(scene)
    assert storage.groups == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_the_storage_leaves_nobody_waiting(storage: HeldStorage, play: Play) -> None:
    def broken(group: Sequence[NewEntry], now_us: Micros) -> list[Appended | Conflict]:
        raise ArithmeticError(group, now_us)

    async def scene(log: GroupCommitLog) -> None:
        tasks = await _filled(log, storage, 5)
        storage.append = broken  # type: ignore[method-assign]
        storage.gate.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(a) for a in answers] == [Appended] + [Unavailable] * 5
        with pytest.raises(Unavailable):
            await log.append(_entry())
        assert not log.figures().healthy

    play(scene)


def test_a_request_that_gave_up_does_not_keep_the_others_waiting(storage: HeldStorage, play: Play) -> None:
    async def scene(log: GroupCommitLog) -> None:
        tasks = await _filled(log, storage, 3)
        tasks[2].cancel()
        storage.gate.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(a) for a in answers] == [Appended, Appended, asyncio.CancelledError, Appended]

    play(scene)


def test_closing_commits_what_waits_and_takes_nothing_more(storage: HeldStorage, play: Play) -> None:
    async def scene(log: GroupCommitLog) -> None:
        tasks = await _filled(log, storage, 3)
        closing = asyncio.create_task(log.close())
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await log.append(_entry())
        storage.gate.set()
        await closing
        assert len(await asyncio.gather(*tasks)) == 4
        assert not log.figures().healthy

    play(scene)
    assert sum(map(len, storage.groups)) == 4


def test_a_log_that_does_not_run_takes_nothing(storage: HeldStorage) -> None:
    log = GroupCommitLog(storage, LIMITS, ManualClock())
    with pytest.raises(Unavailable, match="not been started"):
        asyncio.run(log.append(_entry()))
    storage.refuses = True
    with pytest.raises(LogRefused):
        log.start()
    assert not log.figures().healthy


def test_a_pause_is_marked_so_that_the_last_tick_can_close(storage: HeldStorage, play: Play) -> None:
    async def scene(log: GroupCommitLog) -> None:
        await log.append(_entry())
        for _ in range(1_000):
            if len(storage.groups) >= 3:
                break
            await asyncio.sleep(0.005)

    play(scene, mark_after=0.02)
    marks = [group for group in storage.groups if group == [MARK]]
    assert len(marks) >= 2


def test_marks_come_after_twice_the_pause_each_and_then_every_minute() -> None:
    pause = _Pause(1.0)
    stretches = []
    for _ in range(10):
        stretches.append(pause._stretch)
        pause.marked()
    assert stretches == [1, 2, 4, 8, 16, 32, 64, 124, 184, 244]
    pause.begin()
    assert pause._stretch == 1.0

"""Who is told that something is new, and how quickly: one look for all, so many pages a second."""

import asyncio
from collections.abc import Callable

import pytest

from service.console import streams as streams_of
from service.console.streams import Seen, Streams

LOOK = 0.002


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_of, "LOOK_SECONDS", LOOK)


def looking(seen: list[Seen], looks: list[int]) -> Callable[[], Seen]:
    """Return what has been seen so far, the last of it for ever, and count how often somebody looked."""

    def look() -> Seen:
        looks.append(1)
        return seen[min(len(looks), len(seen)) - 1]

    return look


async def _told(number: int, seen: list[Seen], looks: list[int], seconds: float = 1.0) -> list[bool]:
    streams = Streams(number)
    held = [streams.begin(f"session {n // 8}") for n in range(number)]
    streams.watch(looking(seen, looks))
    streams.watch(looking(seen, looks))
    told = await asyncio.gather(*(streams.news(one, seconds) for one in held))
    for n, one in enumerate(held):
        streams.leave(f"session {n // 8}", one)
    assert streams.open == 0
    return list(told)


def test_all_are_told_by_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_of, "TOLD_PER_SECOND", 1e9)
    looks: list[int] = []
    same = object()
    seen = [Seen(same, 1, over=False)] * 3 + [Seen(object(), 1, over=False)]
    assert asyncio.run(_told(300, seen, looks)) == [True] * 300
    assert len(looks) <= 6, "one look for all, not one for each"


def test_nobody_is_told_of_nothing_and_a_list_is_told_of_time() -> None:
    same = object()
    assert asyncio.run(_told(3, [Seen(same, 1, over=False)], [], seconds=0.05)) == [False] * 3
    assert asyncio.run(_told(3, [Seen(same, 1, over=False), Seen(same, 2, over=False)], [])) == [True] * 3


def test_so_many_are_told_a_second_and_nobody_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_of, "TOLD_PER_SECOND", 10 / LOOK)

    async def run() -> tuple[int, int, bool, int]:
        streams, naps = Streams(100), 0
        held = [streams.begin(f"s{n}") for n in range(100)]

        async def nap(_seconds: float) -> None:
            nonlocal naps
            naps += 1

        monkeypatch.setattr("service.console.streams.asyncio.sleep", nap)
        await streams._tell(lambda: Seen(held, 1, over=False))
        paced, naps = naps, 0
        everybody = all([await streams.news(one, 0.5) for one in held])
        await streams._tell(lambda: Seen(held, 1, over=True))
        ending, naps = naps, 0
        await streams._tell(lambda: Seen(held, 1, over=naps >= 2))
        return paced, ending, everybody, naps

    told = asyncio.run(run())
    assert told == (10, 0, True, 2), "ten at a time; none of them waits when the process ends, nor once it does"


def test_the_end_of_the_process_is_told_at_once() -> None:
    same = object()
    seen = [Seen(same, 1, over=False), Seen(same, 1, over=True)]
    assert asyncio.run(_told(200, seen, [], seconds=5.0)) == [True] * 200


def test_a_session_is_asked_once_whether_it_may_read_however_many_streams_it_has() -> None:
    streams = Streams(9)
    assert streams.due("a", 100.0, 5.0)
    assert not streams.due("a", 104.9, 5.0)
    assert streams.due("b", 104.9, 5.0)
    assert streams.due("a", 105.0, 5.0)


def test_a_session_that_is_over_wakes_its_streams() -> None:
    async def run() -> tuple[bool, bool, bool]:
        streams = Streams(2)
        mine, other = streams.begin("a"), streams.begin("b")
        streams.end("a")
        return await streams.news(mine, 1.0), mine.is_set(), other.is_set()

    assert asyncio.run(run()) == (True, True, False)

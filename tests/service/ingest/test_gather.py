"""Small requests share an entry of the log: all are answered, none waits for ever, and a bad one harms nobody."""

import asyncio
import json
from collections.abc import Sequence

import pytest

from service.domain.errors import Unavailable
from service.domain.ids import Position, VersionId
from service.frames import decode_frame
from service.ingest.decode import EventDecoder, Raw
from service.ingest.deidentify import Deidentifier
from service.ingest.few import Few
from service.ingest.gather import TOGETHER_MAX, Gatherer
from service.ingest.prepare import Preparer
from service.ports import Appended, LogEntry, NewEntry
from tests.fakes.clock import ManualClock
from tests.fakes.log import InMemoryLog
from tests.service.ingest.support import JSON, LIMITS, SCHEMA

VERSION = VersionId(1)
PREPARER = Preparer(SCHEMA, EventDecoder(SCHEMA, LIMITS), Deidentifier(b"k" * 32))


class SlowLog(InMemoryLog):
    """A log whose commits end when the test says so."""

    def __init__(self) -> None:
        super().__init__(ManualClock())
        self.may_end = asyncio.Event()
        self.error: Exception | None = None

    async def append(self, entry: NewEntry) -> Appended:
        await self.may_end.wait()
        if self.error is not None:
            raise self.error
        return self.append_now(entry)

    def entries(self) -> Sequence[LogEntry]:
        return self.read(Position(0), max_entries=10_000, max_bytes=10**9)


class Refusing(Preparer):
    """Cannot join anything with a request whose event is called ``bad``."""

    def join(self, requests: Sequence[Few]) -> bytes | None:
        if any(event.event_id == "bad" for request in requests for event in request.events):  # type: ignore[attr-defined]  # a struct made at run time
            return None
        return super().join(requests)


def request(name: str, **more: object) -> Few:
    body = json.dumps({"events": [{"event_id": name, "features": {"age": 1.0}, "embedding": [0.0, 1.0], **more}]})
    few = PREPARER.few(Raw(body.encode(), JSON, None))
    assert few is not None
    return few


def gatherer(log: SlowLog, *, requests_max: int = 1_000, bytes_max: int = 10**9) -> Gatherer:
    names = iter(range(10**6))
    return Gatherer(log, lambda: f"{next(names):032x}", requests_max=requests_max, bytes_max=bytes_max)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_what_waits_for_one_commit_is_one_entry_and_everyone_is_told_its_position() -> None:
    async def run() -> None:
        log = SlowLog()
        gather = gatherer(log)
        first = asyncio.create_task(gather.append(VERSION, PREPARER, request("e0")))
        await settle()
        rest = [asyncio.create_task(gather.append(VERSION, PREPARER, request(f"e{i}"))) for i in range(1, 10)]
        await settle()
        assert gather.depth()[0] == 9
        log.may_end.set()
        answers = await asyncio.gather(first, *rest)
        one, two = log.entries()
        assert [answer and answer.position for answer in answers] == [one.position] + [two.position] * 9
        assert len({answer.batch_id for answer in answers if answer}) == 2
        assert [entry.rows for entry in (one, two)] == [1, 9]
        assert tuple(decode_frame(two.body).event_ids or ()) == tuple(f"e{i}" for i in range(1, 10))
        assert gather.depth() == (0, 0)

    asyncio.run(run())


def test_versions_and_makes_do_not_share_entries_and_an_entry_has_an_end() -> None:
    async def run() -> None:
        log = SlowLog()
        gather = gatherer(log)
        log.may_end.set()
        plain = [gather.append(VERSION, PREPARER, request(f"e{i}")) for i in range(TOGETHER_MAX + 1)]
        other = [
            gather.append(VersionId(2), PREPARER, request("x")),
            gather.append(VERSION, PREPARER, request("y", prediction="ok")),
        ]
        await asyncio.gather(*plain, *other)
        assert sorted((entry.version_id, entry.rows) for entry in log.entries()) == [
            (1, 1),
            (1, 1),
            (1, TOGETHER_MAX),
            (2, 1),
        ]

    asyncio.run(run())


def test_a_lone_client_waits_for_nobody() -> None:
    async def run() -> None:
        log = SlowLog()
        log.may_end.set()
        gather = gatherer(log)
        for i in range(3):
            await gather.append(VERSION, PREPARER, request(f"e{i}"))
        assert [entry.rows for entry in log.entries()] == [1, 1, 1]

    asyncio.run(run())


def test_too_much_waiting_is_refused_at_once() -> None:
    async def run() -> None:
        log = SlowLog()
        gather = gatherer(log, requests_max=2)
        tasks = [asyncio.create_task(gather.append(VERSION, PREPARER, request("first")))]
        await settle()
        tasks += [asyncio.create_task(gather.append(VERSION, PREPARER, request(f"e{i}"))) for i in range(2)]
        await settle()
        with pytest.raises(Unavailable, match="too many requests wait"):
            await gather.append(VERSION, PREPARER, request("more"))
        assert gather.refused == 1
        log.may_end.set()
        assert all(await asyncio.gather(*tasks))
        small = gatherer(log, bytes_max=10)
        with pytest.raises(Unavailable):
            await small.append(VERSION, PREPARER, request("large"))

    asyncio.run(run())


@pytest.mark.parametrize("error", [Unavailable("the disk is full", retry_after_seconds=7), ZeroDivisionError("inside")])
def test_everyone_hears_of_a_commit_that_failed(error: Exception) -> None:
    async def run() -> None:
        log = SlowLog()
        gather = gatherer(log)
        log.error = error
        tasks = [asyncio.create_task(gather.append(VERSION, PREPARER, request(f"e{i}"))) for i in range(3)]
        await settle()
        log.may_end.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(answer) for answer in answers] == [type(error)] * 3
        log.error = None
        assert await gather.append(VERSION, PREPARER, request("after"))
        assert gather.depth() == (0, 0)

    asyncio.run(run())


def test_a_request_that_cannot_be_joined_goes_alone_and_the_others_go_on() -> None:
    async def run() -> None:
        log = SlowLog()
        log.may_end.set()
        gather = gatherer(log)
        preparer = Refusing(SCHEMA, PREPARER.decoder, PREPARER.deidentifier)
        names = ["a", "bad", "b"]
        answers = await asyncio.gather(*[gather.append(VERSION, preparer, request(name)) for name in names])
        assert [answer is None for answer in answers] == [False, True, False]
        assert sorted(tuple(decode_frame(entry.body).event_ids or ()) for entry in log.entries()) == [("a",), ("b",)]

    asyncio.run(run())


def test_a_request_that_gave_up_does_not_hold_the_others() -> None:
    async def run() -> None:
        log = SlowLog()
        gather = gatherer(log)
        tasks = [asyncio.create_task(gather.append(VERSION, PREPARER, request(f"e{i}"))) for i in range(3)]
        await settle()
        tasks[1].cancel()
        await settle()
        log.may_end.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(answer, Appended) for answer in answers] == [True, False, True]

    asyncio.run(run())

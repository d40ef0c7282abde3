"""Streams that keep pages current: bounded, telling no content, over with the session."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from threading import Event
from typing import Any, cast

import msgspec
import pytest

from service.console import live
from service.console import streams as streams_of
from service.console.access import SignInNeeded
from service.console.live import mark_of, may_still_read
from service.console.streams import STREAMS_OF_ONE, Streams
from service.domain.errors import Unavailable
from service.domain.ids import Actor, Micros, Position, VersionId
from service.domain.keys import Identity
from service.domain.records import Scope
from tests.fakes.looking import standing_of
from tests.service.console.conftest import Console
from tests.service.console.seeding import Fleet, busy_fleet


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_of, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(streams_of, "TOLD_PER_SECOND", 10_000.0)


class Told:
    """Just enough of the console's ports."""

    def __init__(self, fleet: Fleet) -> None:
        self.standing: Callable[[], Any] = lambda: standing_of(fleet.store, fleet.clock)
        self.clock = fleet.clock
        self.ending = Event()


def told_by(
    deps: Any, streams: Streams, mark: Callable[[], str], still_in: Callable[[], bool] = lambda: True, most: int = 3
) -> list[bytes]:
    async def run() -> list[bytes]:
        found: list[bytes] = []
        marks = live._marks(deps, streams, "t", mark, still_in)
        try:
            async for part in marks:
                found.append(part)
                if len(found) == most:
                    break
        finally:
            await marks.aclose()
        return found

    return asyncio.run(run())


def data_of(part: bytes) -> dict[str, Any]:
    kind, _, rest = part.decode().partition("\n")
    assert kind == "event: mark"
    told: dict[str, Any] = msgspec.json.decode(rest.removeprefix("data: ").strip())
    return told


def test_a_mark_is_told_at_once_and_again_when_it_has_moved() -> None:
    fleet, streams = busy_fleet(), Streams(3)
    marks = iter(["1", *["1"] * 5, "2", *["2"] * 1_000])
    first, one, two = told_by(Told(fleet), streams, lambda: next(marks))
    assert first == b"retry: 3000\n\n"
    assert [data_of(part)["mark"] for part in (one, two)] == ["1", "2"]
    assert streams.open == 0


def test_the_age_of_what_is_known_is_told() -> None:
    fleet = busy_fleet()
    told = Told(fleet)
    old = replace(standing_of(fleet.store, fleet.clock), read_us=Micros(fleet.clock.now_us() - 42_000_000))
    told.standing = lambda: old
    (_, one) = told_by(told, Streams(1), lambda: "1", most=2)
    assert data_of(one)["age"] == pytest.approx(42.0)
    assert data_of(one)["now"] == fleet.clock.now_us() // 1_000


def test_a_stream_ends_when_its_key_may_not_read_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "CHECK_SECONDS", 0.0)
    streams = Streams(1)
    parts = told_by(Told(busy_fleet()), streams, lambda: "1", still_in=lambda: False, most=99)
    assert parts[-1] == b"event: gone\ndata: {}\n\n"
    assert streams.open == 0


def test_a_stream_ends_with_the_process_and_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(busy_fleet())
    told.ending.set()
    assert told_by(told, Streams(1), lambda: "1", most=99) == [b"retry: 3000\n\n"]
    monkeypatch.setattr(live, "STREAM_SECONDS", 0.0)
    assert told_by(Told(busy_fleet()), Streams(1), lambda: "1", most=99) == [b"retry: 3000\n\n"]


def test_streams_are_bounded_for_all_and_for_one_session() -> None:
    async def run() -> None:
        streams = Streams(STREAMS_OF_ONE + 1)
        held = [streams.begin("a") for _ in range(STREAMS_OF_ONE)]
        with pytest.raises(Unavailable, match="this session"):
            streams.begin("a")
        streams.begin("b")
        with pytest.raises(Unavailable, match="console_streams_max"):
            streams.begin("c")
        streams.leave("a", held.pop())
        streams.begin("c")
        streams.end("a")
        assert all(ended.is_set() for ended in held)
        for ended in held:
            streams.leave("a", ended)
        assert streams.open == 2

    asyncio.run(run())


def test_the_mark_of_a_version_moves_with_its_snapshot_and_with_every_decision() -> None:
    fleet = busy_fleet()
    (digits,) = fleet.store.read.versions("digits")
    before = standing_of(fleet.store, fleet.clock)
    mark = mark_of(before, digits.id, 1)
    assert mark_of(before, digits.id, 2) == mark
    tables = fleet.store.tables
    tables.snapshots[digits.id] = replace(tables.snapshots[digits.id], position=Position(77))
    assert mark_of(standing_of(fleet.store, fleet.clock), digits.id, 1) != mark
    assert mark_of(replace(before, revision=before.revision + 1), digits.id, 1) != mark
    assert mark_of(before, None, 1) != mark_of(before, None, 2), "a list follows the time"
    assert mark_of(before, VersionId(999), 1)


def test_a_stream_of_a_version_that_the_key_may_not_see_is_as_good_as_one_of_none() -> None:
    fleet = busy_fleet()
    standing, (digits,) = standing_of(fleet.store, fleet.clock), fleet.store.read.versions("digits")
    own, other = (
        Identity(key_id="k", actor=Actor("fred"), scopes=frozenset({Scope.READ}), models=frozenset({name}))
        for name in ("digits", "fraud-scorer")
    )
    assert live._version_of(standing, own, "digits", digits.version) == digits.id
    assert live._version_of(standing, other, "digits", digits.version) is None


def test_without_a_session_there_is_no_stream(console: Console) -> None:
    answer = console.browser().get("/live")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login")


def test_a_refused_stream_is_an_answer_and_not_a_page_that_hangs(console: Console) -> None:
    console.streams.most = 0
    answer = console.signed_in("ada").get("/live")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "15"
    assert "console_streams_max" in answer.text


def test_signing_out_ends_the_streams_of_the_session(console: Console) -> None:
    streams, browser = console.streams, console.signed_in("ada")
    token = browser.cookies["lazaretto_session"]
    ended = asyncio.run(_begun(streams, token))
    page = browser.get("/fleet").text
    form = page.split('name="form_token" value="')[1].split('"')[0]
    assert browser.post("/logout", data={"form_token": form}).status_code == 303
    assert ended.is_set()


def test_while_the_store_is_away_a_stream_goes_on() -> None:
    class Asked:
        def __init__(self, error: Exception | None) -> None:
            self.error = error

        def viewer(self, _request: object) -> None:
            if self.error:
                raise self.error

    answers = [
        may_still_read(cast("Any", Asked(e)), cast("Any", None)) for e in (None, Unavailable("x"), SignInNeeded())
    ]
    assert answers == [True, True, False]


async def _begun(streams: Streams, token: str) -> asyncio.Event:
    return streams.begin(token)

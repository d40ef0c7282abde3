"""The measurement of open pages says what it measured, and notes the marks that a stream is told."""

import asyncio
from typing import Any, cast

import pytest

from bench.console_streams import Cost, Held, render


def cost(streams: int, **changed: float) -> Cost:
    figures = {
        "kilobytes": 45.2,
        "processor": 12.3,
        "page_ms": 9.0,
        "ingest_ms": 8.0,
        "ingest_worst_ms": 30.0,
        "first_seconds": 0.27,
        "last_seconds": 7.6,
    }
    return Cost(streams, **(figures | changed))


def test_each_number_of_streams_is_a_row_and_none_is_what_it_is_compared_with() -> None:
    text = render([cost(0), cost(300)], 0.5)
    assert "| 0 | - | 12 | 9 | 8 | 30 | - | - |" in text
    assert "| 300 | 45 | 12 | 9 | 8 | 30 | 0.27 | 7.6 |" in text
    assert "told at 40 a second" in text


@pytest.mark.parametrize(
    ("marks", "told", "moves"),
    [(["7.1", "7.2", "7.3"], "7", 1), (["7.1", "8.1", "8.2"], "8", 2)],
)
def test_a_stream_has_been_told_when_the_revision_has_moved_and_not_the_time(
    marks: list[str], told: str, moves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(range(1, 99))
    monkeypatch.setattr("bench.console_streams.time.perf_counter", lambda: float(next(times)))

    async def run() -> Held:
        reader = asyncio.StreamReader()
        for mark in marks:
            reader.feed_data(f'event: mark\ndata: {{"mark":"{mark}","age":0.1,"now":1}}\n\n'.encode())
        reader.feed_eof()
        held = Held(reader, cast("Any", None))
        await held.read()
        return held

    held = asyncio.run(run())
    assert (held.mark, held.moved) == (told, float(moves))

"""Measures pages that are kept current: ``python -m bench.console_streams`` writes ``docs/benchmarks-streams.md``.

A real service, and so many browsers that each hold a stream and, when it tells them, ask for nothing: what the streams
themselves cost is measured, and beside them a page, ingest, and how long a change takes to reach every stream.
"""

import argparse
import asyncio
import os
import re
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from bench.processes import Service, SetupFailed, service
from bench.report import table
from bench.run import describe_machine
from bench.work import ARROW, MODEL, VERSION, make_stream
from service.console.streams import STREAMS_OF_ONE, TOLD_PER_SECOND

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks-streams.md"
NUMBERS = (0, 200, 300, 1_000)
SETTLE_SECONDS, IDLE_SECONDS = 6.0, 15.0
ROWS, BODIES, PAGES = 1_000, 40, 20
SETTINGS = {"LAZARETTO_CONSOLE_STREAMS_MAX": "1000", "LAZARETTO_CONNECTIONS_MAX": "2000"}


@dataclass(frozen=True, slots=True)
class Cost:
    """What so many streams cost."""

    streams: int
    kilobytes: float
    """Resident memory of the API process for each, above what it took without them."""
    processor: float
    """Of one processor, in percent, while nothing happens but the service's own work."""
    page_ms: float
    ingest_ms: float
    ingest_worst_ms: float
    first_seconds: float
    """Until the first stream was told of a change, from the answer to it."""
    last_seconds: float


@dataclass(slots=True)
class Held:
    """One open stream, and the marks that it was told."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    mark: str = ""
    moved: float = 0.0
    """When the mark was last another one."""

    async def read(self) -> None:
        """Note every mark until the stream ends."""
        while line := await self.reader.readline():
            found = re.search(rb'"mark":"([^"]*)"', line)
            # A list follows the time, too: what is waited for is the revision, before the dot.
            mark = found[1].decode().partition(".")[0] if found else self.mark
            if mark != self.mark:
                self.mark, self.moved = mark, time.perf_counter()


async def _session(url: str, key: str) -> str:
    async with httpx.AsyncClient(base_url=url, timeout=60.0) as client:
        token = re.search(r'name="form_token" value="([^"]+)"', (await client.get("/login")).text)
        if token is None:
            raise SetupFailed("the login page has no form")
        answer = await client.post("/login", data={"form_token": token[1], "key": key})
        if answer.status_code != 303:
            raise SetupFailed(f"nobody could sign in: {answer.status_code}")
        return client.cookies["lazaretto_session"]


async def _open(port: int, cookie: str) -> Held:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /live HTTP/1.1\r\nHost: bench\r\nCookie: lazaretto_session={cookie}\r\n\r\n".encode())
    status = await reader.readline()
    if b" 200 " not in status:
        raise SetupFailed(f"a stream was refused: {status.decode()}")
    return Held(reader, writer)


async def _page_ms(url: str, cookie: str) -> float:
    async with httpx.AsyncClient(base_url=url, cookies={"lazaretto_session": cookie}, timeout=60.0) as client:
        spent = []
        for _ in range(PAGES):
            began = time.perf_counter()
            (await client.get("/fleet")).raise_for_status()
            spent.append(1e3 * (time.perf_counter() - began))
    return statistics.median(spent)


async def _ingest(url: str, key: str) -> list[float]:
    stream = make_stream(ROWS, seed=3)
    body = ARROW.write(stream, slice(0, ROWS))
    headers = {"authorization": f"Bearer {key}", "content-type": ARROW.content_type}
    spent = []
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60.0) as client:
        for _ in range(BODIES):
            began = time.perf_counter()
            (await client.post(f"/v1/models/{MODEL}/versions/{VERSION}/events", content=body)).raise_for_status()
            spent.append(1e3 * (time.perf_counter() - began))
            await asyncio.sleep(0.05)
    return spent


async def _change(url: str, key: str, held: list[Held], number: int) -> tuple[float, float]:
    """Register a model, which every list shows, and return when the first and the last stream were told."""
    async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=60.0) as client:
        before = time.perf_counter()
        (await client.post("/v1/models", json={"name": f"streams-{number}", "owner": "bench"})).raise_for_status()
        answered = time.perf_counter()
    deadline = answered + 10 + 2 * len(held) / TOLD_PER_SECOND
    while any(one.moved < before for one in held):
        if time.perf_counter() > deadline:
            raise SetupFailed("a stream was not told of a change")
        await asyncio.sleep(0.02)
    times = [max(0.0, one.moved - answered) for one in held]
    return min(times, default=0.0), max(times, default=0.0)


async def cost_of(running: Service, number: int, without: float) -> tuple[Cost, float]:
    """Open so many streams, measure, and close them; the second value is the resident memory with them, in kB."""
    url, process = f"http://127.0.0.1:{running.port}", running.process
    cookies = [await _session(url, running.key) for _ in range(max(1, -(-number // STREAMS_OF_ONE)))]
    held = [await _open(running.port, cookies[n // STREAMS_OF_ONE]) for n in range(number)]
    readers = [asyncio.create_task(one.read()) for one in held]
    await asyncio.sleep(SETTLE_SECONDS)
    busy = _seconds(process)
    await asyncio.sleep(IDLE_SECONDS)
    processor = 100 * (_seconds(process) - busy) / IDLE_SECONDS
    memory = process.memory_info().rss / 1e3
    page_ms, spent = await _page_ms(url, cookies[0]), await _ingest(url, running.key)
    first, last = await _change(url, running.key, held, number)
    for one in held:
        one.writer.close()
    await asyncio.gather(*readers, return_exceptions=True)
    each = (memory - without) / number if number else 0.0
    return Cost(number, each, processor, page_ms, statistics.median(spent), max(spent), first, last), memory


def _seconds(process: psutil.Process) -> float:
    return float(sum(process.cpu_times()[:2]))


async def measure(running: Service, numbers: tuple[int, ...]) -> list[Cost]:
    """Measure one number after the other; memory is told above that of the first."""
    found, without = [], 0.0
    for number in numbers:
        cost, memory = await cost_of(running, number, without)
        without = without or memory
        found.append(cost)
    return found


def render(costs: list[Cost], busy: float) -> str:
    """Return the page of documentation."""
    machine = ", ".join(f"{name} {value}" for name, value in describe_machine().items())
    rows = [
        [
            f"{one.streams:,}",
            f"{one.kilobytes:.0f}" if one.streams else "-",
            f"{one.processor:.0f}",
            f"{one.page_ms:.0f}",
            f"{one.ingest_ms:.0f}",
            f"{one.ingest_worst_ms:.0f}",
            f"{one.first_seconds:.2f}" if one.streams else "-",
            f"{one.last_seconds:.1f}" if one.streams else "-",
        ]
        for one in costs
    ]
    heads = [
        "streams",
        "kB each",
        "processor, %",
        "`/fleet`, ms",
        "ingest, ms",
        "worst, ms",
        "first told, s",
        "last told, s",
    ]
    work = (
        "One running service, and so many open streams of pages that ask for nothing: what streams cost the API "
        f"process by themselves, what a page and {BODIES} bodies of {ROWS:,} rows took meanwhile (median, and the "
        "slowest body), and how long after the answer to a change the first and the last stream were told of it. "
        f"They are told at {TOLD_PER_SECOND:.0f} a second, because each then asks for a page. "
        "`python -m bench.console_streams` writes this page."
    )
    said = f"Measured on: {machine}; {busy:.1f} other programs wanted a processor at the same time (load average)."
    return "\n\n".join(("# Pages that are kept current, measured", work, table(heads, rows), said)) + "\n"


def main(arguments: list[str]) -> int:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=list(NUMBERS))
    parser.add_argument("--print", action="store_true", help="print the page instead of writing it")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        reference = make_stream(20_000, seed=1)
        busy = os.getloadavg()[0]
        with service(Path(scratch) / "data", reference, core=0, settings=SETTINGS) as running:
            costs = asyncio.run(measure(running, (0, *(one for one in asked.streams if one))))
    text = render(costs, busy)
    if asked.print:
        print(text)
    else:
        PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

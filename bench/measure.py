"""What is measured. Everything that is compared is measured in turn within one run, in alternating order."""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from bench import load
from bench.floor import Floor, floor_rate, yardstick_rate
from bench.processes import Service, SetupFailed, bare_server, service
from bench.work import ARROW, FORMATS, ROW_JSON, ROWS, Format, Stream, bodies, make_stream

SERVER_CORE, LOAD_CORE = 0, 1
PACED_SHARE = 0.7
"""Offered load for the acknowledgement's latency, as a share of what the service takes in with detectors on."""
PACED_RATE_MAX = 1_500.0
GATE_RATE = 2_000.0
CATCH_UP_SECONDS = 120.0
POLL_SECONDS = 0.05
"""Between two looks at how far the worker is. Each costs the service some milliseconds on the core that is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and how often."""

    sizes: tuple[int, ...] = (1, 100, 1_000)
    formats: tuple[Format, ...] = FORMATS
    repeats: int = 5
    load_seconds: float = 4.0
    floor_seconds: float = 1.0
    memory_rows: int = 10_000_000
    starts: int = 3


QUICK = Plan(
    sizes=(1, 1_000), formats=(ROW_JSON, ARROW), repeats=1, load_seconds=1.0, floor_seconds=0.3, memory_rows=0, starts=1
)


class Cell(msgspec.Struct):
    """One body format and size. Rates are rows per second; each list holds one figure per repeat."""

    format: str
    rows: int
    body_bytes: int
    floor: list[float] = []
    yardstick: list[float] = []
    processed: list[float] = []
    """Acknowledged durably and committed by the worker."""
    acknowledged: list[float] = []
    acknowledged_off: list[float] = []
    bare: list[float] = []
    cpu_api: list[float] = []
    """CPU seconds of the API process per million rows, and of the worker: what a busy neighbour disturbs least."""
    cpu_worker: list[float] = []
    saturated_on: list[load.Load] = []
    saturated_off: list[load.Load] = []
    paced_rate: float = 0.0
    paced_on: list[load.Load] = []
    paced_off: list[load.Load] = []

    def forget(self) -> None:
        """Drop what the warm-up measured."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, list):
                value.clear()


class GateCell(msgspec.Struct):
    """The gate at a fixed rate, while ingest is saturated with one kind of body."""

    ingest: str
    ingest_rows: float
    gate: list[load.Load]


class Memory(msgspec.Struct):
    """Resident memory while rows flow: (rows, API in MB, worker in MB)."""

    samples: list[tuple[int, float, float]]


class Results(msgspec.Struct):
    """One run."""

    machine: dict[str, str]
    cells: list[Cell] = []
    split: list[Cell] = []
    """The same with the worker on the other core, beside the load."""
    gate: list[GateCell] = []
    gate_split: list[GateCell] = []
    """With the worker on the other core."""
    memory: Memory | None = None
    ready_seconds: list[float] = []


@dataclass(slots=True)
class Bench:
    """What all measurements share."""

    plan: Plan
    scratch: Path
    say: Callable[[str], None]
    stream: Stream = field(default_factory=lambda: make_stream(ROWS, seed=7))
    reference: Stream = field(default_factory=lambda: make_stream(50_000, seed=1))

    def service(self, name: str = "on", role: str = "serve") -> AbstractContextManager[Service]:
        """Run the service on the server's core."""
        return service(self.scratch / name, self.reference, core=SERVER_CORE, role=role)

    def write(self, form: Format, rows: int) -> tuple[Path, list[bytes]]:
        """Write the bodies of one cell for the load."""
        made, folder = bodies(self.stream, form, rows), self.scratch / "bodies"
        load.write_bodies(folder, made)
        return folder, made


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Keep this thread, and the threads it starts, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def process_all(running: Service, form: Format, rows: int, folder: Path, seconds: float) -> tuple[float, load.Load]:
    """Saturate, then wait until the worker has committed every acknowledged row; return rows per second of it all."""
    before = running.events()
    seen = load.saturate(running.target(form), folder, seconds, LOAD_CORE)
    ended = time.perf_counter()
    goal = before + seen.requests * rows
    while (now := time.perf_counter()) < ended + CATCH_UP_SECONDS:
        if running.events() >= goal:
            return seen.requests * rows / (seen.seconds + now - ended), seen
        time.sleep(POLL_SECONDS)
    raise SetupFailed(f"the worker processed {running.events() - before} of {goal - before} acknowledged rows in time")


def settle(running: Service) -> None:
    """Wait until the worker has nothing left to do."""
    before = -1
    while (now := running.events()) != before:
        before = now
        time.sleep(0.2)


def measure_cell(bench: Bench, form: Format, rows: int) -> Cell:
    """Measure one format and size: floor, service with and without detectors, each in turn."""
    folder, made = bench.write(form, rows)
    cell = Cell(form.name, rows, round(statistics.fmean(map(len, made))))
    floor, plan = Floor(bench.reference), bench.plan
    with bench.service("on") as on, bench.service("off", "api") as off, bare_server(SERVER_CORE) as bare_port:
        bare = load.Target(port=bare_port, path="/", key="", content_type=form.content_type)

        def measure_floor() -> None:
            with on_core(SERVER_CORE):
                cell.yardstick.append(yardstick_rate())
                cell.floor.append(floor_rate(floor, form, made, rows, plan.floor_seconds))

        def measure_on() -> None:
            before = on.cpu_seconds()
            rate, seen = process_all(on, form, rows, folder, plan.load_seconds)
            settle(on)
            for kept, start, end in zip((cell.cpu_api, cell.cpu_worker), before, on.cpu_seconds(), strict=True):
                kept.append((end - start) / (seen.requests * rows) * 1e6)
            cell.processed.append(rate)
            cell.acknowledged.append(seen.rate * rows)
            cell.saturated_on.append(seen)

        def measure_off() -> None:
            seen = load.saturate(off.target(form), folder, plan.load_seconds, LOAD_CORE)
            cell.acknowledged_off.append(seen.rate * rows)
            cell.saturated_off.append(seen)

        def measure_bare() -> None:
            if rows == 1:
                cell.bare.append(load.saturate(bare, folder, plan.load_seconds, LOAD_CORE).rate)

        steps = [measure_floor, measure_on, measure_off, measure_bare]
        for step in steps[1:]:
            step()  # warm-up
        cell.forget()
        for repeat in range(plan.repeats):
            for step in steps if repeat % 2 == 0 else reversed(steps):
                step()
        _measure_paced(bench, cell, form, made, on, off)
    return cell


def _measure_paced(bench: Bench, cell: Cell, form: Format, made: list[bytes], on: Service, off: Service) -> None:
    cell.paced_rate = min(PACED_RATE_MAX, PACED_SHARE * statistics.median(cell.processed) / cell.rows)
    sides = [(on, cell.paced_on), (off, cell.paced_off)]
    for repeat in range(bench.plan.repeats):
        for running, kept in sides if repeat % 2 == 0 else reversed(sides):
            requests = [load.post(running.target(form), body) for body in made]
            with on_core(LOAD_CORE):
                seen = load.pace(running.port, requests, rate=cell.paced_rate, seconds=bench.plan.load_seconds)
            if seen.refused:
                raise load.LoadFailed(f"{seen.refused} of {seen.requests} paced requests were refused")
            kept.append(seen)
            settle(on)


def measure_split(bench: Bench, form: Format, rows: int) -> Cell:
    """Measure with the worker on the other core, which it shares with the load."""
    folder, made = bench.write(form, rows)
    cell = Cell(form.name, rows, round(statistics.fmean(map(len, made))))
    floor = Floor(bench.reference)
    with bench.service() as on:
        on.move_worker(LOAD_CORE)
        process_all(on, form, rows, folder, bench.plan.load_seconds)
        for _ in range(bench.plan.repeats):
            settle(on)
            with on_core(SERVER_CORE):
                cell.floor.append(floor_rate(floor, form, made, rows, bench.plan.floor_seconds))
            rate, seen = process_all(on, form, rows, folder, bench.plan.load_seconds)
            cell.processed.append(rate)
            cell.saturated_on.append(seen)
    return cell


def measure_gate(bench: Bench, form: Format | None, *, split: bool = False) -> GateCell:
    """Ask the gate at a fixed rate, idle or while ingest is saturated with 1,000-row bodies."""
    cell = GateCell(form.name if form else "idle", 0.0, [])
    rates, seconds = [], bench.plan.load_seconds
    with bench.service() as running:
        if split:
            running.move_worker(LOAD_CORE)
        for _ in range(bench.plan.repeats):
            flood = None
            if form is not None:
                folder, _ = bench.write(form, 1_000)
                flood = load.start_saturation(running.target(form), folder, seconds + 2, LOAD_CORE)
                time.sleep(1.0)  # wrk reads its bodies first
            with on_core(LOAD_CORE):
                seen = load.pace(running.port, [load.get(running.gate())], rate=GATE_RATE, seconds=seconds)
            if seen.refused:
                raise load.LoadFailed(f"the gate refused {seen.refused} of {seen.requests} questions")
            cell.gate.append(seen)
            if flood is not None:
                rates.append(load.finish_saturation(flood).rate * 1_000)
                settle(running)
    cell.ingest_rows = statistics.median(rates) if rates else 0.0
    return cell


def measure_memory(bench: Bench) -> Memory:
    """Watch the resident memory of API and worker while many rows flow."""
    samples: list[tuple[int, float, float]] = []
    with bench.service() as running:
        folder, _ = bench.write(ARROW, 1_000)
        samples.append((0, *running.resident_mb()))
        while samples[-1][0] < bench.plan.memory_rows:
            process_all(running, ARROW, 1_000, folder, bench.plan.load_seconds)
            samples.append((running.events(), *running.resident_mb()))
    return Memory(samples)


def measure_starts(bench: Bench) -> list[float]:
    """Time from starting the process to readiness, each in a fresh data directory."""
    seconds = []
    for _ in range(bench.plan.starts):
        with bench.service() as running:
            seconds.append(running.ready_seconds)
    return seconds


def measure_all(bench: Bench, results: Results) -> Results:
    """Measure everything of the plan, in this order."""
    plan = bench.plan
    bench.say("import to ready")
    results.ready_seconds = measure_starts(bench)
    for rows in plan.sizes:
        for form in plan.formats:
            bench.say(f"{form.name}, {rows} rows a body")
            results.cells.append(measure_cell(bench, form, rows))
    for form in FORMATS if plan.memory_rows else ():
        bench.say(f"{form.name}, 1000 rows a body, worker on the other core")
        results.split.append(measure_split(bench, form, 1_000))
    measure_gates(bench, results)
    if plan.memory_rows:
        bench.say(f"memory over {plan.memory_rows} rows")
        results.memory = measure_memory(bench)
    return results


def measure_gates(bench: Bench, results: Results) -> None:
    """Measure the gate beside every kind of ingest, with the worker on the same core and on the other one."""
    results.gate, results.gate_split = [], []
    for ingest in (None, *FORMATS) if bench.plan.memory_rows else (None, ARROW):
        bench.say(f"gate at {GATE_RATE:.0f} requests/s, ingest: {ingest.name if ingest else 'idle'}")
        results.gate.append(measure_gate(bench, ingest))
    for form in FORMATS if bench.plan.memory_rows else ():
        bench.say(f"gate at {GATE_RATE:.0f} requests/s, ingest: {form.name}, worker on the other core")
        results.gate_split.append(measure_gate(bench, form, split=True))

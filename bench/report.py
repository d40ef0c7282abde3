"""Turn results into the tables of docs/benchmarks.md."""

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.load import Load
from bench.measure import GATE_RATE, Cell, GateCell, Memory, Results

BEGIN, END = "<!-- measured: begin (written by make bench) -->", "<!-- measured: end -->"
GOALS = {("Arrow", 1_000): 0.40, ("columnar JSON", 1_000): 0.45, ("row JSON", 1_000): 0.40}
SINGLE_GOAL, GATE_P99_GOAL_MS, READY_GOAL_SECONDS, MEMORY_GOAL = 0.25, 5.0, 3.0, 0.05


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Return the median of the ratios of figures taken in the same repeat."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def _rate(values: Sequence[float]) -> str:
    return f"{statistics.median(values):,.0f}"


def _times(loads: Sequence[Load]) -> str:
    p50, p99 = (statistics.median(getattr(seen, name) for seen in loads) for name in ("p50_ms", "p99_ms"))
    return f"{p50:.2f} / {p99:.2f}"


def verdict(met: bool, text: str) -> str:  # noqa: FBT001 - a formatter's only question
    """Return a goal with whether it is met."""
    return f"{text}, {'met' if met else '**missed**'}"


def throughput(cells: Sequence[Cell]) -> str:
    """Return rows per second, acknowledged and processed, against the floor."""
    rows = []
    for cell in cells:
        ratio, goal = median_ratio(cell.processed, cell.floor), GOALS.get((cell.format, cell.rows))
        rows.append(
            [
                cell.format,
                f"{cell.rows:,}",
                f"{cell.body_bytes:,}",
                _rate(cell.processed),
                _rate(cell.floor),
                f"**{ratio:.2f}**",
                verdict(ratio >= goal, f"{goal:.2f}") if goal else "",
            ]
        )
    head = ["format", "rows a body", "bytes a body", "rows/s acknowledged and processed", "floor F, rows/s", "ratio"]
    return table([*head, "goal"], rows)


def acknowledgement(cells: Sequence[Cell]) -> str:
    """Return the latency of the 202, with detectors on and off."""
    head = ["format", "rows a body", "offered requests/s", "detectors on: p50 / p99 ms", "off: p50 / p99 ms"]
    head += ["saturated, on", "saturated, off", "rows/s acknowledged, on / off"]
    rows = [
        [
            cell.format,
            f"{cell.rows:,}",
            f"{cell.paced_rate:,.0f}",
            _times(cell.paced_on),
            _times(cell.paced_off),
            _times(cell.saturated_on),
            _times(cell.saturated_off),
            f"{_rate(cell.acknowledged)} / {_rate(cell.acknowledged_off)}",
        ]
        for cell in cells
    ]
    return table(head, rows)


def singles(cells: Sequence[Cell]) -> str:
    """Return single events against a bare ASGI endpoint."""
    rows = []
    for cell in (cell for cell in cells if cell.bare):
        ratio = median_ratio(cell.processed, cell.bare)
        goal = verdict(ratio >= SINGLE_GOAL, f"{SINGLE_GOAL:.2f}") if cell.format == "row JSON" else ""
        rows.append([cell.format, _rate(cell.processed), _rate(cell.bare), f"**{ratio:.2f}**", goal])
    return table(["format", "events/s acknowledged and processed", "bare ASGI, requests/s", "ratio", "goal"], rows)


def processor(cells: Sequence[Cell]) -> str:
    """Return where the CPU time goes."""
    rows = []
    for cell in cells:
        api, worker = statistics.median(cell.cpu_api), statistics.median(cell.cpu_worker)
        floor = 1e6 / statistics.median(cell.floor)
        row = [cell.format, f"{cell.rows:,}", f"{api:.2f}", f"{worker:.2f}", f"{floor:.2f}"]
        rows.append([*row, f"{floor / (api + worker):.2f}"])
    return table(["format", "rows a body", "API", "worker", "floor", "floor / (API + worker)"], rows)


def gate(cells: Sequence[GateCell]) -> str:
    """Return the gate's latency at a fixed rate."""
    rows = []
    for cell in cells:
        p99 = statistics.median(seen.p99_ms for seen in cell.gate)
        answered = statistics.median(seen.rate for seen in cell.gate)
        goal = verdict(p99 < GATE_P99_GOAL_MS, f"{GATE_P99_GOAL_MS:.0f} ms")
        rows.append([cell.ingest, f"{cell.ingest_rows:,.0f}", f"{answered:,.0f}", _times(cell.gate), goal])
    return table(["ingest meanwhile", "rows/s", "gate answers/s", "p50 / p99 ms", "goal for p99"], rows)


def _growth(memory: Memory) -> tuple[float, str]:
    settled = next(sample for sample in memory.samples[1:] if sample[0] >= memory.samples[-1][0] // 10)
    first, last = settled[1] + settled[2], memory.samples[-1][1] + memory.samples[-1][2]
    rows, api, worker = memory.samples[-1]
    text = (
        f"{settled[1]:.0f} + {settled[2]:.0f} MB (API + worker) after {settled[0]:,} rows, "
        f"{api:.0f} + {worker:.0f} MB after {rows:,}: {100 * (last / first - 1):+.1f} %"
    )
    return last / first - 1, text


def disturbance(results: Results) -> float:
    """Return how many times slower the yardstick was at its worst than at its best."""
    rates = [rate for cell in results.cells for rate in cell.yardstick]
    return max(rates) / min(rates)


def _yardstick(cells: Sequence[Cell]) -> str:
    rates = [rate / 1e6 for cell in cells for rate in cell.yardstick]
    return (
        f"Yardstick (numpy searchsorted and bincount, 20 features): {statistics.median(rates):.2f} M rows/s, "
        f"from {min(rates):.2f} to {max(rates):.2f} during the run. "
        f"Figures are medians of {len(cells[0].processed)} repeats."
    )


def render(results: Results) -> str:
    """Return everything as Markdown."""
    machine = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    ready = statistics.median(results.ready_seconds)
    parts = [
        f"Machine: {machine}.",
        _yardstick(results.cells),
        "### Rows per second, durably acknowledged and processed (API and worker on one core)",
        throughput(results.cells),
    ]
    if results.split:
        parts += ["### The same with the worker on the other core, beside the load", throughput(results.split)]
    parts += ["### CPU seconds per million rows (what a busy neighbour disturbs least)", processor(results.cells)]
    parts += ["### Single events", singles(results.cells), "### The acknowledgement", acknowledgement(results.cells)]
    started = verdict(ready < READY_GOAL_SECONDS, f"goal {READY_GOAL_SECONDS:.0f} s")
    if results.gate:
        parts += [f"### The gate at {GATE_RATE:,.0f} questions a second", gate(results.gate)]
    if results.gate_split:
        parts += ["### The gate with the worker on the other core, beside the load", gate(results.gate_split)]
    parts += [
        "### Start and memory",
        f"* Import to ready: {ready:.2f} s ({started}).",
    ]
    if results.memory:
        growth, text = _growth(results.memory)
        parts[-1] += f"\n* Memory: {text} ({verdict(growth <= MEMORY_GOAL, f'goal {100 * MEMORY_GOAL:.0f} %')})."
    return "\n\n".join(parts) + "\n"


def update_page(page: Path, text: str, begin: str = BEGIN) -> None:
    """Replace what stands between the markers."""
    before, _, rest = page.read_text().partition(begin)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{begin}\n\n{text}\n{END}{after}")

"""The tables of real streams and of speed."""

import statistics

from scipy.special import gammaincinv

from bench.detection.results import RealCell, Results, SpeedCell
from bench.report import table, verdict

PROMISE = 1e4
"""A, in ticks, where rows before a change are quiet."""
TAIL = 0.025
SPEED_GOAL, MEMORY_GOAL = 100.0, 0.05


def _found(cell: RealCell) -> str:
    if cell.kind == "change":
        return "missed" if cell.delay is None else f"{cell.delay:,}"
    if cell.kind == "windows":
        return f"{cell.hits} of {cell.targets}"
    return f"{cell.later} alarms"


def _false(cell: RealCell) -> str:
    if cell.kind == "unlabelled":
        return "unknown"
    if not cell.quiet_rows:
        return "-"
    as_pages = "" if cell.pages is None or cell.pages == cell.false_alarms else f", {cell.pages} pages"
    return f"{1e4 * cell.false_alarms / cell.quiet_rows:.1f} ({cell.false_alarms} in {cell.quiet_rows:,}{as_pages})"


def _weak(cells: list[RealCell]) -> list[str]:
    """Say where the engine breaks its promise, or misses what a peer finds with no more false alarms."""
    lines = []
    for stream in dict.fromkeys(cell.stream for cell in cells):
        engine, *peers = (cell for cell in cells if cell.stream == stream)
        allowed = engine.quiet_rows / engine.tick_rows / PROMISE
        if float(gammaincinv(engine.false_alarms, TAIL)) > allowed if engine.false_alarms else False:
            lasting = f"; {engine.again} alarms are of a change that lasts" if engine.again else ""
            lines.append(
                f"* {stream}: **{engine.false_alarms} false alarms**, where {allowed:.1f} are promised{lasting}."
            )
        if engine.kind == "change":
            found = [(c.delay, c.detector) for c in peers if c.delay and c.false_alarms <= engine.false_alarms]
            best = min(found, default=(0, ""))
            if best[0] and (engine.delay is None or best[0] < engine.delay):
                mine = "missed it" if engine.delay is None else f"took {engine.delay:,} rows"
                lines.append(f"* {stream}: **{best[1]}** took {best[0]:,} rows, the engine {mine}.")
        elif engine.kind == "windows":
            better = [c for c in peers if c.hits >= engine.hits and c.false_alarms < engine.false_alarms]
            better += [c for c in peers if c.hits > engine.hits and c.false_alarms == engine.false_alarms]
            if better:
                top = max(better, key=lambda c: (c.hits, -c.false_alarms))
                lines.append(
                    f"* {stream}: **{top.detector}** hit {top.hits} of {top.targets} with {top.false_alarms} false "
                    f"alarms, the engine {engine.hits} with {engine.false_alarms}."
                )
            elif engine.hits == 0:
                lines.append(f"* {stream}: the engine hit none of {engine.targets}.")
    return ["Where the engine breaks its promise, or a peer with no more false alarms does better:", "\n".join(lines)]


def real_section(results: Results) -> list[str]:
    """Return delays and false alarms on real streams."""
    if not results.real:
        return ["### 3. Real streams", results.real_absent] if results.real_absent else []
    rows, last = [], ""
    for cell in results.real:
        stream = "" if cell.stream == last else cell.stream
        last = cell.stream
        rows.append([stream, cell.detector, _found(cell), _false(cell), f"{cell.later}", cell.blamed])
    head = [
        "stream",
        "detector",
        "delay, rows, or hits",
        "false alarms per 10,000 rows",
        "alarms after",
        "blamed first",
    ]
    text = (
        "The engine with A = 10,000 ticks, peers as they come. Windows of 1,000 rows need references of at least two. "
        "`missed`: no alarm from the change to the end. `2 of 4`: labelled anomalies that had an alarm. Where nobody "
        "knows what happened, alarms are only counted; they may be right. The engine compares with its reference: it "
        "alarms again while a change lasts, where a detector that takes the new state for normal alarms once. `2 "
        "pages`: false alarms at most 1,000 rows apart, of whatever detector, as one; comparisons go by all of them."
    )
    weak = _weak(results.real)
    return ["### 3. Real streams", text, *(weak if weak[1] else []), table(head, rows)]


def _growth(cell: SpeedCell) -> tuple[bool, str]:
    first, last = cell.memory_mb[0], cell.memory_mb[-1]
    return last / first - 1 <= MEMORY_GOAL, f"{first:,.0f} to {last:,.0f} MB over {cell.rows:,} rows"


def speed_section(results: Results) -> list[str]:
    """Return rows per second and memory."""
    if not results.speed:
        return []
    engines = {cell.columns: cell for cell in results.speed if not cell.tool.startswith(("evidently", "NannyML"))}
    rows = []
    for cell in results.speed:
        own = engines[cell.columns]
        row = [f"{cell.columns:,}", cell.tool, f"{statistics.median(cell.rates):,.0f}"]
        if cell is own:
            kept, text = _growth(cell)
            rows.append([*row, "", "", f"{text}, {verdict(kept, '5 %')}" if cell.memory_mb else ""])
            continue
        ratio = statistics.median(a / b for a, b in zip(own.rates, cell.rates, strict=True))
        wanted = verdict(ratio >= SPEED_GOAL, f"{SPEED_GOAL:.0f}") if cell.tool.startswith("evidently") else ""
        rows.append([*row, f"**{ratio:,.0f}**", wanted, ""])
    head = ["columns", "tool", "rows/s of CPU time", "engine is faster by", "goal", "memory of the process, goal"]
    window = results.speed[0].window
    repeats = len(results.speed[0].rates)
    text = f"Windows of {window:,} rows of numeric columns, one thread; medians of {repeats} repeats, tools in turn."
    return ["### 4. Speed", text, table(head, rows)]

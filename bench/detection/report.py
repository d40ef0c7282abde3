"""Turn results into docs/benchmarks-detection.md."""

import math
from collections.abc import Iterable, Sequence

from scipy.special import gammaincinv

from bench.detection.bounds import lorden
from bench.detection.delay import PROMISES
from bench.detection.peers import ENGINE, TUNED
from bench.detection.report_more import real_section, speed_section
from bench.detection.results import LEVEL, DelayCell, NullCell, PeerDelay, Results
from bench.report import table, verdict

GEOMETRIC_GOAL, WORST_GOAL, FASTER_GOAL = 1.6, 2.5, 3.0
NAN, INF = math.nan, math.inf


def poisson_limits(number: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the exact two-sided limits of the mean of a Poisson number."""
    tail = (1 - level) / 2
    low = float(gammaincinv(number, tail)) if number else 0.0
    return low, float(gammaincinv(number + 1, 1 - tail))


def median(delays: Sequence[int], late: int) -> float:
    """Return the median delay, with runs without an alarm as the latest of all; NaN without runs."""
    ordered = [float(delay) for delay in sorted(delays)] + [INF] * late
    if not ordered:
        return NAN
    middle = (len(ordered) - 1) / 2
    low, high = ordered[math.floor(middle)], ordered[math.ceil(middle)]
    return low if low == high else (low + high) / 2


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs)) if logs else NAN


def between(events: int, alarms: float) -> str:
    """Return the mean number of events between alarms, in words."""
    return f"{events / alarms:,.0f}" if alarms > 0 else "no limit"


def null_row(cell: NullCell) -> list[str]:
    """Return one row of the table of false alarms."""
    low, high = poisson_limits(cell.alarms)
    mean = between(cell.events, cell.alarms) if cell.alarms else f"none in {cell.events:,}"
    # Missed only when chance is no excuse: the whole interval lies below the promise.
    kept = cell.events / low >= cell.promise if low > 0 else True
    return [
        cell.stream + (f" ({cell.note})" if cell.note else ""),
        f"{cell.columns}",
        f"{cell.reference:,}",
        f"{cell.events:,}",
        f"{cell.alarms}",
        f"{cell.events / cell.promise:.0f}",
        f"{mean} ({between(cell.events, high)} to {between(cell.events, low)})",
        verdict(kept, f"{cell.promise:,.0f}"),
    ]


def nulls_section(results: Results) -> list[str]:
    """Return the engine's false alarms, and the peers'."""
    head = ["stream", "columns", "reference rows", "events", "false alarms", "allowed"]
    head += [f"events between them ({LEVEL:.0%} limits)", "promise A"]
    total = sum(cell.events for cell in results.nulls)
    parts = [
        "### 1. False alarms",
        (
            f"{total:,} events in all, one a tick. Every fifth column is categorical. The promise counts as missed "
            f"when the whole interval lies below it; where it is just kept, {(1 - LEVEL) / 2:.1%} of all runs miss it."
        ),
        table(head, [null_row(cell) for cell in results.nulls]),
    ]
    streams = list(dict.fromkeys(cell.stream for cell in results.peer_nulls))
    if not streams:
        return parts
    number = {(cell.peer, cell.stream): cell for cell in results.peer_nulls}
    rows = [
        [f"**engine, A = {results.nulls[0].promise:,.0f}**", *(_engine_rate(results, stream) for stream in streams)],
        ["(promised at most)", *(f"{1e6 / results.nulls[0].promise:,.0f}" for _ in streams)],
        ["always fires", *("1,000,000" for _ in streams)],
        ["never fires", *("0" for _ in streams)],
    ]
    rows += [
        [peer, *(_rate(number[peer, s]) if (peer, s) in number else "-" for s in streams)]
        for peer in dict.fromkeys(cell.peer for cell in results.peer_nulls)
    ]
    parts += [
        "False alarms per million events of 20 columns, peers as they come (in brackets: alarms in how many events):",
        table(["detector", *streams], rows),
    ]
    return parts


def _rate(cell: object) -> str:
    alarms, events = cell.alarms, cell.events  # type: ignore[attr-defined]
    return f"{1e6 * alarms / events:,.0f} ({alarms:,} in {events:,})"


def _engine_rate(results: Results, stream: str) -> str:
    found = (c for c in results.nulls if f"{c.stream}, {c.reference:,} reference rows" == stream and c.columns == 20)
    cell = next(found, None)
    return _rate(cell) if cell else "-"


def _waited(value: float, rows: int) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if math.isfinite(value) else f"not in {rows:,}"


def ratios(cells: Sequence[DelayCell], *, limited: bool = True) -> list[float]:
    """Return all ratios of median delay to bound that the goals are about."""
    return [
        median(cell.delays[promise], cell.late[promise]) / lorden(float(promise), cell.kl)
        for cell in cells
        if cell.limited or not limited
        for promise in cell.delays
    ]


def delay_row(cell: DelayCell) -> list[str]:
    """Return one row of the table of delays."""
    row = [cell.case + ("" if cell.limited else " (no limit yet)"), f"{cell.kl:.4f}"]
    worst = 0.0
    for promise, delays in cell.delays.items():
        value, limit = median(delays, cell.late[promise]), lorden(float(promise), cell.kl)
        worst = max(worst, value / limit)
        ratio = f"**{value / limit:.2f}**" if math.isfinite(value) else "-"
        row += [f"{_waited(value, cell.rows)} / {limit:,.0f}", ratio]
    runs = ", ".join(f"{len(d)}" + (f" + {cell.late[p]} late" if cell.late[p] else "") for p, d in cell.delays.items())
    return [*row, runs, verdict(worst <= WORST_GOAL, f"{WORST_GOAL}") if cell.limited else ""]


def delays_section(results: Results) -> list[str]:
    """Return the engine's delays against Lorden's bound."""
    if not results.delays:
        return []
    head = ["change of one of 20 columns", "KL"]
    for promise in results.delays[0].delays:
        head += [f"A = {float(promise):,.0f}: median / bound", "ratio"]
    found = ratios(results.delays)
    mean, worst = geometric_mean(found), max(found)
    ways = "\n".join(f"* {cell.case}: {cell.how}." for cell in results.delays if cell.how != "exact")
    wanted = [
        verdict(mean <= GEOMETRIC_GOAL, f"goal {GEOMETRIC_GOAL}"),
        verdict(worst <= WORST_GOAL, f"goal {WORST_GOAL}"),
    ]
    summary = (
        f"Geometric mean of {len(found)} ratios: **{mean:.2f}** ({wanted[0]}); worst: **{worst:.2f}** ({wanted[1]})."
    )
    kl = f"KL is exact, but for\n\n{ways}" if ways else "KL is exact."
    early = sum(sum(cell.early.values()) for cell in results.delays)
    return [
        "### 2. Delay",
        summary,
        table([*head, "runs", "goal"], [delay_row(cell) for cell in results.delays]),
        f"Delays count rows from the first changed one. Runs with an alarm before the change, left out: {early}. {kl}",
        *_joint(results),
        *_against_peers(results),
    ]


def _joint(results: Results) -> list[str]:
    if results.joint:
        return []
    text = (
        "This version looks at single columns (of an embedding: at its length). What leaves them as they were, such as "
        "the correlation, it cannot see; an alarm there is a false one."
    )
    return [text]


def _against_peers(results: Results) -> list[str]:
    if not results.peer_delays:
        return []
    cases = [cell.case for cell in results.delays]
    promise = next(iter(results.delays[0].delays))
    ours = {cell.case: median(cell.delays[promise], cell.late[promise]) for cell in results.delays}
    waits = {cell.case: cell.rows for cell in results.delays}
    found = {(f"{c.peer}: {c.setting}", c.case): c for c in results.peer_delays}
    names = list(dict.fromkeys(name for name, _ in found))
    parts = []
    for tuned in (True, False):
        chosen = [name for name in names if name.endswith(f": {TUNED}") == tuned]
        rows = [[f"**engine, A = {float(promise):,.0f}**", *(f"**{_waited(ours[c], waits[c])}**" for c in cases)]]
        rows += [[name, *(_peer_delay(found.get((name, case))) for case in cases)] for name in chosen]
        if not tuned:
            rows += [["always fires", *("1" for _ in cases)], ["never fires", *("never" for _ in cases)]]
        title = "Median delay in rows, peers as they come (how often they are wrong stands in part 1):"
        if tuned:
            title = f"Median delay in rows, all brought to one false alarm in {float(promise):,.0f} rows of 20 columns:"
        parts += [title, table(["detector", *cases], rows)]
    return [parts[0], parts[1], *_wins(results), parts[2], parts[3], *_tunings(results)]


def _peer_delay(cell: PeerDelay | None) -> str:
    return _waited(median(cell.delays, cell.late), cell.rows) if cell else "-"


def _wins(results: Results) -> list[str]:
    """Say who is faster at the same rate of false alarms, and by how much."""
    tuned = [cell for cell in results.peer_delays if cell.setting == TUNED]
    ours = {cell.case: cell for cell in tuned if cell.peer == ENGINE}
    limits = {cell.case: math.log(PROMISES[0]) / cell.kl for cell in results.delays}
    lines, factors, near, beyond = [], [], [], 0
    for cell in (cell for cell in tuned if cell.peer != ENGINE and cell.case in ours):
        own = ours[cell.case]
        mine, theirs = median(own.delays, own.late), median(cell.delays, cell.late)
        if math.isinf(mine) and math.isinf(theirs):
            continue
        factors.append(theirs / mine)
        if theirs < mine:
            text = f"{theirs:,.0f} rows against {_waited(mine, own.rows)}"
            lines.append(f"* **{cell.peer} is faster** at {cell.case}: {text}.")
        if theirs / mine < FASTER_GOAL and theirs / FASTER_GOAL < limits[cell.case]:
            beyond += 1
        elif theirs / mine < FASTER_GOAL:
            near.append(f"{cell.peer} at {cell.case} ({theirs / mine:.2f} times)")
    faster = [factor for factor in factors if factor >= FASTER_GOAL]
    wanted = verdict(len(faster) == len(factors), "goal: all")
    head = (
        f"With as many false alarms as the tuned peers, the engine is at least {FASTER_GOAL:g} times faster in "
        f"{len(faster)} of {len(factors)} comparisons ({wanted}), and faster at all in {len(factors) - len(lines)}. "
        f"In {beyond} of the others a third of the peer's delay is less than Lorden's bound, which no detector of 20 "
        f"columns can hope for; the rest: {', '.join(near) or 'none'}. Where a peer wins:"
    )
    return [head, "\n".join(lines) or "* nowhere."]


def _tunings(results: Results) -> list[str]:
    rows = [[t.peer, t.parameter, t.natural, t.tuned, t.how] for t in results.tunings]
    return (
        ["How the peers were tuned:", table(["peer", "parameter", "as it comes", "tuned", "how"], rows)] if rows else []
    )


def render(results: Results) -> str:
    """Return everything as Markdown."""
    machine = ", ".join(f"{name} {value}" for name, value in results.machine.items() if name != "commit")
    commits = set(results.commits.values()) or {results.machine.get("commit", "unknown")}
    commit = commits.pop() if len(commits) == 1 else ", ".join(f"{c} ({part})" for part, c in results.commits.items())
    there = ", ".join(f"{name} {version}" for name, version in results.peers.items()) or "none"
    absent = "\n".join(f"* {name}: {why}." for name, why in results.absent.items())
    times = ", ".join(f"{part} {seconds:,.0f} s" for part, seconds in results.seconds.items())
    parts = [
        f"Machine: {machine}. Commit: {commit}. Plan: {results.plan}. Time: {times}.",
        f"Peers: {there}.",
        *([f"Not measured:\n\n{absent}"] if absent else []),
        *(nulls_section(results) if results.nulls else []),
        *delays_section(results),
        *real_section(results),
        *speed_section(results),
    ]
    return "\n\n".join(parts) + "\n"

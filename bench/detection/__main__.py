"""Measure how often the engine is wrong, how late and how fast, beside the peers; write docs/benchmarks-detection.md.

usage: python -m bench.detection [--quick] [--data DIRECTORY] [--only PARTS] [--redraw FILE]
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.detection import nulls as null
from bench.detection import real
from bench.detection import speed as fast
from bench.detection.cases import cases
from bench.detection.delay import PROMISES, Delays
from bench.detection.joint import joint_scores
from bench.detection.peers import found_peers
from bench.detection.report import render
from bench.detection.results import Results
from bench.detection.roster import natural
from bench.detection.tuning import Tuner
from bench.report import update_page
from bench.run import OUT, ROOT, SINGLE_THREADED, describe_machine

PAGE = ROOT / "docs" / "benchmarks-detection.md"
BEGIN = "<!-- measured: begin (written by make bench-detection) -->"
PARTS = ("nulls", "delay", "real", "speed")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured."""

    name: str = "full"
    nulls: tuple[null.NullCase, ...] = null.FULL
    runs: int = 25
    tuning: float = 1.0
    cases: tuple[str, ...] = ()
    """Names of changes; empty means all."""
    speed: fast.SpeedPlan = fast.FULL
    peers: tuple[str, ...] = ()
    """Peers that take part, by the beginning of their names; empty means all."""
    real: tuple[str, ...] = ()
    """Real streams, likewise."""


QUICK = Plan(
    name="quick",
    nulls=null.QUICK,
    runs=7,
    tuning=0.1,
    cases=("mean + 0.5 sd", "sd x 1.5", "missing 1 % to 3 %"),
    speed=fast.QUICK,
    peers=("river ADWIN", "river PageHinkley", "scipy"),
    real=("car loan, exact", "NAB ec2", "TCPD"),
)


def run(
    plan: Plan, parts: tuple[str, ...], data: Path, say: Callable[[str], None], results: Results | None = None
) -> Results:
    """Measure some parts."""
    results = results or fresh(plan)
    works = {"nulls": measure_nulls, "delay": measure_delays, "real": measure_real, "speed": measure_speed}
    for part in parts:
        start = time.perf_counter()
        works[part](plan, results, data, say)
        results.seconds[part] = time.perf_counter() - start
        results.commits[part] = results.machine["commit"]
    return results


def fresh(plan: Plan) -> Results:
    """Return results without any."""
    versions, absent = found_peers()
    return Results(describe_machine(), plan.name, versions, absent)


def measure_nulls(plan: Plan, results: Results, _: Path, say: Callable[[str], None]) -> None:
    """Part 1."""
    for case in plan.nulls:
        results.nulls.append(null.measure(case))
        say(f"{null.title(case)}, {case.columns} columns: {results.nulls[-1]}")
        if case.peers:
            peers = [p for p in natural(results.peers) if not plan.peers or p.name.startswith(plan.peers)]
            results.peer_nulls += null.measure_peers(case, peers, say)


def measure_delays(plan: Plan, results: Results, _: Path, say: Callable[[str], None]) -> None:
    """Part 2."""
    results.joint = joint_scores()
    delays = Delays(plan.runs, say)
    chosen = [case for case in cases() if not plan.cases or case.name in plan.cases]
    results.delays = [delays.measure(case) for case in chosen]
    tuner = Tuner(PROMISES[0], plan.tuning, say)
    threshold = tuner.engine(delays.engine(cases()[0]))
    results.peer_delays += [delays.measure_tuned(case, threshold) for case in chosen]
    for peer in tuner.peers(results.peers, delays.reference(chosen[0]), plan.peers):
        for case in chosen:
            results.peer_delays += delays.measure_peer(case, peer)
    results.tunings = tuner.notes


def measure_real(plan: Plan, results: Results, data: Path, say: Callable[[str], None]) -> None:
    """Part 3."""
    if not data.is_dir():
        results.real_absent = "Skipped: the folder with the real data is not there (`--data DIRECTORY`)."
        say(results.real_absent)
        return
    results.real = real.measure(data, results.peers, real.Only(streams=plan.real, peers=plan.peers), say)


def measure_speed(plan: Plan, results: Results, _: Path, say: Callable[[str], None]) -> None:
    """Part 4."""
    results.speed = fast.measure(plan.speed, results.peers, say)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="about two minutes, few cells, page left alone")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder with real data")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}; page left alone")
    parser.add_argument("--redraw", type=Path, nargs="+", help="draw the page from results instead of measuring")
    return parser.parse_args(arguments)


def merged(paths: list[Path]) -> Results:
    """Read results; what a later file has measured replaces what an earlier one has."""
    parts = [msgspec.json.decode(path.read_bytes(), type=Results) for path in paths]
    whole = parts[0]
    for part in parts[1:]:
        for name in part.__struct_fields__:
            value = getattr(part, name)
            if name in {"seconds", "commits"}:
                setattr(whole, name, getattr(whole, name) | value)
            elif value:
                setattr(whole, name, value)
    return whole


def main(arguments: list[str]) -> int:
    """Run the benchmark."""
    given = parse(arguments)
    if any(os.environ.get(name) != value for name, value in SINGLE_THREADED.items()):
        os.execve(sys.executable, [sys.executable, "-m", "bench.detection", *arguments], os.environ | SINGLE_THREADED)
    if given.redraw:
        update_page(PAGE, render(merged(given.redraw)), BEGIN)
        return 0
    begin = time.perf_counter()

    def say(text: str) -> None:
        print(f"[{time.perf_counter() - begin:5.0f} s] {text}", file=sys.stderr, flush=True)

    parts = tuple(given.only.split(","))
    plan = QUICK if given.quick else Plan()
    results = fresh(plan)
    OUT.mkdir(parents=True, exist_ok=True)
    name = (
        "quick" if given.quick else time.strftime("%Y%m%d-%H%M%S") + ("" if parts == PARTS else "-" + "-".join(parts))
    )
    try:
        run(plan, parts, given.data, say, results)
    finally:
        # What an interrupted run has measured is not lost.
        target = OUT / f"detection-{name}.json"
        target.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1))
    text = render(results)
    print(text)
    if not given.quick and parts == PARTS:
        update_page(PAGE, text, BEGIN)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Measure the service against what the machine can do, print it and write it to docs/benchmarks.md.

usage: python -m bench.run [--quick] [--repeats N] [--seconds S] [--gate RUN]
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np

from bench.measure import QUICK, Bench, Plan, Results, measure_all, measure_gates
from bench.report import disturbance, render, update_page

ROOT = Path(__file__).parents[1]
OUT = ROOT / "bench" / "out"
PAGE = ROOT / "docs" / "benchmarks.md"
DISTURBED = 1.6
"""A yardstick that varies by more than this says that the figures are about the neighbours."""
SINGLE_THREADED = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def describe_machine() -> dict[str, str]:
    """Return what figures depend on."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "CPU": f"{model} ({os.cpu_count()} cores)",
        "Linux": platform.release().split("-")[0],
        "Python": platform.python_version(),
        "numpy": np.__version__,
        "commit": commit.stdout.strip() or "unknown",
    }


def measured(bench: Bench, earlier: Path | None) -> Results:
    """Measure everything, or only the gate and take the rest from an earlier run."""
    if earlier is None:
        return measure_all(bench, Results(describe_machine()))
    results = msgspec.json.decode(earlier.read_bytes(), type=Results)
    measure_gates(bench, results)
    results.machine["commit for the gate"] = f"{describe_machine()['commit']} (medians of {bench.plan.repeats} repeats)"
    return results


def main(arguments: list[str]) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="about a minute, few cells, page left alone")
    parser.add_argument("--repeats", type=int, default=Plan().repeats, help="how often each figure is measured")
    parser.add_argument("--seconds", type=float, default=Plan().load_seconds, help="how long each load lasts")
    parser.add_argument("--gate", type=Path, help="measure only the gate, and take the rest from this earlier run")
    options = parser.parse_args(arguments)
    quick: bool = options.quick
    if any(os.environ.get(name) != value for name, value in SINGLE_THREADED.items()):
        os.execve(sys.executable, [sys.executable, "-m", "bench.run", *arguments], os.environ | SINGLE_THREADED)
    if shutil.which("wrk") is None or shutil.which("taskset") is None:
        print("make bench needs wrk and taskset", file=sys.stderr)
        return 1
    if (os.cpu_count() or 1) < 2:
        print("make bench needs two cores: one for the service, one for the load", file=sys.stderr)
        return 1
    begin = time.perf_counter()

    def say(text: str) -> None:
        print(f"[{time.perf_counter() - begin:5.0f} s] {text}", file=sys.stderr, flush=True)

    scratch = OUT / "scratch"
    try:
        plan = QUICK if quick else Plan(repeats=options.repeats, load_seconds=options.seconds)
        results = measured(Bench(plan, scratch, say), options.gate)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    text = render(results)
    print(text)
    target = OUT / ("quick.json" if quick else time.strftime("run-%Y%m%d-%H%M%S.json"))
    target.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1))
    if quick:
        return 0
    if disturbance(results) > DISTURBED:
        say(f"the yardstick was {disturbance(results):.1f} times slower at its worst: something else used this machine")
        say("the page is left alone; run again when it is quiet")
        return 1
    update_page(PAGE, text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Measure what the monitor sees of adversarial use, beside published detectors; write docs/benchmarks-adversarial.md.

usage: python -m bench.adversarial [--short] [--data DIRECTORY] [--only PARTS] [--victims NAMES] [--redraw FILE ...]
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench.adversarial.blind import blind_spots
from bench.adversarial.cost import measure_costs
from bench.adversarial.harness import (
    Eyes,
    calibrate,
    confirm_attacks,
    confirm_benign,
    confirm_hidden,
    confirm_thieves,
    train_peer,
)
from bench.adversarial.report import render
from bench.adversarial.results import Bars, Results
from bench.adversarial.sessions import CALIBRATE, CONFIRM, Part, Sizes
from bench.adversarial.setting import VICTIMS, cached
from bench.adversarial.train import record, recorded
from bench.adversarial.unseen import Seminar
from bench.report import update_page
from bench.run import OUT, ROOT, SINGLE_THREADED, describe_machine
from detectors.principals.grown import grown

PAGE = ROOT / "docs" / "benchmarks-adversarial.md"
DATA = PAGE.with_suffix(".json")
BLIND_PAGE = ROOT / "docs" / "red-team.md"
THRESHOLDS = ROOT / "bench" / "adversarial" / "thresholds.json"
BEGIN = "<!-- measured: begin (written by make bench-adversarial) -->"
PARTS = ("record", "calibrate", "benign", "attacks", "hidden", "thieves", "unseen", "cost")
PEER = 8
"""Sessions of each attack and workload that the one peer that is trained learns from."""
JUDGED = ("digits", "mnist")
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured."""

    name: str
    grow: Sizes
    calibrate: Sizes
    confirm: Sizes
    hidden: int
    thieves: int


FULL = Plan(
    name="full",
    grow=Sizes(attacks=40, benign=40),
    calibrate=Sizes(attacks=0, benign=150, peers=40),
    confirm=Sizes(attacks=100, benign=300, peers=40),
    hidden=40,
    thieves=12,
)
SHORT = Plan(
    name="short",
    grow=FULL.grow,
    calibrate=Sizes(attacks=0, benign=12),
    confirm=Sizes(attacks=15, benign=12),
    hidden=3,
    thieves=2,
)


def eyes_of(name: str, part: Part, plan: Plan, data: Path) -> Eyes:
    """Return everything that looks at sessions of a victim."""
    victim = cached(name, data)
    sizes = Sizes(attacks=min(plan.grow.attacks, PEER), benign=min(plan.grow.benign, PEER))
    return Eyes(victim, part, {"": grown()}, train_peer(victim, sizes))


def run(plan: Plan, parts: tuple[str, ...], victims: tuple[str, ...], data: Path, say: Say, results: Results) -> None:
    """Measure some parts on some victims."""
    if "record" in parts:
        for name in VICTIMS:
            record(name, data, plan.grow).save(OUT / f"stories-{name}.npz")
            say(f"{name}: stories recorded")
    bars = msgspec.json.decode(THRESHOLDS.read_bytes(), type=Bars) if THRESHOLDS.exists() else Bars()
    if "calibrate" in parts:
        bars.forest = grown().digest
        for name in victims:
            calibrate(eyes_of(name, CALIBRATE, plan, data), plan.calibrate, bars, say)
            THRESHOLDS.write_bytes(bars.encoded())
        say(f"thresholds frozen, SHA-256 {bars.digest}")
    if bars.forest != grown().digest:
        raise SystemExit("the thresholds are not of this forest: calibrate first")
    results.bars = bars.digest
    if "unseen" in parts:
        begin = time.perf_counter()
        Seminar(recorded(), victims, OUT, say).hold(results)
        results.seconds["unseen"] = time.perf_counter() - begin
        results.commits["unseen"] = results.machine["commit"]
    for part in ("benign", "attacks", "hidden", "thieves", "cost"):
        for name in victims if part in parts else ():
            begin = time.perf_counter()
            eyes = eyes_of(name, CONFIRM, plan, data)
            _measure(part, eyes, plan, bars, results, say)
            results.seconds[f"{part} {name}"] = time.perf_counter() - begin
            results.commits[f"{part} {name}"] = results.machine["commit"]


def _measure(part: str, eyes: Eyes, plan: Plan, bars: Bars, results: Results, say: Say) -> None:
    if part == "benign":
        confirm_benign(eyes, plan.confirm, bars, results, say)
    elif part == "attacks":
        confirm_attacks(eyes, plan.confirm.attacks, bars, results, say)
    elif part == "hidden":
        confirm_hidden(eyes, plan.hidden, bars, results, say)
    elif part == "thieves":
        confirm_thieves(eyes, plan.thieves, bars, results, say)
    else:
        measure_costs(eyes, results, say)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--short", action="store_true", help="a sixth of the sessions")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder with real data")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}; page left alone")
    parser.add_argument("--victims", default=",".join(JUDGED), help=f"some of {','.join(JUDGED)}")
    parser.add_argument("--redraw", type=Path, nargs="+", help="draw the page from results instead of measuring")
    return parser.parse_args(arguments)


def merged(paths: list[Path]) -> Results:
    """Read results, and put together what several runs have measured."""
    whole, *parts = [msgspec.msgpack.decode(path.read_bytes(), type=Results) for path in paths]
    for part in parts:
        if part.bars != whole.bars:
            raise SystemExit("results of different thresholds do not belong on one page")
        for name in ("seen", "copied", "unseen", "wronged", "curve", "costs"):
            getattr(whole, name).extend(getattr(part, name))
        whole.seconds |= part.seconds
        whole.commits |= part.commits
    return whole


def draw(results: Results) -> str:
    """Write the page, and the figures beside it."""
    bars = msgspec.json.decode(THRESHOLDS.read_bytes(), type=Bars)
    text, figures = render(results, bars)
    update_page(PAGE, text, BEGIN)
    update_page(BLIND_PAGE, blind_spots(results), BEGIN)
    DATA.write_bytes(in_lines(figures))
    return text


def in_lines(figures: Any) -> bytes:
    """Return JSON with a line for each record: what a run has changed is readable then, and the file is no larger."""
    encode = msgspec.json.encode
    parts = []
    for name, value in msgspec.to_builtins(figures).items():
        inner = b"[\n" + b",\n".join(map(encode, value)) + b"\n]" if isinstance(value, list) else encode(value)
        parts.append(encode(name) + b": " + inner)
    return b"{\n" + b",\n".join(parts) + b"\n}\n"


def main(arguments: list[str]) -> int:
    """Run the benchmark."""
    given = parse(arguments)
    if any(os.environ.get(name) != value for name, value in SINGLE_THREADED.items()):
        os.execve(sys.executable, [sys.executable, "-m", "bench.adversarial", *arguments], os.environ | SINGLE_THREADED)
    if given.redraw:
        draw(merged(given.redraw))
        return 0
    begin = time.perf_counter()

    def say(text: str) -> None:
        print(f"[{time.perf_counter() - begin:5.0f} s] {text}", file=sys.stderr, flush=True)

    parts, victims = tuple(given.only.split(",")), tuple(given.victims.split(","))
    plan = SHORT if given.short else FULL
    OUT.mkdir(parents=True, exist_ok=True)
    results = Results(describe_machine(), plan.name)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        run(plan, parts, victims, given.data, say, results)
    finally:
        # What an interrupted run has measured is not lost.
        name = "-".join(("adversarial", *parts, *victims))
        (OUT / f"{name}.msgpack").write_bytes(msgspec.msgpack.encode(results))
    if parts == PARTS and victims == JUDGED:
        print(draw(results))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

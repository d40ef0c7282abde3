"""Measure what the monitor sees of adversarial use, beside published detectors; write docs/benchmarks-adversarial.md.

usage: python -m bench.adversarial [--short] [--data DIRECTORY] [--only PARTS] [--victims NAMES] [--redraw FILE ...]
       python -m bench.adversarial --costs FILE
       python -m bench.adversarial --again FILE --was THRESHOLDS [--data DIRECTORY] [--victims NAMES]
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from bench.adversarial.again import again
from bench.adversarial.anew import costs_anew
from bench.adversarial.blind import blind_spots
from bench.adversarial.cost import measure_costs
from bench.adversarial.harness import (
    Eyes,
    calibrate,
    confirm_attacks,
    confirm_benign,
    confirm_fresh,
    confirm_hidden,
    confirm_oars,
    confirm_thieves,
    train_peer,
)
from bench.adversarial.report import render
from bench.adversarial.results import Bars, Results
from bench.adversarial.rule import freeze, read
from bench.adversarial.sessions import CALIBRATE, CONFIRM, FRESH, Part, Sizes
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
PARTS = ("record", "calibrate", "benign", "fresh", "attacks", "hidden", "oars", "thieves", "unseen", "cost")
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


def eyes_of(name: str, part: Part, plan: Plan, data: Path, *, peers: bool = True) -> Eyes:
    """Return everything that looks at sessions of a victim; the one peer that is trained is where peers are wanted."""
    victim = cached(name, data)
    if not peers:
        return Eyes(victim, part, {"": grown()})
    sizes = Sizes(attacks=min(plan.grow.attacks, PEER), benign=min(plan.grow.benign, PEER))
    return Eyes(victim, part, {"": grown()}, train_peer(victim, sizes))


def calibrated(name: str, plan: Plan) -> Path:
    """Return where what the calibration sessions of a victim reach is kept: of this forest, and of so many."""
    return OUT / f"calibration-{name}-{plan.calibrate.benign}-{grown().digest[:8]}"


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
            eyes, folder = eyes_of(name, CALIBRATE, plan, data), calibrated(name, plan)
            calibrate(eyes, plan.calibrate, folder, say)
            freeze(eyes.victim, read(folder), bars)
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
    for part in ("benign", "fresh", "attacks", "hidden", "oars", "thieves", "cost"):
        for name in victims if part in parts else ():
            begin = time.perf_counter()
            peers = part not in {"fresh", "oars"}
            eyes = eyes_of(name, FRESH if part == "fresh" else CONFIRM, plan, data, peers=peers)
            _measure(part, eyes, plan, bars, results, say)
            results.seconds[f"{part} {name}"] = time.perf_counter() - begin
            results.commits[f"{part} {name}"] = results.machine["commit"]


def _measure(part: str, eyes: Eyes, plan: Plan, bars: Bars, results: Results, say: Say) -> None:
    if part == "benign":
        confirm_benign(eyes, plan.confirm, bars, results, say)
    elif part == "fresh":
        confirm_fresh(eyes, plan.confirm.benign, bars, results, say)
    elif part == "attacks":
        confirm_attacks(eyes, plan.confirm.attacks, bars, results, say)
    elif part == "hidden":
        confirm_hidden(eyes, plan.hidden, bars, results, say)
    elif part == "oars":
        confirm_oars(eyes, plan.hidden, bars, results, say)
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
    parser.add_argument("--costs", type=Path, help="results of `--only cost` to be put into the page; all else is left")
    parser.add_argument("--again", type=Path, help="earlier results, to be judged by the thresholds of now")
    parser.add_argument("--was", type=Path, help="the thresholds that those were judged by, none of them higher")
    return parser.parse_args(arguments)


def judge_again(path: Path, was: Path, victims: tuple[str, ...], data: Path, say: Say) -> Results:
    """Judge results of an earlier run by the thresholds of now, which must not be lower."""
    old = msgspec.msgpack.decode(path.read_bytes(), type=Results)
    now = msgspec.json.decode(THRESHOLDS.read_bytes(), type=Bars)
    results = replace(old, machine=describe_machine(), bars=now.digest, seen=[])
    for name in victims:
        begin = time.perf_counter()
        eyes = eyes_of(name, CONFIRM, FULL, data, peers=False)
        before = msgspec.json.decode(was.read_bytes(), type=Bars)
        folder = OUT / f"again-{name}-{before.digest[:8]}-{now.digest[:8]}"
        results.seen += again(eyes, old, before, now, folder, say)
        results.seconds[f"again {name}"] = time.perf_counter() - begin
        results.commits[f"again {name}"] = results.machine["commit"]
    return results


def merged(paths: list[Path]) -> Results:
    """Read results, and put together what several runs have measured."""
    whole, *parts = [msgspec.msgpack.decode(path.read_bytes(), type=Results) for path in paths]
    for part in parts:
        if part.seen and part.bars != whole.bars:
            raise SystemExit("results of different thresholds do not belong on one page")
        for name in ("seen", "fresh", "copied", "unseen", "wronged", "curve", "costs"):
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


def put_costs(results: Results) -> None:
    """Put costs that were measured anew into the page and its figures."""
    page, figures = costs_anew(PAGE.read_text(), msgspec.json.decode(DATA.read_bytes()), results)
    PAGE.write_text(page)
    DATA.write_bytes(in_lines(figures))


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
    if given.costs:
        put_costs(msgspec.msgpack.decode(given.costs.read_bytes(), type=Results))
        return 0
    begin = time.perf_counter()

    def say(text: str) -> None:
        print(f"[{time.perf_counter() - begin:5.0f} s] {text}", file=sys.stderr, flush=True)

    parts, victims = tuple(given.only.split(",")), tuple(given.victims.split(","))
    if given.again:
        results = judge_again(given.again, given.was, victims, given.data, say)
        (OUT / f"adversarial-{'-'.join(('again', *victims))}.msgpack").write_bytes(msgspec.msgpack.encode(results))
        return 0
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

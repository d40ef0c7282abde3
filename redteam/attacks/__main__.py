"""How often each attack succeeds when nobody stops it: ``python -m redteam.attacks digits --sources 20``."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from time import process_time

import numpy as np

from redteam.attacks import ATTACKS, Attack, session_of, sources_of
from redteam.victims import Victim, cancer, digits, mnist

HEADER = "| attack | ATLAS | success | requests to success, median | CPU s a session |\n|---|---|---|---|---|\n"


def victim_of(name: str, folder: Path | None) -> Victim:
    """Return a victim by its name; MNIST needs the folder that holds it, and the digits get strangers from there."""
    if name == "digits":
        return digits(folder=folder)
    if name == "mnist":
        if folder is None:
            raise ValueError("mnist needs --data, the folder that holds it")
        return mnist(folder)
    return cancer(name.removeprefix("cancer-"))


def row(attack: Attack, victim: Victim, sources: int, seed: int, queries_max: int | None) -> str:
    """Run an attack on some sources of the calibration split and return its line of the table."""
    chosen = sources_of(victim, victim.calibration)[:sources]
    start = process_time()
    sessions = [session_of(attack, victim, victim.calibration, one, seed, queries_max) for one in chosen]
    took = (process_time() - start) / len(chosen)
    broken = sum(bool(session.error) for session in sessions)
    done = [session.success + 1 for session in sessions if session.success is not None]
    middle = f"{np.median(done):.0f}" if done else "-"
    share = f"{len(done)} of {len(sessions)}" + (f", {broken} broken" if broken else "")
    return f"| {attack.name} | {', '.join(attack.techniques)} | {share} | {middle} | {took:.3f} |\n"


def table(options: argparse.Namespace) -> Iterator[str]:
    """Yield the table line by line."""
    victim = victim_of(options.victim, options.data)
    yield HEADER
    for name in options.attack or ATTACKS:
        if ATTACKS[name].fits(victim):
            yield row(ATTACKS[name], victim, options.sources, options.seed, options.queries)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("victim", choices=["digits", "mnist", "cancer-logistic", "cancer-forest"])
    parser.add_argument("--data", type=Path, help="folder that holds mnist_test10k.npz")
    parser.add_argument("--sources", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--queries", type=int, help="requests at most; without it, as many as each attack usually has")
    parser.add_argument("--attack", action="append", choices=sorted(ATTACKS), help="may be given several times")
    for line in table(parser.parse_args()):
        sys.stdout.write(line)
        sys.stdout.flush()


if __name__ == "__main__":
    main()

"""Attacks that are not about one input: on cost, on feedback, on the baseline, on the people who read alerts."""

import numpy as np
from numpy.typing import NDArray

from redteam.attacks.base import Run, Source
from redteam.oracle import Endpoint, Latency, simulated_latency
from redteam.victims import Victim

DAY = 86_400.0
HALF = 0.5
MUTATED = 0.05
HONEST = 2_000
"""Rows and reports of others that the attacker's are mixed with, in what is marked."""


def latency(victim: Victim, rng: np.random.Generator) -> Latency:
    """Return how long the victim takes for an answer: the simulation that benign clients meet too."""
    return simulated_latency(victim.low, victim.high, rng.spawn(1)[0])


def sponge(*, family: int = 16, kept: int = 4) -> Run:
    """Sponge examples (Shumailov et al. 2021): a genetic search for inputs that take long, by the time answers took.

    What is marked: the mean time of the last generation over that of the first, ordinary one.
    """

    def run(victim: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> None:
        inputs = source.data[0]
        alive = inputs[rng.permutation(len(inputs))[:family]]
        oracle.ask(alive)
        usual = times = oracle.latencies
        while True:
            best = alive[np.argsort(-times)[:kept]]
            mothers, fathers = best[rng.integers(0, kept, family)], best[rng.integers(0, kept, family)]
            alive = np.where(rng.random(mothers.shape) < HALF, mothers, fathers)
            fresh = rng.uniform(victim.low, victim.high, alive.shape)
            alive = np.where(rng.random(alive.shape) < MUTATED, fresh, alive)
            oracle.ask(alive)
            times = oracle.latencies
            oracle.mark(float(times.mean() / usual.mean()))

    return run


def flood(*, burst: int = 10) -> Run:
    """Ask as fast as can be for the same few inputs and others, for their cost alone."""

    def run(_: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> None:
        inputs = source.data[0]
        sent = 0
        while True:
            chosen = rng.integers(0, len(inputs), burst)
            oracle.ask(inputs[chosen])
            sent += burst
            oracle.mark(sent)

    return run


def label_flips(*, share: float = 0.5) -> Run:
    """Ask for ordinary inputs of one class and report another as the truth, for a share of them.

    What is marked: by how much the accuracy falls that is measured from the reports, next to ``HONEST`` honest ones.
    """

    def run(victim: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> None:
        inputs, labels = source.data
        target = int((source.label + 1 + rng.integers(victim.classes - 1)) % victim.classes)
        wrong = sent = 0
        while True:
            for i in rng.permutation(len(inputs)):
                answer = int(oracle.ask(inputs[i][None]).argmax())
                lies = labels[i] == source.label or (labels[i] != target and rng.random() < share)
                truth = target if lies else int(labels[i])
                oracle.report(np.array([truth]))
                sent += 1
                wrong += int(answer == labels[i]) - int(answer == truth)
                oracle.mark(wrong / (HONEST + sent))

    return run


def boiling_frog(*, a_day: float = 0.01, rows: int = 100) -> Run:
    """Ordinary traffic whose mean moves in one column, by a share of its standard deviation every day.

    What is marked: how far the mean of the day's rows is from that of the attacker's data, in standard deviations.
    """

    def run(victim: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> None:
        inputs = source.data[0]
        column = _moving_column(inputs, source)
        spread = float(inputs[:, column].std())
        middle = float(inputs[:, column].mean())
        day = 0
        while True:
            sent = inputs[_some(rng, len(inputs), rows)].copy()
            sent[:, column] += _shift_for(sent[:, column], middle + a_day * day * spread, victim)
            for row in sent:
                oracle.ask(row[None])
                oracle.wait(DAY / rows)
            oracle.mark(float((sent[:, column].mean() - middle) / spread))
            day += 1

    return run


def baseline_poison(*, share: float = 0.2) -> Run:
    """Ordinary traffic with a share of rows at the far end of one column, for the next baseline to be made from.

    What is marked: by how many standard deviations the column's mean moves in a baseline of ``HONEST`` rows of others
    and all of the attacker's.
    """

    def run(victim: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> None:
        inputs = source.data[0]
        column = _moving_column(inputs, source)
        middle, spread = float(inputs[:, column].mean()), float(inputs[:, column].std())
        far = float(np.quantile(inputs[:, column], 0.99))
        moved = 0.0
        sent = 0
        while True:
            for i in rng.permutation(len(inputs)):
                row = inputs[i].copy()
                if rng.random() < share:
                    row[column] = np.clip(far + rng.normal(0.0, 0.1 * spread), victim.low, victim.high)
                oracle.ask(row[None])
                sent += 1
                moved += float(row[column] - middle)
                oracle.mark(moved / (HONEST + sent) / spread)

    return run


def chaff(*, accounts: int = 20, burst: int = 40, search: int = 10) -> Run:
    """Look like an attack, again and again, from account after account: how a search by labels begins, for no gain.

    Each burst halves the way between two inputs until it is at the boundary, and then sends noise around there. What is
    marked: the bursts so far.
    """

    def run(victim: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> None:
        inputs, labels = source.data
        turn = 0
        while True:
            oracle.account = turn % accounts
            one = int(rng.integers(len(inputs)))
            other = int(rng.choice(np.flatnonzero(labels != labels[one])))
            here, there = inputs[one], inputs[other]
            label = int(oracle.ask(here[None]).argmax())
            oracle.ask(there[None])
            for _ in range(search):
                middle = (here + there) / 2.0
                if int(oracle.ask(middle[None]).argmax()) == label:
                    here = middle
                else:
                    there = middle
            noise = rng.normal(0.0, 0.02 * (victim.high - victim.low), (burst - search - 2, victim.dimension))
            oracle.ask(np.clip(there + noise, victim.low, victim.high))
            turn += 1
            oracle.mark(turn)

    return run


def _some(rng: np.random.Generator, have: int, wanted: int) -> NDArray[np.int64]:
    """Draw places, each as often as any other, as far as that goes."""
    turns = -(-wanted // have)
    return np.concatenate([rng.permutation(have) for _ in range(turns)])[:wanted]


def _moving_column(inputs: NDArray[np.float64], source: Source) -> int:
    """Choose one of the columns that vary most."""
    return int(np.argsort(-inputs.std(axis=0))[source.index % min(8, inputs.shape[1])])


def _shift_for(values: NDArray[np.float64], wanted: float, victim: Victim) -> NDArray[np.float64]:
    """Return what to add so that the mean is as wanted, though no value leaves its range."""
    shift = wanted - float(values.mean())
    for _ in range(20):
        moved = np.clip(values + shift, victim.low, victim.high)
        shift += wanted - float(moved.mean())
    return np.clip(values + shift, victim.low, victim.high) - values

"""Adaptive attacks after OARS (Feng et al. 2023): proposals just large enough for the monitor not to refuse them.

A refused request has no answer. Before the attack, the size of its proposals is bisected to the smallest one of which
at most one in twenty is refused; during it, a refused proposal is drawn again, and a refused step is lengthened.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from redteam.attacks.base import Attack, Run, Source
from redteam.attacks.score import margins
from redteam.attacks.wrap import Relay, wrapped
from redteam.oracle import Endpoint
from redteam.victims import Victim

BISECTIONS = 10
PROBES = 20
HIT_RATE = 0.05
REDRAWS = 20
LONGER_STEPS = 5
Draw = Callable[[float], NDArray[np.float64]]
"""From a size to one proposal, shape (dimension,)."""


class Banned(Relay):
    """The monitor closes an account some requests after its first alarm; the client notices, and takes a new one.

    Parameters
    ----------
    behind : Endpoint
        Who answers, and knows of alarms.
    delay : int
        Least delay in requests; the delay of each account is drawn between it and twice as much.
    rng : numpy.random.Generator
        Draws the delays.
    """

    def __init__(self, behind: Endpoint, delay: int, rng: np.random.Generator) -> None:
        super().__init__(behind)
        self._delay, self._rng = delay, rng
        self._closes: int | None = None
        self._refused: list[bool] = []

    @property
    def refused(self) -> list[bool]:
        """Of each row of the last call: whether the account was closed to it."""
        return self._refused

    def ask(self, inputs: NDArray[np.floating]) -> NDArray[np.float64]:
        """Answer inputs, shape (n, dimension); what a closed account refuses is asked again under a new one."""
        answers = []
        self._refused = []
        for row in np.asarray(inputs, dtype=np.float64):
            closed = self._closes == 0
            if closed:
                self.behind.account += 1
                self._closes = None
            answers.append(self.behind.ask(row[None]))
            self._refused.append(closed)
            if self._closes is not None:
                self._closes -= 1
            elif self.behind.refused[-1]:
                self._closes = int(self._rng.integers(self._delay, 2 * self._delay + 1))
        return np.concatenate(answers)


class Careful:
    """Asks in proposals of a size that the monitor lets through.

    Parameters
    ----------
    oracle : Endpoint
        Who answers, and refuses.
    label : int
        The label of the input that is attacked.
    """

    def __init__(self, oracle: Endpoint, label: int) -> None:
        self._oracle, self._label = oracle, label

    def margin(self, row: NDArray[np.float64]) -> float | None:
        """Return by how much the label is ahead for an input; ``None`` when the request was refused."""
        answers = self._oracle.ask(row[None])
        return None if self._oracle.refused[-1] else float(margins(answers, self._label)[0])

    def calibrated(self, draw: Draw, low: float, high: float) -> float:
        """Return the smallest size between two whose proposals are let through, to a thousandth of the way."""
        if self._passes(draw, low):
            return low
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            low, high = (low, middle) if self._passes(draw, middle) else (middle, high)
        return high

    def _passes(self, draw: Draw, size: float) -> bool:
        refusals = 0
        for _ in range(PROBES):
            refusals += self.margin(draw(size)) is None
            if refusals > HIT_RATE * PROBES:
                return False
        return True

    def proposed(self, draw: Draw, size: float) -> tuple[NDArray[np.float64], float | None]:
        """Return a proposal that was let through, and its margin; drawn again while it is refused."""
        row = draw(size)
        margin = self.margin(row)
        for _ in range(REDRAWS):
            if margin is not None:
                break
            row = draw(size)
            margin = self.margin(row)
        return row, margin


def clipped(victim: Victim, row: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return an input as the victim takes it."""
    taken: NDArray[np.float64] = np.clip(row, victim.low, victim.high)
    return taken


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = rows / max(float(np.linalg.norm(rows)), 1e-12)
    return unit


def _line(
    careful: Careful, root: NDArray[np.float64], far: NDArray[np.float64], tolerance: float
) -> NDArray[np.float64]:
    """Return the input nearest to the root, between it and one with another label, whose label is another."""
    near, away = 0.0, 1.0
    length = float(np.linalg.norm(far - root))
    while (away - near) * length > tolerance:
        middle = (near + away) / 2
        margin = careful.margin(root + middle * (far - root))
        if margin is None:
            break
        near, away = (near, middle) if margin <= 0 else (middle, away)
    closest: NDArray[np.float64] = root + away * (far - root)
    return closest


def hop_skip_jump() -> Run:
    """HopSkipJump with calibrated probes and steps."""

    def run(victim: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> None:
        careful, root = Careful(oracle, source.label), source.input
        inputs, labels = source.data
        others = (inputs[i] for i in rng.permutation(np.flatnonzero(labels != source.label)))
        first = next((row for row in others if (careful.margin(row) or 1.0) <= 0), None)
        if first is None:
            return
        now = _line(careful, root, first, 0.02 * victim.budget)

        def draw(size: float) -> NDArray[np.float64]:
            moved = now + size * _unit(rng.standard_normal(victim.dimension))
            return clipped(victim, moved)

        reach = careful.calibrated(draw, 0.05 * victim.budget, 2.0 * victim.budget)
        for turn in range(1, 10_000):
            slope = np.zeros(victim.dimension)
            for _ in range(int(30 * np.sqrt(turn))):
                row, margin = careful.proposed(draw, reach)
                slope += (row - now) * (0.0 if margin is None else 1.0 if margin <= 0 else -1.0)
            step = float(np.linalg.norm(now - root)) / np.sqrt(turn)
            now = _line(careful, root, _stepped(careful, victim, now, _unit(slope), step), 0.02 * victim.budget)

    return run


def _stepped(
    careful: Careful, victim: Victim, now: NDArray[np.float64], along: NDArray[np.float64], step: float
) -> NDArray[np.float64]:
    """Go as far along as the label stays another: shorter while it does not, longer again when that is refused."""
    refusals = 0
    while step > 1e-3 * victim.budget:
        moved = clipped(victim, now + step * along)
        margin = careful.margin(moved)
        if margin is None:
            refusals += 1
            if refusals > LONGER_STEPS:
                break
            step *= 1.5
        elif margin <= 0:
            return moved
        else:
            step /= 2
    return now


def square() -> Run:
    """Square attack on the largest change of a value, with several squares at once: as many as must be."""

    def run(victim: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> None:
        careful, root = Careful(oracle, source.label), source.input
        eps = victim.budget_linf
        stripes = np.tile(rng.choice([-eps, eps], victim.shape[1]), (victim.shape[0], 1)).ravel()
        now = np.clip(root + stripes, victim.low, victim.high)
        best = careful.margin(now)
        best = np.inf if best is None else best

        def draw(size: float) -> NDArray[np.float64]:
            changed = (now - root).reshape(victim.shape)
            for _ in range(max(1, round(size))):
                side = int(rng.integers(1, max(2, min(victim.shape) // 3)))
                y, x = (int(rng.integers(0, length - side + 1)) for length in victim.shape)
                changed[y : y + side, x : x + side] = rng.choice([-eps, eps])
            return clipped(victim, root + changed.ravel())

        squares = careful.calibrated(draw, 1.0, 100.0)
        while True:
            row, margin = careful.proposed(draw, squares)
            if margin is not None and margin < best:
                now, best = row, margin

    return run


def nes(*, pairs: int = 8) -> Run:
    """Natural evolution strategies with calibrated probes, on the largest change of a value."""

    def run(victim: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> None:
        careful, root = Careful(oracle, source.label), source.input
        eps, now = victim.budget_linf, source.input.copy()
        sign, noise = 1.0, rng.standard_normal(victim.dimension)

        def draw(size: float) -> NDArray[np.float64]:
            return clipped(victim, now + sign * size * noise)

        def fresh(size: float) -> NDArray[np.float64]:
            nonlocal noise
            noise = rng.standard_normal(victim.dimension)
            return draw(size)

        spread = careful.calibrated(fresh, 0.1 * eps, 3.0 * eps)
        while True:
            slope = np.zeros(victim.dimension)
            for _ in range(pairs):
                sign = 1.0
                _, ahead = careful.proposed(fresh, spread)
                sign = -1.0
                behind = careful.margin(draw(spread))
                if ahead is not None and behind is not None:
                    slope += (ahead - behind) * noise
            sign = 1.0
            now = clipped(victim, root + np.clip(now - 0.25 * eps * np.sign(slope) - root, -eps, eps))
            careful.margin(now)

    return run


def banned(attack: Attack, delay: int) -> Attack:
    """Let an adaptive attack see nothing but that an account was closed, some requests after its first alarm."""

    def before(_: Victim, oracle: Endpoint, __: Source, rng: np.random.Generator) -> Endpoint:
        return Banned(oracle, delay, rng)

    techniques = (*attack.techniques, "AML.T0021")
    return wrapped(
        attack, f"ban{delay}", f"accounts closed after {delay} to {2 * delay}", before, techniques=techniques
    )

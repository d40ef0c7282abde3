"""Attacks of our own that go by class probabilities."""

import numpy as np
from numpy.typing import NDArray

from redteam.attacks.base import Run, Source
from redteam.oracle import Endpoint
from redteam.victims import Victim

THROTTLED_STEP = 0.1
"""Of the victim's budget: few steps are accepted, so they are larger."""


def margins(answers: NDArray[np.float64], label: int) -> NDArray[np.float64]:
    """Return by how much the label is ahead of all others, of answers (n, classes); negative: it is not."""
    others = np.delete(answers, label, axis=1)
    ahead: NDArray[np.float64] = np.log(answers[:, label] + 1e-12) - np.log(others.max(axis=1) + 1e-12)
    return ahead


def nes(*, pairs: int = 8, sigma: float = 0.05, step: float = 0.25, norm: float = np.inf) -> Run:
    """Natural evolution strategies (Ilyas et al. 2018): antithetic pairs, a step along the sign, kept only if better.

    ``sigma`` is in units of the value range, ``step`` in units of the budget.
    """

    def run(victim: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> None:
        root = source.input
        budget = victim.budget_linf if np.isinf(norm) else victim.budget
        width = sigma * (victim.high - victim.low)
        now, size = root.copy(), step * budget
        best = margins(oracle.ask(now[None]), source.label)[0]
        while best > 0:
            noise = rng.standard_normal((pairs, victim.dimension))
            probes = np.clip(np.concatenate([now + width * noise, now - width * noise]), victim.low, victim.high)
            values = margins(oracle.ask(probes), source.label)
            slope = ((values[:pairs] - values[pairs:])[:, None] * noise).mean(axis=0)
            moved = _within(now - size * _direction(slope, norm), root, budget, norm)
            moved = np.clip(moved, victim.low, victim.high)
            value = margins(oracle.ask(moved[None]), source.label)[0]
            if value < best:
                now, best = moved, value

    return run


def _direction(slope: NDArray[np.float64], norm: float) -> NDArray[np.float64]:
    if np.isinf(norm):
        return np.sign(slope)
    return slope / max(float(np.linalg.norm(slope)), 1e-12)


def _within(moved: NDArray[np.float64], root: NDArray[np.float64], budget: float, norm: float) -> NDArray[np.float64]:
    """Pull an input back into the budget around the root."""
    away = moved - root
    if np.isinf(norm):
        return root + np.clip(away, -budget, budget)
    return root + away * min(1.0, budget / max(float(np.linalg.norm(away)), 1e-12))


def throttled_simba(*, cap: float = 0.1) -> Run:
    """SimBA over cosine waves that accepts at most a share of its steps: most improvements are let go.

    Statistics of accepted and rejected steps then look like those of a client that does not care about answers.
    """

    def run(victim: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> None:
        now = source.input.copy()
        best = margins(oracle.ask(now[None]), source.label)[0]
        accepted = steps = 0
        while best > 0:
            for wave in rng.permutation(victim.dimension):
                step = _wave(victim.shape, int(wave)) * THROTTLED_STEP * victim.budget
                for moved in (
                    np.clip(now + step, victim.low, victim.high),
                    np.clip(now - step, victim.low, victim.high),
                ):
                    value = margins(oracle.ask(moved[None]), source.label)[0]
                    steps += 1
                    if value < best and accepted < cap * steps:
                        now, best, accepted = moved, value, accepted + 1
                        break

    return run


def _wave(shape: tuple[int, ...], index: int) -> NDArray[np.float64]:
    """Return one cosine wave of unit length over the shape of an input."""
    from scipy.fft import idctn

    waves = np.zeros(int(np.prod(shape)))
    waves[index] = 1.0
    wave: NDArray[np.float64] = idctn(waves.reshape(shape), norm="ortho").ravel()
    return wave

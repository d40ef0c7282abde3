"""Benign clients that look at the answers, matched to an attack with natural evolution strategies.

All take the same steps and differ in what they want: the direction is estimated from eight antithetic pairs, a step
goes along its sign, and is kept if the answer is better. With images of 0..1 and a ball of 8/255 the deviation of a
pair is 2/255 and a step 0.25/255; small grey images need a larger ball, and the other two grow with it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from redteam.benign.scene import NEIGHBOURS, Rows, Scene

PAIRS = 8
SIGMA, STEP = 2.0 / 8.0, 0.25 / 8.0
"""Shares of the ball."""
BALL_IMAGE, BALL_TABLE = 0.2, 0.1
"""Largest change of a value, as a share of the range."""
GRAIN = 0.1
"""Standard deviation of the noise that a restoration removes, as a share of the range."""
RESTORED = 0.5
NEAR = 100.0
"""Weight of the mean squared change of a counterfactual, in a range of 0..1."""

Value = Callable[[Rows, Rows], NDArray[np.float64]]
"""From inputs (n, dimension) and answers (n, classes) to what the client wants to make large, shape (n,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a client optimises."""

    value: Value
    keeps_label: bool
    """Whether a step that changes the label is turned down."""


def _logs(answers: Rows, label: int) -> NDArray[np.float64]:
    logs: NDArray[np.float64] = np.log(np.maximum(answers[:, label], 1e-12))
    return logs


def _ball(scene: Scene) -> float:
    share = BALL_TABLE if len(scene.victim.shape) == 1 else BALL_IMAGE
    return share * (scene.victim.high - scene.victim.low)


def _within(scene: Scene, rows: Rows, start: Rows) -> Rows:
    ball = _ball(scene)
    return scene.legal(np.clip(rows, start - ball, start + ball))


def _climb(scene: Scene, start: Rows, wish: Callable[[Rows], Wish]) -> None:
    """Ask for the start, then improve it until no further round fits into the length."""
    ball = _ball(scene)
    answer = scene.ask(start)
    wanted = wish(answer[0])
    label = int(answer[0].argmax())
    best, best_value = start, wanted.value(start[None], answer)[0]
    for _ in range((scene.length - 1) // (2 * PAIRS + 1)):
        directions = scene.rng.normal(size=(PAIRS, len(start)))
        around = np.concatenate([-directions, directions]) * SIGMA * ball
        proposals = _within(scene, best + around, start)
        values = wanted.value(proposals, scene.ask(proposals))
        estimate = ((values[PAIRS:] - values[:PAIRS])[:, None] * directions).mean(axis=0)
        candidate = _within(scene, best + STEP * ball * np.sign(estimate), start)
        answer = scene.ask(candidate)
        value = wanted.value(candidate[None], answer)[0]
        if value > best_value and not (wanted.keeps_label and int(answer[0].argmax()) != label):
            best, best_value = candidate, value


def restoration(scene: Scene) -> None:
    """Remove noise from an input: come close to a smoothed version of it, with the label as it is."""
    span = scene.victim.high - scene.victim.low
    start = scene.legal(scene.root + GRAIN * span * scene.rng.normal(size=scene.victim.dimension))
    wanted = (1.0 - RESTORED) * start + RESTORED * _smoothed(scene, start)

    def value(rows: Rows, answers: Rows) -> NDArray[np.float64]:
        del answers
        closeness: NDArray[np.float64] = -((rows - wanted) ** 2).mean(axis=1)
        return closeness

    _climb(scene, start, lambda _: Wish(value=value, keeps_label=True))


def _smoothed(scene: Scene, row: Rows) -> Rows:
    """Return the mean of each pixel's surroundings, or of the rows of a table that are next to this one."""
    if len(scene.victim.shape) == 1:
        near = ((scene.inputs - row) ** 2).sum(axis=1).argsort(kind="stable")[:NEIGHBOURS]
        mean: Rows = scene.inputs[near].mean(axis=0)
        return mean
    smooth: Rows = ndimage.uniform_filter(row.reshape(scene.victim.shape), 3).reshape(-1)
    return smooth


def confidence_boost(scene: Scene) -> None:
    """Make the victim surer of its label."""

    def wish(answer: Rows) -> Wish:
        label = int(answer.argmax())
        return Wish(value=lambda _, answers: _logs(answers, label), keeps_label=False)

    _climb(scene, scene.root, wish)


def boundary_probe(scene: Scene) -> None:
    """Find out how close the boundary is: make the margin small, and never change the label."""

    def wish(answer: Rows) -> Wish:
        label = int(answer.argmax())

        def value(rows: Rows, answers: Rows) -> NDArray[np.float64]:
            del rows
            others = np.delete(answers, label, axis=1).max(axis=1)
            lead: NDArray[np.float64] = others - answers[:, label]
            return lead

        return Wish(value=value, keeps_label=True)

    _climb(scene, scene.root, wish)


def counterfactual(scene: Scene) -> None:
    """Find a close input to which the victim gives the label that was second."""
    span = scene.victim.high - scene.victim.low

    def wish(answer: Rows) -> Wish:
        second = int(np.argsort(answer, kind="stable")[-2])

        def value(rows: Rows, answers: Rows) -> NDArray[np.float64]:
            change = (((rows - scene.root) / span) ** 2).mean(axis=1)
            gain: NDArray[np.float64] = _logs(answers, second) - NEAR * change
            return gain

        return Wish(value=value, keeps_label=False)

    _climb(scene, scene.root, wish)


def random_walk(scene: Scene) -> None:
    """Walk around the input with random signs, whatever the answers."""
    ball = _ball(scene)
    here, path = scene.root, [scene.root]
    while len(path) < scene.length:
        here = _within(scene, here + STEP * ball * scene.rng.choice([-1.0, 1.0], size=len(here)), scene.root)
        path.append(here)
    scene.ask(np.array(path))

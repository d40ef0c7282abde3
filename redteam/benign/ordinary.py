"""Clients that send one thing after the other, as the model was built for."""

import numpy as np
from numpy.typing import NDArray

from redteam.benign.scene import Deck, Rows, Scene

RETRIED = 0.1
"""Share of the requests that repeat the one before."""
HARD = 0.2
"""A client with hard inputs only has this share of the split, the ones with the lowest margins."""
WEEKS = 6
"""A session with a mix that changes every week lasts so many."""
WEEK = 7 * 24 * 3_600.0
UNEVEN = 0.5
"""Parameter of the Dirichlet distribution that the mix of a week is drawn from: a few classes prevail."""
DRIFT_TURN, DRIFT_LIGHT, DRIFT_COLUMNS = 15.0, 0.15, 0.5
"""What a slow drift comes to at the end of a session: degrees, share of the range, standard deviations of a column."""


def _deck(scene: Scene, which: NDArray[np.int64] | None = None) -> Deck:
    deck = Deck(scene, np.arange(len(scene.inputs)) if which is None else which)
    deck.first(scene.source)
    return deck


def iid(scene: Scene) -> None:
    """Send inputs of the split in random order."""
    deck = _deck(scene)
    scene.ask_all(deck.deal() for _ in range(scene.length))


def retries(scene: Scene) -> None:
    """Do the same, and send one request in ten again at once."""
    deck = _deck(scene)
    again = round(RETRIED * scene.length)
    fresh = np.array([deck.deal() for _ in range(scene.length - again)])
    times = np.ones(len(fresh), dtype=np.int64)
    times[scene.rng.choice(len(fresh), again, replace=False)] += 1
    scene.ask(np.repeat(fresh, times, axis=0))


def one_class(scene: Scene) -> None:
    """Send inputs of a single class."""
    deck = _deck(scene, np.flatnonzero(scene.classes == scene.classes[scene.source]))
    scene.ask_all(deck.deal() for _ in range(scene.length))


def weekly_mix(scene: Scene) -> None:
    """Send inputs of all classes, in shares that change every week."""
    present = np.unique(scene.classes)
    decks = {int(label): Deck(scene, np.flatnonzero(scene.classes == label)) for label in present}
    decks[int(scene.classes[scene.source])].first(scene.source)
    mixes = scene.rng.dirichlet(np.full(len(present), UNEVEN), size=WEEKS)
    weeks = np.arange(scene.length) * WEEKS // scene.length
    labels = [int(scene.rng.choice(present, p=mixes[week])) for week in weeks]
    labels[0] = int(scene.classes[scene.source])
    scene.ask_all(decks[label].deal() for label in labels)


def low_confidence(scene: Scene) -> None:
    """Send only inputs that the victim finds hard."""
    ordered = np.sort(scene.victim.predict(scene.inputs), axis=1)
    margins = ordered[:, -1] - ordered[:, -2]
    hard = np.argsort(margins, kind="stable")[: max(1, round(HARD * len(margins)))]
    deck = _deck(scene, hard)
    scene.ask_all(deck.deal() for _ in range(scene.length))


def drifting(scene: Scene) -> None:
    """Send inputs in random order that slowly change: images turn and brighten or darken, columns move."""
    deck = _deck(scene)
    sign = scene.rng.choice([-1.0, 1.0], size=scene.victim.dimension)
    progress = np.linspace(0.0, 1.0, scene.length)
    if len(scene.victim.shape) == 1:
        scene.ask_all(deck.deal() + share * DRIFT_COLUMNS * sign * scene.inputs.std(axis=0) for share in progress)
        return
    light = DRIFT_LIGHT * (scene.victim.high - scene.victim.low)

    def changed(row: Rows, share: float) -> Rows:
        turned = scene.warp(row, float(sign[0]) * share * DRIFT_TURN)
        return turned + float(sign[1]) * share * light

    scene.ask_all(changed(deck.deal(), float(share)) for share in progress)


def steadily(rng: np.random.Generator, length: int) -> NDArray[np.float64]:
    """Return the seconds at which a script sends, fifty requests a second."""
    del rng
    return np.arange(length) / 50.0


def at_random(rng: np.random.Generator, length: int) -> NDArray[np.float64]:
    """Return the seconds of independent requests, one in two seconds on average."""
    return np.cumsum(rng.exponential(2.0, length))


def in_bursts(rng: np.random.Generator, length: int) -> NDArray[np.float64]:
    """Return the seconds of bursts: 40 requests on average, a fiftieth of a second apart, then minutes of rest."""
    starts = rng.random(length) < 1.0 / 40.0
    return np.cumsum(np.where(starts, rng.exponential(600.0, length), 0.02))


def over_weeks(rng: np.random.Generator, length: int) -> NDArray[np.float64]:
    """Return the seconds of requests spread evenly over the weeks, at random within each one's share."""
    return (np.arange(length) + rng.random(length)) * WEEKS * WEEK / length

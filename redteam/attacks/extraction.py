"""Stealing a model by asking: what is sent, and how well the thief that learns from it agrees with the victim."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redteam.attacks.base import Run, Source
from redteam.attacks.library import estimator, library
from redteam.attacks.thief import Thief
from redteam.oracle import Endpoint
from redteam.victims import Victim

CHECKPOINTS = (25, 50, 100, 200, 400, 800, 1_600, 3_200)
JUDGED = 1_000
POOL_MAX = 4_000
Pool = Callable[[Victim, Source, np.random.Generator], NDArray[np.float64]]


class Loot:
    """Everything that was asked and answered, with a thief trained from it at checkpoints.

    Parameters
    ----------
    victim : Victim
        What is stolen.
    oracle : Endpoint
        Who answers.
    source : Source
        Whose ``judge`` the thief is compared with the victim on: labels that are the same, as a share.
    rng : numpy.random.Generator
        Of the thief.
    hard : bool
        Whether the thief learns from labels instead of probabilities.
    """

    def __init__(
        self, victim: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator, *, hard: bool = False
    ) -> None:
        self.thief = Thief(victim.dimension, victim.classes, rng)
        self._victim, self._oracle, self._hard = victim, oracle, hard
        self._judged = source.judge[0][:JUDGED]
        self._truth = victim.predict(self._judged).argmax(axis=1)
        self._inputs: list[NDArray[np.float64]] = []
        self._answers: list[NDArray[np.float64]] = []
        self._held = 0

    def ask(self, inputs: NDArray[Any]) -> NDArray[np.float64]:
        """Ask for inputs (n, dimension), in parts that end at checkpoints."""
        rows = np.asarray(inputs, dtype=np.float64).reshape(len(inputs), -1)
        answers = []
        while len(rows):
            due = next((c for c in CHECKPOINTS if c > self._held), self._held + len(rows))
            part, rows = rows[: due - self._held], rows[due - self._held :]
            answers.append(self._oracle.ask(part))
            self._inputs.append(part)
            self._answers.append(answers[-1])
            self._held += len(part)
            if self._held in CHECKPOINTS:
                self.train()
        return np.concatenate(answers)

    def train(self) -> Thief:
        """Train the thief from everything so far and put its fidelity on record."""
        answers = np.concatenate(self._answers)
        if self._hard:
            answers = np.eye(answers.shape[1])[answers.argmax(axis=1)]
        self.thief.fit(np.concatenate(self._inputs), answers)
        self._oracle.mark(float((self.thief.labels(self._judged) == self._truth).mean()))
        return self.thief


def own(_: Victim, source: Source, __: np.random.Generator) -> NDArray[np.float64]:
    """Return inputs like those the victim was made for: no anomaly detector can see these."""
    return source.data[0]


def noise(victim: Victim, _: Source, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return uniform noise."""
    return rng.uniform(victim.low, victim.high, (POOL_MAX, victim.dimension))


def strangers(victim: Victim, _: Source, __: np.random.Generator) -> NDArray[np.float64]:
    """Return real inputs of another data set."""
    if victim.strangers is None:
        raise ValueError(f"{victim.name} has no inputs of another data set")
    return victim.strangers


def few_classes(victim: Victim, source: Source, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return own inputs of a third of the classes only."""
    inputs, labels = source.data
    chosen = rng.choice(victim.classes, max(1, victim.classes // 3), replace=False)
    return inputs[np.isin(labels, chosen)]


def _student(victim: Victim, loot: Loot) -> Any:
    """Return the thief as the library wants to train it."""
    from art.estimators.classification.scikitlearn import ScikitlearnClassifier
    from sklearn.dummy import DummyClassifier

    classes = np.arange(victim.classes)
    stand_in = DummyClassifier().fit(np.zeros((victim.classes, victim.dimension)), classes)

    class Student(ScikitlearnClassifier):  # type: ignore[misc]  # the library has no types
        """Learns from the loot, which has all that the library hands over."""

        def fit(self, x: NDArray[Any], y: NDArray[Any], **_: Any) -> None:
            """Train once more, with everything."""
            del x, y
            loot.train()

    return Student(stand_in, clip_values=(victim.low, victim.high))


def knockoff(pool: Pool) -> Run:
    """Knockoff nets (Orekondy, Schiele, Fritz 2019): a random part of a pool, learned from probabilities."""

    def run(victim: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> None:
        loot = Loot(victim, oracle, source, rng)
        with library(rng):
            from art.attacks.extraction import KnockoffNets

            inputs = pool(victim, source, rng).astype(np.float32)
            model = estimator(victim, loot.ask, flat=True)
            attack = KnockoffNets(
                model, batch_size_query=64, nb_stolen=len(inputs), use_probability=True, verbose=False
            )
            attack.extract(inputs, thieved_classifier=_student(victim, loot))

    return run


def copycat(pool: Pool) -> Run:
    """Copycat CNN (Correia-Silva et al. 2018): a random part of a pool, learned from labels."""

    def run(victim: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> None:
        loot = Loot(victim, oracle, source, rng, hard=True)
        with library(rng):
            from art.attacks.extraction import CopycatCNN

            inputs = pool(victim, source, rng).astype(np.float32)
            model = estimator(victim, loot.ask, flat=True)
            attack = CopycatCNN(model, batch_size_query=64, nb_stolen=len(inputs), use_probability=False)
            attack.extract(inputs, thieved_classifier=_student(victim, loot))

    return run


def jacobian(*, seeds: int = 20, step: float = 0.2) -> Run:
    """Jacobian-based augmentation (Papernot et al. 2017): from a few own inputs on, along the thief's gradients.

    Steps go towards the boundary, where the victim's answers teach most: away from it this thief learns nothing.
    """

    def run(victim: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> None:
        loot = Loot(victim, oracle, source, rng)
        inputs = source.data[0]
        known = inputs[rng.permutation(len(inputs))[:seeds]]
        labels = loot.ask(known).argmax(axis=1)
        loot.train()
        while True:
            moved = known - step * (victim.high - victim.low) * np.sign(loot.thief.slopes(known, labels))
            moved = np.clip(moved, victim.low, victim.high)
            answers = loot.ask(moved)
            known = np.concatenate([known, moved])
            labels = np.concatenate([labels, answers.argmax(axis=1)])
            loot.train()

    return run

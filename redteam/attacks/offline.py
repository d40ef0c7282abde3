"""Evasion worked out elsewhere, and sent finished: with the victim's own gradients, or on a model of the attacker's."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from redteam.attacks.base import Run, Source
from redteam.attacks.library import library
from redteam.attacks.thief import Thief
from redteam.oracle import Endpoint
from redteam.victims import Victim

STRENGTHS = (0.25, 0.5, 0.75, 1.0)
"""Of the budget: how far the candidates go, in the order in which they are sent."""


def low_pro_fool() -> Run:
    """LowProFool (Ballet et al. 2019) on a linear classifier in the attacker's hand, ever less careful."""

    def run(victim: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> None:
        with library(rng):
            for weight in (5.0, 1.5, 0.5, 0.1):
                found = _low_pro_fool(victim, source, weight)
                if oracle.ask(found).argmax() != source.label:
                    return

    return run


def _low_pro_fool(victim: Victim, source: Source, weight: float) -> NDArray[np.float64]:
    from art.attacks.evasion import LowProFool
    from art.estimators.classification.scikitlearn import ScikitlearnLogisticRegression

    model: Any = ScikitlearnLogisticRegression(victim.classifier, clip_values=(victim.low, victim.high))
    attack = LowProFool(model, n_steps=100, eta=0.2, lambd=weight, verbose=False)
    attack.fit_importances(*source.data)
    wanted = np.eye(victim.classes)[[(source.label + 1) % victim.classes]]
    found: NDArray[np.float64] = attack.generate(source.input[None], wanted).astype(np.float64)
    return found


def transfer(*, steps: int = 20) -> Run:
    """Projected gradient descent (Madry et al. 2018) on a thief that learned the attacker's own inputs only."""

    def run(victim: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> None:
        inputs, labels = source.data
        thief = Thief(victim.dimension, victim.classes, rng).fit(inputs, np.eye(victim.classes)[labels])
        for strength in STRENGTHS:
            reach = strength * victim.budget
            now = source.input[None]
            for _ in range(steps):
                slope = thief.slopes(now, np.array([source.label]))
                now = now - 2.5 * reach / steps * slope / max(float(np.linalg.norm(slope)), 1e-12)
                away = now - source.input
                away *= min(1.0, reach / max(float(np.linalg.norm(away)), 1e-12))
                now = np.clip(source.input + away, victim.low, victim.high)
            if oracle.ask(now).argmax() != source.label:
                return

    return run

"""Was a record in the training data? Half of those that are asked about were."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from redteam.attacks.base import Run, Source
from redteam.attacks.library import estimator, library, remembering, shaped
from redteam.oracle import Endpoint
from redteam.victims import Victim

COPIES = 8
BLUR = 0.03
"""Standard deviation of the changed copies, of the value range."""


def _records(
    victim: Victim, source: Source, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.float64], int, bool]]:
    """Yield records with their true labels, members of the training data and others in turn."""
    parts = [(part, rng.permutation(len(part[0]))) for part in (victim.fit, source.data)]
    for i in range(min(len(order) for _, order in parts)):
        for member, ((inputs, labels), order) in zip((True, False), parts, strict=True):
            yield inputs[order[i]], int(labels[order[i]]), member


def boundary_distance() -> Run:
    """Label-only inference by the distance to the boundary (Choquette-Choo et al., Li and Zhang 2021)."""

    def run(victim: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> None:
        with library(rng):
            from art.attacks.inference.membership_inference import LabelOnlyDecisionBoundary

            attack = LabelOnlyDecisionBoundary(estimator(victim, remembering(victim, oracle)), victim.budget)
            settings = {"norm": 2, "max_iter": 5, "max_eval": 100, "init_eval": 20, "init_size": 100}
            for done, (record, label, _) in enumerate(_records(victim, source, rng), 1):
                attack.infer(shaped(victim, record), np.array([label]), verbose=False, **settings)
                oracle.mark(done)

    return run


def changed_copies() -> Run:
    """Label-only inference by how many slightly changed copies keep the label (Choquette-Choo et al. 2021)."""

    def run(victim: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> None:
        for done, (record, _, _) in enumerate(_records(victim, source, rng), 1):
            blur = BLUR * (victim.high - victim.low) * rng.standard_normal((COPIES, victim.dimension))
            oracle.ask(np.clip(np.concatenate([record[None], record + blur]), victim.low, victim.high))
            oracle.mark(done)

    return run


def confidence() -> Run:
    """Inference by the confidence in a single answer (Yeom et al. 2018): one request a record, and nothing to see."""

    def run(victim: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> None:
        for done, (record, _, _) in enumerate(_records(victim, source, rng), 1):
            oracle.ask(record[None])
            oracle.mark(done)

    return run

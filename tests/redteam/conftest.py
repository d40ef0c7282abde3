"""Victims for the attacks: trained once for all tests."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from redteam.victims import Split, Victim, cancer, digits


def _enlarged(split: Split) -> Split:
    inputs, labels = split
    images = inputs.reshape(-1, 8, 8).repeat(2, axis=1).repeat(2, axis=2)
    return images.reshape(len(inputs), -1), labels


def _reduced(inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    reduced: NDArray[np.float64] = inputs.reshape(-1, 8, 2, 8, 2).mean(axis=(2, 4)).reshape(len(inputs), -1)
    return reduced


@pytest.fixture(scope="session")
def victim() -> Victim:
    """Return the classifier of digits."""
    return digits()


@pytest.fixture(scope="session")
def victims(victim: Victim) -> list[Victim]:
    """Return victims such that every attack fits one of them: digits, also in 16 x 16 pixels, and a table."""
    large = dataclasses.replace(
        victim,
        name="digits16",
        shape=(16, 16),
        predict=lambda inputs: victim.predict(_reduced(inputs)),
        budget=2 * victim.budget,
        fit=_enlarged(victim.fit),
        reference=_enlarged(victim.reference),
        calibration=_enlarged(victim.calibration),
        confirmation=_enlarged(victim.confirmation),
    )
    with_strangers = dataclasses.replace(
        victim, strangers=np.random.default_rng(0).beta(0.3, 0.6, (500, victim.dimension))
    )
    return [victim, large, with_strangers, cancer()]

"""Clients who ask for ordinary inputs and report what they truly are: labels are judged beside those of others only."""

import numpy as np

from redteam.attacks.streams import HONEST
from redteam.session import Kind, Session
from redteam.victims import Victim

WORKLOAD = "honest"
REPORTERS = 5


def honest(victim: Victim) -> Session:
    """Return what such clients ask and report, as one session of several accounts."""
    inputs, labels = victim.calibration
    chosen = np.random.default_rng(HONEST).integers(len(inputs), size=HONEST)
    return Session(
        workload=WORKLOAD,
        kind=Kind.ORDINARY,
        victim=victim.name,
        seed=0,
        source=-1,
        inputs=inputs[chosen].astype(np.float32),
        probabilities=victim.predict(inputs[chosen]).astype(np.float32),
        seconds=np.arange(HONEST, dtype=np.float64),
        accounts=(np.arange(HONEST) % REPORTERS).astype(np.int32),
        feedback=labels[chosen].astype(np.int32),
    )

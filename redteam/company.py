"""Ordinary clients beside an attack on cost: how long answers take is judged by those of others at the same time."""

import numpy as np

from redteam.attacks import ATTACKS
from redteam.session import Kind, Session
from redteam.victims import Victim

WORKLOAD = "company"
CLIENTS = 10
POOL = 200
"""Inputs that all of them together ask for, over and over: an endpoint is asked for each of them once."""
ROUND_SECONDS = 1.0
"""Of a session's own clock: so much of it is sent at a time, beside as much of the others."""
SEED = 11


def wants_company(session: Session) -> bool:
    """Tell whether nothing but a comparison with other clients at the same time can tell of a session."""
    attack = ATTACKS.get(session.workload) if session.kind is Kind.ATTACK else None
    return attack is not None and attack.company and session.latency_ms is not None


def company(victim: Victim, session: Session, rounds: int) -> Session:
    """Return what others ask meanwhile: ordinary inputs, each of them as many in a round as the attack in its first.

    Their answers take as long as the victim takes for them, by the measure that the attack met.
    """
    rng = np.random.default_rng(SEED)
    inputs = victim.calibration[0][rng.permutation(len(victim.calibration[0]))[:POOL]]
    latency = ATTACKS[session.workload].latency(victim, rng)
    if victim.timed is not None:
        answers, took = victim.timed(inputs)
    elif latency is not None:
        answers, took = victim.predict(inputs), latency(inputs)
    else:
        raise ValueError(f"answers to {session.workload} are not timed: nobody can be compared")
    each = max(1, int((session.seconds - session.seconds[0] < ROUND_SECONDS).sum()))
    chosen = rng.integers(len(inputs), size=rounds * CLIENTS * each)
    return Session(
        workload=WORKLOAD,
        kind=Kind.ORDINARY,
        victim=victim.name,
        seed=0,
        source=-1,
        inputs=inputs[chosen].astype(np.float32),
        probabilities=answers[chosen].astype(np.float32),
        seconds=np.repeat(np.arange(rounds) * ROUND_SECONDS, CLIENTS * each),
        accounts=(np.arange(len(chosen)) % CLIENTS).astype(np.int32),
        latency_ms=took[chosen].astype(np.float32),
    )

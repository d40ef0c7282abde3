"""One attack on one source, from the first request to the last."""

import logging
import zlib

import numpy as np

from redteam.attacks.base import Attack, Source
from redteam.oracle import Enough, Oracle, Watch
from redteam.session import Kind, Session
from redteam.victims import Split, Victim

AFTER = 50
"""How many more requests an attack sends once it has succeeded: whoever succeeds seldom stops at once."""

log = logging.getLogger(__name__)


def sources_of(victim: Victim, split: Split) -> list[int]:
    """Return the places of the inputs that the victim labels rightly: only they can be attacked."""
    inputs, labels = split
    return [int(i) for i in np.flatnonzero(victim.predict(inputs).argmax(axis=1) == labels)]


def generator(seed: int, name: str, source: int) -> np.random.Generator:
    """Return a generator that depends on nothing but these."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), source])


def session_of(  # noqa: PLR0913 - what a session depends on, and nothing else
    attack: Attack,
    victim: Victim,
    split: Split,
    source: int,
    seed: int,
    queries_max: int | None = None,
    *,
    after: int = AFTER,
    watch: Watch | None = None,
) -> Session:
    """Run an attack on one source input of a split.

    Parameters
    ----------
    attack : Attack
        From the registry.
    victim : Victim
        What is attacked.
    split : Split
        ``victim.calibration`` or ``victim.confirmation``: the attacker's own data.
    source : int
        Place in the split of the input that is attacked; one that the victim labels rightly.
    seed : int
        Everything random depends on it, on the attack's name and on the source.
    queries_max : int or None
        After so many requests the attack ends; ``None``: after as many as the attack usually has.
    after : int
        How many more requests an attack on a single input sends once it has succeeded; any other runs to its end.
    watch : Watch or None
        A monitor that looks on, for attackers who see its alarms.

    Returns
    -------
    Session
        With an error when the victim or the attack's own code failed.

    Raises
    ------
    ValueError
        If the victim lacks what the attack needs, or labels the source wrongly.
    """
    if not attack.fits(victim):
        raise ValueError(f"{attack.name} cannot run on {victim.name}: it needs {', '.join(sorted(attack.needs))}")
    inputs, labels = split
    root = np.asarray(inputs[source], dtype=np.float32).astype(np.float64)
    label = int(victim.predict(root[None]).argmax())
    if label != labels[source]:
        raise ValueError(f"{victim.name} labels source {source} wrongly: there is nothing to attack")
    rng = generator(seed, attack.name, source)
    told = Source(input=root, label=label, index=source, data=split, judge=victim.reference)
    goal = attack.goal(victim, told)
    limit = attack.queries_max if queries_max is None else queries_max
    latency = attack.latency(victim, rng)
    oracle = Oracle(
        victim.predict,
        limit,
        goal=goal,
        after=limit if goal is None else after,
        rate=attack.rate,
        watch=watch,
        latency=latency,
        timed=None if latency is None else victim.timed,
        enough=attack.enough,
    )
    error = _run(attack, victim, oracle, told, rng)
    return oracle.session(
        workload=attack.name, kind=Kind.ATTACK, victim=victim.name, seed=seed, source=source, error=error
    )


def _run(attack: Attack, victim: Victim, oracle: Oracle, source: Source, rng: np.random.Generator) -> str:
    """Run an attack to its end; return what stopped it, if anything did."""
    try:
        attack.run(victim, oracle, source, rng)
    except Enough:
        pass
    except Exception as error:
        log.exception("%s on %s, source %d: the session proves nothing", attack.name, victim.name, source.index)
        return f"{type(error).__name__}: {error}"
    return ""

"""Which sessions each part of the protocol is about: no part has sources, seeds or salts of another one."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from redteam import benign
from redteam.attacks import ATTACKS, Attack, Family, session_of, sources_of
from redteam.session import Kind, Session
from redteam.victims import Victim


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the protocol."""

    name: str
    split: Literal["calibration", "confirmation"]
    seed: int
    """Sessions that cannot have a source of their own, because there are too few, have the next seeds."""
    odd: int | None
    """Only even (0) or odd (1) sources; ``None``: all."""
    backwards: bool = False
    """Whether the last sources come first."""


GROW = Part(name="grow", split="calibration", seed=1_000, odd=0)
CALIBRATE = Part(name="calibrate", split="calibration", seed=2_000, odd=1)
CONFIRM = Part(name="confirm", split="confirmation", seed=3_000, odd=None)
FRESH = Part(name="fresh", split="confirmation", seed=4_000, odd=None, backwards=True)
"""Benign sessions that no rule was ever changed for: other dice, other salts and, where there are enough, sources."""
QUERY = frozenset({Family.DECISION, Family.SCORE})
HIDDEN = ("simba-throttled", "hopskipjump-l2+rounded", "square-linf+rounded", "simba-px+rounded",
          "hopskipjump-l2+noise", "simba-dct+noise")  # fmt: skip
"""Disguises that the forest is grown with; it never sees an adaptive attack, one of several accounts, or cover."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sessions of each attack and of each benign workload."""

    attacks: int
    benign: int
    peers: int | None = None
    """Benign sessions of each workload that published detectors are shown, too; ``None``: all."""


def plain(victim: Victim) -> list[Attack]:
    """Return the attacks by queries that hide nothing."""
    return [
        attack
        for name, attack in ATTACKS.items()
        if attack.family in QUERY
        and "+" not in name
        and not name.startswith(("oars", "simba-throttled"))
        and attack.fits(victim)
    ]


def hidden(victim: Victim) -> list[Attack]:
    """Return the disguises that the forest is grown with."""
    return [ATTACKS[name] for name in HIDDEN if ATTACKS[name].fits(victim)]


def turns(places: list[int], part: Part, wanted: int) -> Iterator[tuple[int, int]]:
    """Yield pairs of source and seed: every source once, then again with the next seed."""
    own = [place for place in places if part.odd is None or place % 2 == part.odd]
    own = own[::-1] if part.backwards else own
    for i in range(wanted):
        yield own[i % len(own)], part.seed + i // len(own)


def of_attack(
    victim: Victim, attack: Attack, part: Part, count: int, queries_max: int | None = None
) -> Iterator[Session]:
    """Yield sessions of an attack."""
    split = getattr(victim, part.split)
    for source, seed in turns(sources_of(victim, split), part, count):
        yield _checked(session_of(attack, victim, split, source, seed, queries_max))


def _checked(session: Session) -> Session:
    """Mark a session as broken off when an attack's own arithmetic sent what is no number."""
    if np.isfinite(session.inputs).all() and np.isfinite(session.probabilities).all():
        return session
    return replace(session, error="a request is not finite")


def of_workload(victim: Victim, workload: benign.Workload, part: Part, count: int) -> Iterator[Session]:
    """Yield sessions of a benign workload."""
    split = getattr(victim, part.split)
    for source, seed in turns(list(range(len(split[0]))), part, count):
        yield benign.session_of(workload, victim, part.split, source, seed)


def streams(victim: Victim, part: Part, sizes: Sizes) -> Iterator[Session]:
    """Yield what a forest is grown from: attacks by queries, and everything benign that can be told from them."""
    for attack in plain(victim) + hidden(victim):
        yield from of_attack(victim, attack, part, sizes.attacks)
    for workload in benign.workloads_for(victim, Kind.ORDINARY, Kind.EXPLANATION):
        yield from of_workload(victim, workload, part, sizes.benign)


FAMILIES = ("hopskipjump", "boundary", "signopt", "zoo", "square", "simba", "nes")
"""Attacks that are one idea, by the beginning of their names."""

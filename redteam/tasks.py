"""Which sessions a plan asks for, in which order, and on which inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from redteam.attacks import ATTACKS
from redteam.benign import WORKLOADS
from redteam.plan import Plan
from redteam.problems import Stopped
from redteam.victims import Victim


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One session that the plan asks for."""

    victim: str
    workload: str
    number: int

    @property
    def key(self) -> str:
        """Its name in the folder."""
        return f"{self.victim}/{self.workload}/{self.number}"


def tasks_of(plan: Plan, victims: Mapping[str, Victim]) -> tuple[list[Task], tuple[tuple[str, str], ...]]:
    """Return the sessions of a plan, and what does not fit a victim; cut anywhere, all workloads have about as many."""
    fitting: list[tuple[str, str]] = []
    skipped: list[tuple[str, str]] = []
    for name, victim in victims.items():
        for workload in (*plan.attacks, *plan.benign):
            fits = ATTACKS[workload].fits(victim) if workload in ATTACKS else WORKLOADS[workload].applies_to(victim)
            (fitting if fits else skipped).append((name, workload))
    tasks = [
        Task(victim=victim, workload=workload, number=number)
        for number in range(plan.sessions)
        for victim, workload in fitting
    ]
    return tasks, tuple(skipped)


def dealt(tasks: Sequence[Task], count: int, attackable: Sequence[int], seed: int) -> dict[str, tuple[int, int]]:
    """Deal the inputs of a victim's split to its sessions.

    No input is dealt twice before the next session finds none that is left: what is known of the near-duplicates of an
    input, over all clients, would be of an earlier session.

    Parameters
    ----------
    tasks : sequence of Task
        Of one victim.
    count : int
        Inputs of the split.
    attackable : sequence of int
        Those that the victim labels rightly; the others are for benign clients only.
    seed : int
        Of the plan.

    Returns
    -------
    dict of str to (int, int)
        By the key of the task: which input, and the seed of the session, which grows with each new deal.

    Raises
    ------
    Stopped
        When an attack finds nothing to attack.
    """
    order = np.random.default_rng([seed, count]).permutation(count).tolist()
    fit = frozenset(attackable)
    if not fit and any(task.workload in ATTACKS for task in tasks):
        raise Stopped("the victim labels no input of its data rightly: there is nothing to attack")
    found: dict[str, tuple[int, int]] = {}
    turn, left = -1, dict[int, None]()
    for task in tasks:
        attacks = task.workload in ATTACKS
        place = next((one for one in left if not attacks or one in fit), None)
        if place is None:
            turn, left = turn + 1, dict.fromkeys(order)
            place = next(one for one in left if not attacks or one in fit)
        del left[place]
        found[task.key] = place, seed + turn
    return found

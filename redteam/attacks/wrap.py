"""What an attacker does to be seen less, around any attack: other names, other traffic, other values.

Each wrapper takes an attack and returns another one, with something before the oracle. They nest.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redteam.attacks.base import Attack, Need, Source
from redteam.oracle import Endpoint
from redteam.session import Goal
from redteam.victims import Victim

ESTABLISH_ACCOUNTS = "AML.T0021"
VERIFY = "AML.T0042"
QUERIES_MAX = 20_000
CHECKED_EVERY = 20
"""Requests between two that are sent as they are by one that otherwise hides them."""

DECOY = 0.03
"""Standard deviation of the noise of a decoy, in units of the value range: near its input, and no copy of it."""


class Relay:
    """Passes everything on to the endpoint behind it; the others change one thing.

    Parameters
    ----------
    behind : Endpoint
        Who answers.
    """

    def __init__(self, behind: Endpoint) -> None:
        self.behind = behind

    @property
    def account(self) -> int:
        """Under which account the next requests go."""
        return self.behind.account

    @account.setter
    def account(self, account: int) -> None:
        self.behind.account = account

    @property
    def refused(self) -> list[bool]:
        """Of each row of the last call: whether the client saw that it was refused."""
        return self.behind.refused

    @property
    def latencies(self) -> NDArray[np.float64]:
        """Of each row of the last call: how long the answer took, in milliseconds."""
        return self.behind.latencies

    def ask(self, inputs: NDArray[np.floating]) -> NDArray[np.float64]:
        """Answer inputs, shape (n, dimension)."""
        return self.behind.ask(inputs)

    def wait(self, seconds: float) -> None:
        """Let simulated time pass."""
        self.behind.wait(seconds)

    def mark(self, value: float) -> None:
        """Put on record how far the attack has come."""
        self.behind.mark(value)

    def report(self, truths: NDArray[np.integer]) -> None:
        """Report the true labels (n,) of the last n rows that were asked."""
        self.behind.report(truths)


class Split(Relay):
    """Sends each request under the next of several accounts."""

    def __init__(self, behind: Endpoint, accounts: int) -> None:
        super().__init__(behind)
        self._accounts = accounts
        self._sent = 0
        self._refused: list[bool] = []

    @property
    def refused(self) -> list[bool]:
        """Of each row of the last call: whether the client saw that it was refused."""
        return self._refused

    def ask(self, inputs: NDArray[np.floating]) -> NDArray[np.float64]:
        """Answer inputs, shape (n, dimension), each under its own account."""
        answers = []
        self._refused = []
        for row in inputs:
            self.behind.account = self._sent % self._accounts
            self._sent += 1
            answers.append(self.behind.ask(row[None]))
            self._refused += self.behind.refused
        return np.concatenate(answers)


class Among(Relay, ABC):
    """Sends something else before each request, under the same account."""

    def __init__(self, behind: Endpoint) -> None:
        super().__init__(behind)
        self._refused: list[bool] = []

    @property
    def refused(self) -> list[bool]:
        """Of each row of the last call, what was sent before each left out."""
        return self._refused

    def ask(self, inputs: NDArray[np.floating]) -> NDArray[np.float64]:
        """Answer inputs, shape (n, dimension)."""
        answers = []
        self._refused = []
        for row in np.asarray(inputs, dtype=np.float64):
            answers.append(self.behind.ask(np.concatenate([self._next(), row[None]]))[-1])
            self._refused.append(self.behind.refused[-1])
        return np.array(answers)

    @abstractmethod
    def _next(self) -> NDArray[np.float64]:
        """Return what is sent before the next request, shape (n, dimension)."""


class Covered(Among):
    """Sends ordinary inputs before each request, under the same account."""

    def __init__(self, behind: Endpoint, source: Source, cover: int, rng: np.random.Generator) -> None:
        super().__init__(behind)
        self._inputs = np.delete(source.data[0], source.index, axis=0)
        self._cover, self._rng = cover, rng
        self._order: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def _next(self) -> NDArray[np.float64]:
        while len(self._order) < self._cover:
            self._order = np.concatenate([self._order, self._rng.permutation(len(self._inputs))])
        chosen, self._order = self._order[: self._cover], self._order[self._cover :]
        taken: NDArray[np.float64] = self._inputs[chosen]
        return taken


class Decoyed(Among):
    """Sends harmless near-duplicates of the input that is attacked before each request, under the same account.

    Parameters
    ----------
    behind : Endpoint
        Who answers.
    victim : Victim
        Whose range of values they keep to.
    source : Source
        The input.
    decoys : int
        How many before each request, at least 1.
    rng : numpy.random.Generator
        Chooses them.
    """

    def __init__(self, behind: Endpoint, victim: Victim, source: Source, decoys: int, rng: np.random.Generator) -> None:
        super().__init__(behind)
        self._victim, self._root = victim, source.input
        self._decoys, self._rng = decoys, rng

    def _next(self) -> NDArray[np.float64]:
        low, high = self._victim.low, self._victim.high
        noise = DECOY * (high - low) * self._rng.standard_normal((self._decoys, len(self._root)))
        return np.clip(self._root + noise, low, high)


class Changed(Relay):
    """Changes every input on its way; now and then one that seems to succeed is sent as it is, to make sure.

    Parameters
    ----------
    behind : Endpoint
        Who answers.
    change : Callable
        From rows to what is sent instead.
    goal : Goal or None
        What success is; ``None``: nothing is ever sent as it is.
    """

    def __init__(
        self,
        behind: Endpoint,
        change: Callable[[NDArray[np.float64]], NDArray[np.float64]],
        goal: Goal | None = None,
    ) -> None:
        super().__init__(behind)
        self._change, self._goal = change, goal
        self._since = CHECKED_EVERY
        self._refused: list[bool] = []

    @property
    def refused(self) -> list[bool]:
        """Of each row of the last call, those sent as they are left out."""
        return self._refused

    def ask(self, inputs: NDArray[np.floating]) -> NDArray[np.float64]:
        """Answer inputs, shape (n, dimension)."""
        rows = np.asarray(inputs, dtype=np.float64)
        answers = self.behind.ask(self._change(rows))
        self._refused = self.behind.refused
        self._since += len(rows)
        if self._goal is not None and self._since >= CHECKED_EVERY:
            good = np.flatnonzero(self._goal.reached(rows, answers.argmax(axis=1)))
            if len(good):
                self._since = 0
                self.behind.ask(rows[good[:1]])
        return answers


class Verified(Relay):
    """Sends an input that succeeds once more, from an account of its own."""

    def __init__(self, behind: Endpoint, goal: Goal | None) -> None:
        super().__init__(behind)
        self._goal = goal
        self._refused: list[bool] = []

    @property
    def refused(self) -> list[bool]:
        """Of each row of the last call, the repetition left out."""
        return self._refused

    def ask(self, inputs: NDArray[np.floating]) -> NDArray[np.float64]:
        """Answer inputs, shape (n, dimension)."""
        answers = []
        self._refused = []
        for row in np.asarray(inputs, dtype=np.float64):
            answers.append(self.behind.ask(row[None]))
            self._refused += self.behind.refused
            if self._goal is not None and self._goal.reached(row[None], answers[-1].argmax(axis=1))[0]:
                self._goal = None
                before, self.behind.account = self.behind.account, self.behind.account + 1
                self.behind.ask(row[None])
                self.behind.account = before
        return np.concatenate(answers)


Before = Callable[[Victim, Endpoint, Source, np.random.Generator], Endpoint]


def wrapped(attack: Attack, suffix: str, title: str, before: Before, **changes: Any) -> Attack:
    """Return an attack with something before its oracle, made anew for each session."""

    def run(victim: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> None:
        attack.run(victim, before(victim, oracle, source, rng.spawn(1)[0]), source, rng)

    return replace(attack, name=f"{attack.name}+{suffix}", title=f"{attack.title}, {title}", run=run, **changes)


def sybil(attack: Attack, accounts: int) -> Attack:
    """Split an attack over accounts, one request each in turn."""
    techniques = attack.techniques if accounts == 1 else (*attack.techniques, ESTABLISH_ACCOUNTS)
    title = f"over {accounts} accounts" if accounts > 1 else "over a single account"
    return wrapped(
        attack, f"sybil{accounts}", title, lambda _, oracle, *__: Split(oracle, accounts), techniques=techniques
    )


def covered(attack: Attack, cover: int) -> Attack:
    """Send ordinary inputs between the requests of an attack."""

    def before(_: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> Endpoint:
        return Covered(oracle, source, cover, rng)

    queries_max = min(attack.queries_max * (cover + 1), QUERIES_MAX)
    return wrapped(attack, f"cover{cover}", f"among ordinary requests 1:{cover}", before, queries_max=queries_max)


def decoyed(attack: Attack, decoys: int = 1) -> Attack:
    """Send harmless near-duplicates of the attacked input between the requests of an attack."""

    def before(victim: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> Endpoint:
        return Decoyed(oracle, victim, source, decoys, rng)

    queries_max = min(attack.queries_max * (decoys + 1), QUERIES_MAX)
    suffix, title = ("decoys", "a decoy") if decoys == 1 else (f"decoys{decoys}", f"{decoys} decoys")
    return wrapped(attack, suffix, f"{title} before each request", before, queries_max=queries_max)


def blinded(attack: Attack, noise: float) -> Attack:
    """Add fresh noise to every input, of a standard deviation in units of the value range."""

    def before(victim: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> Endpoint:
        def change(rows: NDArray[np.float64]) -> NDArray[np.float64]:
            moved = rows + noise * (victim.high - victim.low) * rng.standard_normal(rows.shape)
            return np.clip(moved, victim.low, victim.high)

        return Changed(oracle, change, attack.goal(victim, source))

    return wrapped(attack, "noise", "inputs blinded by noise", before)


def shifted(attack: Attack, most: float = 0.1) -> Attack:
    """Move every image by a part of a pixel, up to ``most`` either way in both directions."""

    def before(victim: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> Endpoint:
        def change(rows: NDArray[np.float64]) -> NDArray[np.float64]:
            images = rows.reshape(-1, *victim.shape)
            for axis in (1, 2):
                part = rng.uniform(-most, most, (len(rows), 1, 1))
                images = (1 - np.abs(part)) * images + np.abs(part) * _neighbours(images, axis, part, victim.low)
            return images.reshape(len(rows), -1)

        return Changed(oracle, change, attack.goal(victim, source))

    return wrapped(attack, "shift", "inputs blinded by shifts", before, needs=attack.needs | {Need.IMAGES})


def _neighbours(images: NDArray[np.float64], axis: int, part: NDArray[np.float64], blank: float) -> NDArray[np.float64]:
    """Return each image moved by one whole pixel, the way its part points; what comes in is blank."""
    moved = np.where(part > 0, np.roll(images, 1, axis), np.roll(images, -1, axis))
    edge = np.moveaxis(moved, axis, 1)
    edge[:, 0] = np.where(part[:, 0] > 0, blank, edge[:, 0])
    edge[:, -1] = np.where(part[:, 0] > 0, edge[:, -1], blank)
    return moved


def rounded(attack: Attack) -> Attack:
    """Round every value to what the data shows."""

    def before(victim: Victim, oracle: Endpoint, *_: Any) -> Endpoint:
        return Changed(oracle, lambda rows: np.round(rows / victim.grain) * victim.grain)

    return wrapped(attack, "rounded", "values rounded", before)


def verified(attack: Attack) -> Attack:
    """Send what succeeded once more from another account."""

    def before(victim: Victim, oracle: Endpoint, source: Source, _: np.random.Generator) -> Endpoint:
        return Verified(oracle, attack.goal(victim, source))

    return wrapped(
        attack, "verified", "tried again from another account", before, techniques=(*attack.techniques, VERIFY)
    )

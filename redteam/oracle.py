"""A victim as an attacker sees it: it answers, counts what it is asked, and puts everything on record."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from redteam.session import Goal, Kind, Session

Predict = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From inputs (n, dimension) to class probabilities (n, classes)."""
Timed = Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]
"""The same, and the milliseconds (n,) that each answer took."""
Watch = Callable[[NDArray[np.float32], NDArray[np.float32], float, int], bool]
"""Told of each request in order (input, probabilities, seconds, account); its answer is whether the monitor alarms."""


Latency = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From inputs (n, dimension) to the milliseconds (n,) that their answers take."""


def simulated_latency(low: float, high: float, rng: np.random.Generator) -> Latency:
    """Return a model server whose work grows with how many values of an input are away from the lowest.

    Two milliseconds for an empty input and forty for a full one, with a tenth of noise.
    """

    def latency(inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        full = ((inputs - low) / (high - low)).mean(axis=1)
        noise = np.exp(rng.normal(0.0, 0.1, len(inputs)))
        took: NDArray[np.float64] = (2.0 + 38.0 * full**2) * noise
        return took

    return latency


class Enough(Exception):
    """The client may ask no more: its queries are used up, or its goal is reached."""


class Endpoint(Protocol):
    """What an attack talks with: the oracle, or what stands before it and changes what is sent or under whose name."""

    account: int
    """Under which account the next requests go."""

    @property
    def refused(self) -> list[bool]:
        """Of each row of the last call: whether the client saw that it was refused."""

    @property
    def latencies(self) -> NDArray[np.float64]:
        """Of each row of the last call: how long the answer took, in milliseconds."""

    def ask(self, inputs: NDArray[np.floating]) -> NDArray[np.float64]:
        """Answer inputs, shape (n, dimension); raise ``Enough`` at the first one that may not be asked any more."""

    def wait(self, seconds: float) -> None:
        """Let simulated time pass."""

    def mark(self, value: float) -> None:
        """Put on record how far the attack has come."""

    def report(self, truths: NDArray[np.integer]) -> None:
        """Report the true labels (n,) of the last n rows that were asked."""


@dataclass
class Oracle:
    """Answers the requests of one client.

    Parameters
    ----------
    predict : Predict
        The victim.
    queries_max : int
        After so many requests ``Enough`` is raised.
    goal : Goal or None
        Of an attack on one input; the first request that reaches it is remembered.
    after : int
        How many more requests are answered once the goal is reached.
    rate : float
        Requests a second, for the simulated clock.
    watch : Watch or None
        A monitor that looks on; what it says is in ``alarmed``, for attackers who can see when they are refused.
    latency : Latency or None
        How long answers take, where that depends on the input.
    timed : Timed or None
        Answers instead of ``predict``, and says how long it took instead of ``latency``: a victim that can be timed.
    enough : float or None
        Of an attack without a single input: the value from which on what is marked counts as success.
    """

    predict: Predict
    queries_max: int
    goal: Goal | None = None
    after: int = 0
    rate: float = 10.0
    watch: Watch | None = None
    latency: Latency | None = None
    timed: Timed | None = None
    enough: float | None = None
    account: int = 0
    """Under which account the next requests go."""
    success: int | None = None
    alarmed: list[bool] = field(default_factory=list)
    """Of each request: whether the monitor that looks on alarmed."""
    _inputs: list[NDArray[np.float32]] = field(default_factory=list)
    _probabilities: list[NDArray[np.float32]] = field(default_factory=list)
    _accounts: list[int] = field(default_factory=list)
    _seconds: list[float] = field(default_factory=list)
    _latencies: list[float] = field(default_factory=list)
    _truths: dict[int, int] = field(default_factory=dict)
    _marks: list[tuple[int, float]] = field(default_factory=list)
    _now: float = 0.0
    _last: int = 0

    def __len__(self) -> int:
        return len(self._inputs)

    def ask(self, inputs: NDArray[np.floating]) -> NDArray[np.float64]:
        """Answer inputs, shape (n, dimension); raise ``Enough`` at the first one that may not be asked any more."""
        rows = np.atleast_2d(np.asarray(inputs, dtype=np.float64))
        left = self._left()
        if left <= 0:
            raise Enough
        asked = rows[:left]
        self._last = len(asked)
        answers = self._answered(asked)
        self._record(asked, answers)
        if len(asked) < len(rows):
            raise Enough
        return answers

    def wait(self, seconds: float) -> None:
        """Let simulated time pass."""
        self._now += seconds

    @property
    def refused(self) -> list[bool]:
        """Of each row of the last call: whether the monitor that looks on alarmed."""
        return self.alarmed[len(self.alarmed) - self._last :]

    @property
    def latencies(self) -> NDArray[np.float64]:
        """Of each row of the last call: how long the answer took, in milliseconds."""
        return np.array(self._latencies[len(self) - self._last :] if self._measures else [0.0] * self._last)

    def mark(self, value: float) -> None:
        """Put on record how far the attack has come; from ``enough`` on the last request counts as its success."""
        self._marks.append((len(self), float(value)))
        if self.success is None and self.enough is not None and value >= self.enough and len(self):
            self.success = len(self) - 1

    def report(self, truths: NDArray[np.integer]) -> None:
        """Report the true labels (n,) of the last n rows that were asked."""
        first = len(self) - len(truths)
        self._truths.update((first + i, int(truth)) for i, truth in enumerate(truths))

    @property
    def _measures(self) -> bool:
        return self.latency is not None or self.timed is not None

    def _answered(self, asked: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the answers, and put on record how long they took."""
        if self.timed is not None:
            answers, took = self.timed(asked)
            self._latencies += took.tolist()
            return np.asarray(answers, dtype=np.float64)
        answers = np.asarray(self.predict(asked), dtype=np.float64)
        if self.latency is not None:
            self._latencies += self.latency(asked).tolist()
        return answers

    def _left(self) -> int:
        left = self.queries_max - len(self)
        return left if self.success is None else min(left, self.success + 1 + self.after - len(self))

    def _record(self, rows: NDArray[np.float64], answers: NDArray[np.float64]) -> None:
        reached = None if self.goal is None else self.goal.reached(rows, answers.argmax(axis=1))
        for i, (row, answer) in enumerate(zip(rows.astype(np.float32), answers.astype(np.float32), strict=True)):
            if self.success is None and reached is not None and reached[i]:
                self.success = len(self)
            self._inputs.append(row)
            self._probabilities.append(answer)
            self._accounts.append(self.account)
            self._seconds.append(self._now)
            self._now += 1.0 / self.rate
            self.alarmed.append(self.watch is not None and self.watch(row, answer, self._seconds[-1], self.account))

    def session(self, *, workload: str, kind: Kind, victim: str, seed: int, source: int, error: str = "") -> Session:
        """Return what is on record."""
        inputs = np.array(self._inputs, dtype=np.float32)
        probabilities = np.array(self._probabilities, dtype=np.float32)
        distance = None
        if self.goal is not None and len(inputs):
            labels = probabilities.argmax(axis=1)
            wanted = labels != self.goal.label if self.goal.target is None else labels == self.goal.target
            away = np.where(wanted, self.goal.distances(inputs.astype(np.float64)), np.inf)
            distance = np.minimum.accumulate(away).astype(np.float32)
        return Session(
            workload=workload,
            kind=kind,
            victim=victim,
            seed=seed,
            source=source,
            inputs=inputs,
            probabilities=probabilities,
            seconds=np.array(self._seconds),
            accounts=np.array(self._accounts, dtype=np.int32),
            success=self.success,
            distance=distance,
            progress=tuple(self._marks),
            latency_ms=np.array(self._latencies, dtype=np.float32) if self._measures else None,
            feedback=self._feedback(),
            error=error,
        )

    def _feedback(self) -> NDArray[np.int32] | None:
        if not self._truths:
            return None
        truths = np.full(len(self), -1, dtype=np.int32)
        truths[list(self._truths)] = list(self._truths.values())
        return truths

"""What people decided about a version, as the fold needs it: which entries belong together, and what is promised."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from service.domain.ids import Position
from service.domain.policy import Policy, Tuning
from service.domain.records import BaselineRecord, Version
from service.domain.schema import Prediction
from service.domain.states import State
from service.domain.vouched import Vouched


@dataclass(frozen=True, slots=True, kw_only=True)
class Era:
    """The entries whose evidence belongs together; evidence starts from zero whenever any of this changes."""

    baseline_id: str | None
    restart_position: Position
    tick_us: int
    tuning: Tuning


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One version's decisions, read at one control revision."""

    threshold_log: float
    restart_position: Position
    baselines: tuple[tuple[Position, str], ...]
    """From which position each one applies, and its id."""
    settled_after: Position
    """For every entry after this position the era is ``settled``."""
    settled: Era
    prediction: Prediction
    answers: int
    """How many of the latest answers are remembered for labels."""
    vouched: Vouched | None = None

    @classmethod
    def of(cls, version: Version, policy: Policy, baselines: Sequence[BaselineRecord]) -> Self:
        """Read the plan of a version off what people decided.

        A version that is retired has no baseline any more after that: what comes is counted, and nothing judges it.
        """
        retired = version.state is State.RETIRED
        known = tuple(
            (b.from_position, b.id) for b in baselines if not retired or b.from_position < version.restart_position
        )
        return cls(
            threshold_log=math.log(policy.ticks_per_false_alarm),
            restart_position=version.restart_position,
            baselines=known,
            prediction=version.schema.prediction,
            answers=policy.performance.answers,
            vouched=version.vouched,
            settled_after=max((version.restart_position, *(position for position, _ in known))),
            settled=Era(
                baseline_id=known[-1][1] if known and not retired else None,
                restart_position=version.restart_position,
                tick_us=round(policy.tick_seconds * 1e6),
                tuning=policy.tuning,
            ),
        )

    def era_at(self, position: Position, before: Era | None) -> Era:
        """Return the era of the entry at ``position``; ``before`` is the one of the entry before."""
        if position > self.settled_after:
            return self.settled
        reached = [baseline_id for from_position, baseline_id in self.baselines if from_position < position]
        restart = self.restart_position
        if position <= restart:
            restart = before.restart_position if before is not None else Position(0)
        return replace(self.settled, baseline_id=reached[-1] if reached else None, restart_position=restart)

"""What the evidence says at the end of one tick: made by detection, judged by the alert stage."""

from dataclasses import dataclass

from service.domain.ids import Micros, Position, VersionId
from service.domain.principals import ModelFinding, PrincipalFinding
from service.domain.records import ColumnFinding


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """A version that sent events has stopped, or sends some again. Said once each."""

    version_id: VersionId
    position: Position
    """Of the entry that showed it."""
    at_us: Micros
    since_us: Micros
    """When the last event before it arrived, or the wait for one began."""
    over: bool
    learnt: bool
    """Whether the version's own pauses told how long is too long; else the policy did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The evidence of one version after one tick with events."""

    version_id: VersionId
    position: Position
    """Of the entry that closed the tick: the first one of a later tick."""
    at_us: Micros
    """When that entry arrived. Everything decided now carries this time, so that a replay decides the same."""
    evidence_log: float
    threshold_log: float
    findings: tuple[ColumnFinding, ...]
    """The blamed columns, strongest first; empty below the threshold."""
    sufficient: bool
    """False when the baseline is too small for a promise: the evidence is shown, and raises nothing."""
    rebuilt: tuple[ColumnFinding, ...] = ()
    """Said once for each alarm: the columns blamed by the evidence that started again from zero at the alarm, when it
    has reached the threshold too."""

    @property
    def above(self) -> bool:
        """Tell whether the evidence has used up the budget."""
        return self.evidence_log >= self.threshold_log


@dataclass(frozen=True, slots=True, kw_only=True)
class UseFound:
    """What detection found of adversarial use of one version when an entry was read."""

    version_id: VersionId
    position: Position
    """Of the entry."""
    at_us: Micros
    """When it arrived. Everything decided now carries this time, so that a replay decides the same."""
    principals: tuple[PrincipalFinding, ...] = ()
    model: tuple[ModelFinding, ...] = ()

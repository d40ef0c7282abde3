"""What one pass of the worker has decided so far, and how a silence or a change that lasts bears on it."""

from dataclasses import dataclass, field

from service.alert.decide import goes_on
from service.alert.silence import decide_silence
from service.domain.evaluation import Evaluation, Silence
from service.domain.policy import Action, Policy
from service.domain.records import Alert, Ending, Incident, TimelineItem, TransitionRecord, Version
from service.notify.compose import Notice, alert_opened, alert_over
from service.ports import SYSTEM


@dataclass(slots=True)
class Decisions:
    """What one pass has decided so far."""

    alerts: dict[str, Alert] = field(default_factory=dict)
    incidents: list[Incident] = field(default_factory=list)
    timeline: list[tuple[str, TimelineItem]] = field(default_factory=list)
    """What happened to older incidents, by their ids."""
    endings: list[Ending] = field(default_factory=list)
    transitions: list[tuple[TransitionRecord, int]] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)


def note_rebuilt(evaluation: Evaluation, standing: dict[str, Alert], policy: Policy, decisions: Decisions) -> None:
    """Let the timeline of an open incident tell, once, that its change goes on after the alarm."""
    if not evaluation.rebuilt:
        return
    told = goes_on(evaluation, tuple(standing.values()), policy, SYSTEM)
    if told is not None:
        decisions.timeline.append(told)


def judge_silence(
    silence: Silence, version: Version, standing: dict[str, Alert], action: Action, decisions: Decisions
) -> None:
    """Let a silence, or its end, bear on alerts and incidents, and on whom to tell; the state stays as it is."""
    decision = decide_silence(silence, version, tuple(standing.values()))
    alert = decision.alert
    if alert is None:
        return
    decisions.alerts[alert.id] = alert
    tells = action is not Action.RECORD
    if decision.incident is not None:
        standing[alert.id] = alert
        decisions.incidents.append(decision.incident)
        if tells:
            decisions.notices.append(alert_opened(alert, decision.incident, version))
    if decision.ending is not None:
        del standing[alert.id]
        decisions.endings.append(decision.ending)
        if tells:
            decisions.notices.append(alert_over(alert, decision.ending.note, version, silence.at_us))

"""What one pass of the worker has decided so far, and how a silence or a change that lasts bears on it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from service.alert.decide import goes_on
from service.alert.frozen import baseline_at, freeze
from service.alert.maintenance import holding
from service.alert.silence import decide_silence
from service.detect.witness import Carrier, NotNow
from service.domain.adversarial import DriftOfOne
from service.domain.evaluation import Evaluation, Silence
from service.domain.ids import Micros, Position, VersionId
from service.domain.incidents import Frozen, FrozenHistogram, Maintenance
from service.domain.notices import Kind
from service.domain.policy import Action, Cause, Policy
from service.domain.principals import Containment
from service.domain.records import Alert, Ending, Incident, Raised, TimelineItem, TransitionRecord, Version
from service.domain.states import Event, next_state
from service.domain.transcripts import Accused
from service.notify.compose import Notice, alert_opened, alert_over, state_changed
from service.ports import SYSTEM, Control
from service.quarantine.decide import Ruling, Why, mark, spare

HELD_BACK = {
    Why.DRY_RUN: Kind.DRY_RUN,
    Why.LAST_HEALTHY: Kind.CAPPED,
    Why.FLEET_SHARE: Kind.CAPPED,
    Why.ONE_PRINCIPAL: Kind.CAPPED,
    Why.MAINTENANCE: Kind.CAPPED,
}
"""Rulings that people must hear of although nothing changes."""
SPARED = {
    Why.DRY_RUN: "dry_run",
    Why.LAST_HEALTHY: "held_back",
    Why.FLEET_SHARE: "held_back",
    Why.ONE_PRINCIPAL: "spared",
    Why.MAINTENANCE: "spared",
}
"""How the timeline of the incident calls them."""


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
    containments: dict[tuple[VersionId, str], Containment] = field(default_factory=dict)
    """By version and principal."""
    raised: list[Raised] = field(default_factory=list)
    accused: list[Accused] = field(default_factory=list)
    """Principals whose requests are to be kept."""
    _opened: list[tuple[Incident, Alert, Version, Sequence[FrozenHistogram]]] = field(default_factory=list)
    """As they were at the trip: alerts go on changing within a pass."""

    def open(
        self, incident: Incident, alert: Alert, version: Version, histograms: Sequence[FrozenHistogram] = ()
    ) -> None:
        """Add a new incident with the alert that opened it, and the version as it was before."""
        self.incidents.append(incident)
        self._opened.append((incident, alert, version, histograms))

    def frozen(self, control: Control) -> list[Frozen]:
        """Return the evidence to keep of every new incident, under what people had decided when the pass began."""
        found = []
        for incident, alert, version, histograms in self._opened:
            policy = control.models[version.model_id].policy
            baseline = baseline_at(control.baselines.get(version.id, ()), alert.position)
            found.append(freeze(incident, alert, version, policy, baseline, histograms))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What calls for a state change: an alert, when, and where in the log."""

    alert: Alert
    at_us: Micros
    position: Position


def change_state(
    judged: Judged, event: Event, text: str, versions: dict[VersionId, Version], decisions: Decisions
) -> None:
    """Record the state change that a policy has ruled; what follows in this pass sees it already."""
    alert, version = judged.alert, versions[judged.alert.version_id]
    record = TransitionRecord(
        version_id=version.id,
        before=version.state,
        event=event,
        after=next_state(version.state, event),
        actor=SYSTEM,
        reason=f"{alert.reason}; {text}",
        at_us=judged.at_us,
        position=judged.position,
        incident_id=alert.incident_id,
    )
    decisions.transitions.append((record, version.lock))
    decisions.notices.append(state_changed(record, version))
    versions[version.id] = replace(
        version, state=record.after, since_us=record.at_us, reason=record.reason, lock=version.lock + 1
    )


def spare_of_one(
    ruling: Ruling, alert: Alert, version: Version, policy: Policy, carrier: Callable[[Micros, Micros], Carrier | None]
) -> Ruling:
    """Let no drift quarantine a version that is there only with the events of one principal, while there are others.

    ``carrier`` is asked since when the change is, and when it was told of; how many events come rests on nobody.
    """
    chosen = policy.adversarial.drift_of_one
    if ruling.event is not Event.QUARANTINE or alert.cause is Cause.TRAFFIC or chosen is DriftOfOne.QUARANTINE:
        return ruling
    try:
        found = carrier(alert.since_us, alert.opened_us)
    except NotNow:
        return Ruling(None, Why.WAITING, "whether the evidence rests on one principal is worked out later")
    what = "labels" if alert.cause is Cause.PERFORMANCE else "events"
    return ruling if found is None else spare(ruling, version, found.principal, found.share, what)


def hold_for_maintenance(ruling: Ruling, version: Version, windows: Iterable[Maintenance], at_us: Micros) -> Ruling:
    """Let no drift quarantine a version while a window of maintenance says so; it is decided anew after it."""
    window = holding(windows, version.model, at_us) if ruling.event is Event.QUARANTINE else None
    if window is None:
        return ruling
    text = f"not quarantined although {ruling.text}: maintenance, planned by {window.created_by}: {window.reason}"
    return mark(version, Why.MAINTENANCE, text)


def note_rebuilt(evaluation: Evaluation, standing: dict[str, Alert], policy: Policy, decisions: Decisions) -> None:
    """Let the timeline of an open incident tell, once, that its change goes on after the alarm."""
    if not evaluation.rebuilt:
        return
    told = goes_on(evaluation, tuple(standing.values()), policy, SYSTEM)
    if told is not None:
        decisions.timeline.append(told)


def note_spared(alert: Alert, ruling: Ruling, at_us: Micros, decisions: Decisions) -> None:
    """Let the timeline of an incident tell what would have happened, and what stood in its way."""
    kind = SPARED.get(ruling.why)
    if kind is not None:
        item = TimelineItem(at_us=at_us, actor=SYSTEM, kind=kind, body=ruling.text)
        decisions.timeline.append((alert.incident_id, item))


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
        decisions.open(decision.incident, alert, version)
        if tells:
            decisions.notices.append(alert_opened(alert, decision.incident, version))
    if decision.ending is not None:
        del standing[alert.id]
        decisions.endings.append(decision.ending)
        if tells:
            decisions.notices.append(alert_over(alert, decision.ending.note, version, silence.at_us))

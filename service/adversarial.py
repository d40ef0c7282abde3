"""Adversarial use: what findings do within one pass of the worker, and how a person lets a principal go.

``judge_use`` is called with what detection has found; everything that follows is added to the pass's ``Decisions`` and
written with it, in one commit. Who is accused of what, whom that contains and when it closes the gate is decided
purely: ``service/alert/adversarial.py``, ``service/alert/containment.py``, ``service/quarantine/adversarial.py``.
"""

from collections.abc import Iterable
from dataclasses import replace

from service.alert.adversarial import COUNTS, RANK, SEVERITIES, Case, Moment, UseDecision, Why, decide_use, reason_of
from service.alert.adversarial_evidence import Evidence, of_model, of_principal
from service.alert.containment import contain
from service.decisions import HELD_BACK, Decisions, Judged, change_state
from service.domain.adversarial import DAY_US, Response
from service.domain.errors import Conflict, NotFound, Unprocessable
from service.domain.evaluation import UseFound
from service.domain.ids import Actor, Micros, VersionId, derived_id
from service.domain.policy import Cause, Policy
from service.domain.principals import Containment, ContainmentState, PrincipalFinding
from service.domain.records import Alert, Incident, Version
from service.domain.redteam import RedTeamRun, RedTeamSummary
from service.domain.texts import bad_text
from service.domain.transcripts import Accused
from service.notify.adversarial import use_opened
from service.notify.compose import held_back
from service.ports import SYSTEM, Clock, Control, ControlStore
from service.quarantine.adversarial import Voices, listen
from service.quarantine.adversarial import decide_use as decide_state

CONTAINMENT_REASON_MAX = 500


class Standing:
    """What is known of adversarial use in every version; what a pass decides is added as it is decided."""

    def __init__(self, control: Control) -> None:
        self._models = control.models
        self._alerts: dict[VersionId, dict[str, Alert]] = {}
        self._incidents: dict[VersionId, dict[str, Incident]] = {}
        self._containments: dict[VersionId, dict[str, Containment]] = {}
        for alert in (*control.recent_alerts, *control.open_alerts):
            if alert.adversarial is not None:
                self.learn_alert(alert)
        for incident in control.unresolved:
            if incident.cause is Cause.ADVERSARIAL:
                self.learn_incident(incident)
        for containment in control.containments:
            self.learn_containment(containment)

    def case(self, version: Version) -> Case:
        """Return what is known of a version."""
        return Case(
            version=version,
            policy=self._models[version.model_id].policy,
            alerts=self._alerts.setdefault(version.id, {}),
            incidents=self._incidents.setdefault(version.id, {}),
            containments=self._containments.setdefault(version.id, {}),
        )

    def learn_alert(self, alert: Alert) -> None:
        """Take over an alert, new or changed."""
        self._alerts.setdefault(alert.version_id, {})[alert.id] = alert

    def learn_incident(self, incident: Incident) -> None:
        """Take over an incident, new or changed."""
        self._incidents.setdefault(incident.version_id, {})[incident.id] = incident

    def learn_containment(self, containment: Containment) -> None:
        """Take over a containment, new or changed."""
        self._containments.setdefault(containment.version_id, {})[containment.principal] = containment


def judge_use(
    found: Iterable[UseFound], standing: Standing, versions: dict[VersionId, Version], decisions: Decisions
) -> None:
    """Let findings bear on containments, alerts, incidents, states, and on whom to tell.

    Parameters
    ----------
    found
        In the order of the log.
    standing
        What is known; knows what was decided afterwards.
    versions
        Every version by id; one whose state changes is replaced.
    decisions
        Of the pass; everything that is to be written is added to it.
    """
    for one in found:
        version = versions.get(one.version_id)
        if version is not None:
            _judge(one, version, standing, versions, decisions)


def _judge(
    found: UseFound, version: Version, standing: Standing, versions: dict[VersionId, Version], decisions: Decisions
) -> None:
    case = standing.case(version)
    chosen, moment = case.policy.adversarial, Moment(at_us=found.at_us, position=found.position)
    before = listen(case.alerts.values(), chosen, found.at_us)
    changed: list[Alert] = []
    for finding in found.principals:
        evidence = of_principal(finding, version, chosen.transcript)
        changed += _take(evidence, finding, moment, case, standing, decisions)
    for about_model in found.model:
        changed += _take(of_model(about_model, version, chosen.transcript), None, moment, case, standing, decisions)
    if changed:
        voices = listen(case.alerts.values(), chosen, found.at_us)
        _rule(_worst(changed), moment, (before, voices), case.policy, versions, decisions)


def _take(
    evidence: Evidence,
    finding: PrincipalFinding | None,
    moment: Moment,
    case: Case,
    standing: Standing,
    decisions: Decisions,
) -> list[Alert]:
    """Decide about one finding; return the alert that it opened or made worse."""
    decision = decide_use(evidence, moment, case, SYSTEM)
    if decision.why not in COUNTS:
        return []
    incident = _learn(decision, case, standing, decisions)
    contained: tuple[Containment, ...] = ()
    if finding is not None and finding.own:
        alert = decision.alert
        reason = (reason_of(evidence, evidence.use) if alert is None else alert.reason)[:CONTAINMENT_REASON_MAX]
        incident_id = None if alert is None else alert.incident_id
        _, contained = contain(finding, reason, moment.at_us, case, incident_id, SYSTEM)
        for containment in contained:
            standing.learn_containment(containment)
            decisions.containments[containment.version_id, containment.principal] = containment
        if alert is not None:
            decisions.accused.append(_accused(finding, alert, moment, case.policy, news=decision.why is not Why.KNOWN))
    opened = decision.alert if decision.incident is not None or decision.joined is not None else None
    if opened is not None and incident is not None and _tells(finding, case.policy):
        holding = [one for one in contained if one.state is ContainmentState.CONTAINED]
        decisions.notices.append(use_opened(opened, evidence.use, incident, case.version, holding))
    news = decision.why in {Why.OPENED, Why.WORSE}
    return [decision.alert] if decision.alert is not None and news else []


def _accused(finding: PrincipalFinding, alert: Alert, moment: Moment, policy: Policy, *, news: bool) -> Accused:
    """Say whose requests are to be kept for an alert: those of the principal that the evidence is of, nobody else's."""
    chosen = policy.adversarial
    return Accused(
        alert_id=alert.id,
        incident_id=alert.incident_id,
        version_id=alert.version_id,
        principal=finding.principal,
        tier=finding.tier,
        policy=chosen.transcript,
        requests_max=chosen.transcript_requests,
        keep_us=round(chosen.transcript_days * DAY_US),
        since_us=Micros(finding.since_us),
        position=moment.position,
        at_us=moment.at_us,
        news=news,
    )


def _learn(decision: UseDecision, case: Case, standing: Standing, decisions: Decisions) -> Incident | None:
    """Add what was decided to the pass and to what is known; return the incident that it is about."""
    alert, incident = decision.alert, decision.incident
    if alert is None:
        return None
    if case.alerts.get(alert.id) is not alert:
        decisions.alerts[alert.id] = alert
        standing.learn_alert(alert)
    if incident is not None:
        decisions.open(incident, alert, case.version)
    elif alert.incident_id in case.incidents:
        incident = case.incidents[alert.incident_id]
    if decision.joined is not None:
        decisions.timeline.append(decision.joined)
    if decision.raised is not None and incident is not None:
        decisions.raised.append(decision.raised)
        incident = replace(incident, severity=decision.raised.severity, title=decision.raised.title)
    if incident is not None:
        standing.learn_incident(incident)
    return incident


def _tells(finding: PrincipalFinding | None, policy: Policy) -> bool:
    return finding is None or policy.adversarial.of(finding.tier) is not Response.RECORD


def _worst(alerts: list[Alert]) -> Alert:
    return max(alerts, key=lambda a: -1 if a.adversarial is None else RANK[SEVERITIES[a.adversarial.kind]])


def _rule(
    alert: Alert,
    moment: Moment,
    voices: tuple[Voices, Voices],
    policy: Policy,
    versions: dict[VersionId, Version],
    decisions: Decisions,
) -> None:
    """Let the voices before and now bear on the state of a version, and on whom to tell when the policy holds back."""
    before, now = voices
    version = versions[alert.version_id]
    ruling = decide_state(now, alert, version, policy, versions.values())
    if ruling.event is not None:
        judged = Judged(alert=alert, at_us=moment.at_us, position=moment.position)
        change_state(judged, ruling.event, ruling.text, versions, decisions)
    elif ruling.why in HELD_BACK and now != before:
        notice = held_back(HELD_BACK[ruling.why], alert, version, ruling.text, moment.at_us)
        key = derived_id(alert.id, moment.position, sorted(now.flipped), sorted(now.reused), sorted(now.model))
        decisions.notices.append(replace(notice, key=key))


def file_redteam(
    control: ControlStore, clock: Clock, actor: Actor, model: str, version: str, summary: RedTeamSummary
) -> RedTeamRun:
    """Keep what a red-team run found about a version, in place of the run before; raise NotFound without a version."""
    with control.write() as tx:
        found = tx.version(model, version)
        if found is None:
            raise NotFound(f"no version '{version}' of model '{model}'")
        run = RedTeamRun(version_id=found.id, at_us=clock.now_us(), actor=actor, summary=summary)
        tx.save_redteam_run(run)
        blind = sum(row.blind for row in summary.attacks)
        detail = f"plan {summary.plan[:64]}, {summary.done} of {summary.total} sessions, {blind} blind spots"
        detail += f", {sum(row.outcome == 'broken' for row in summary.scenarios)} broken defences"
        tx.audit(actor, "redteam.file", f"{model}/{version}", detail, run.at_us)
        return run


def lift_containment(  # noqa: PLR0913, PLR0917 - what the request says, word for word
    control: ControlStore, clock: Clock, actor: Actor, model: str, version: str, principal: str, reason: str
) -> Containment:
    """Let a contained principal go, on record.

    Raises
    ------
    NotFound
        When there is no such version, or nothing is known of such a principal.
    Unprocessable
        When the reason is empty, too long or has a control character.
    Conflict
        When the principal is not contained now.
    """
    places = bad_text("reason", reason, least=1)
    if places:
        raise Unprocessable("the containment cannot be lifted", places=places)
    with control.write() as tx:
        found = tx.version(model, version)
        if found is None:
            raise NotFound(f"no version '{version}' of model '{model}'")
        standing = tx.containment(found.id, principal)
        if standing is None:
            raise NotFound(f"no contained principal '{principal[:100]}' at '{model}/{version}'")
        now_us = clock.now_us()
        if not standing.holds(now_us):
            raise Conflict(f"principal '{principal}' is not contained at '{model}/{version}' any more")
        lifted = replace(standing, state=ContainmentState.LIFTED, lifted_us=now_us, lifted_by=actor)
        tx.save_containment(lifted)
        tx.audit(actor, "principal.lift", f"{model}/{version}/{principal}", reason.strip(), now_us)
        return lifted

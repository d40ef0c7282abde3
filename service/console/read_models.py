"""What the page of a version shows, decided purely from ``Facts``."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.console import words
from service.console.addresses import incident_url
from service.console.charts import EvidenceChart
from service.console.facts import Current, Effects, Facts, Intervals, StatusColumn
from service.console.histograms import Bar, bars
from service.console.monitoring import monitoring_of
from service.console.next_steps import Steps, steps_of
from service.console.overview import TONES
from service.console.performance import PerformanceSection, performance_section
from service.console.policy_words import Said, policy_in_words
from service.console.promises import Promise, promise_of
from service.console.quality import QualitySection, quality_section
from service.console.rebuild import rebuild_of
from service.console.roll import share_of
from service.console.segments import SegmentRow, segment_rows
from service.console.timeline import SpanChoice, charts_of, note_of, spans_of
from service.console.traffic import TrafficSection, labels_sentence, traffic_section
from service.console.window import Choice, choices_of, effects_listed, listed_window, window_sentence
from service.detect.baselines import compared, inflation_of
from service.domain.ids import Micros
from service.domain.keys import Identity
from service.domain.policy import Cause
from service.domain.records import IncidentStatus, Model, Scope, Version
from service.domain.states import SERVING
from service.ports import SYSTEM

WORST_COLUMNS = 4
COLUMNS_LISTED = 100
CHANGES_SHOWN = 14
NO_BASELINE = "none"
EFFECTS = (
    ("psi", "PSI"),
    ("js", "Jensen-Shannon"),
    ("ks", "KS"),
    ("wasserstein", "Wasserstein"),
    ("hellinger", "Hellinger"),
)


@dataclass(frozen=True, slots=True)
class When:
    """A time, for people and for machines."""

    text: str
    ago: str
    machine: str

    @classmethod
    def of(cls, at_us: Micros | int, now_us: Micros | int) -> "When":
        """Write a time as seen from now."""
        return cls(words.moment(at_us), words.ago(at_us, now_us), words.machine_time(at_us))


@dataclass(frozen=True, slots=True, kw_only=True)
class Certainty:
    """How sure we are: evidence against the budget, both as exponents of ten."""

    evidence: str | None
    threshold: str | None
    share: float
    """Of the way to the threshold, 0 to 1."""
    budget: str
    alarm: When | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column with its histograms."""

    name: str
    kind: str
    group: str
    direction: str | None
    blamed: bool
    evidence: str | None
    over: bool
    since: When | None
    effects: tuple[tuple[str, str], ...]
    bars: tuple[Bar, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of a history."""

    at: When
    actor: str
    text: str
    reason: str
    tone: str
    address: str | None = None
    """Of the page that tells more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentView:
    """The open incident."""

    id: str
    title: str
    cause: str
    status: str
    assignee: str | None
    opened: When
    others: int
    entries: tuple[Change, ...]
    can_acknowledge: bool
    can_resolve: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPage:
    """Everything on the page of one version."""

    model: str
    version: str
    owner: str
    description: str
    state: str
    tone: str
    meaning: str
    since: When
    reason: str
    why: str | None
    held_back: str | None
    monitoring: str
    monitoring_tone: str
    certainty: Certainty
    rebuild: str | None
    """Whether the change of the alarm lasts."""
    steps: Steps
    charts: tuple[EvidenceChart, ...]
    spans: tuple[SpanChoice, ...]
    span: str | None
    """The span that the viewer chose."""
    chart_summary: str
    chart_note: str
    columns: tuple[Column, ...]
    all_columns: tuple[Column, ...]
    columns_total: int
    segments: tuple[SegmentRow, ...]
    window: str | None
    windows: tuple[Choice, ...]
    chosen_column: str | None
    """The column that the viewer chose."""
    quality: QualitySection | None
    traffic: TrafficSection | None
    performance: PerformanceSection | None
    labels: str | None
    policy: Said
    asked: str | None
    """The rolling window that the viewer chose."""
    listed: str
    """The window of the effect sizes in the list of all columns."""
    changes: tuple[Change, ...]
    incident: IncidentView | None
    events: str
    last_event: When | None
    baseline: str
    promise: Promise | None
    dry_run: bool

    @property
    def has_baseline(self) -> bool:
        """Whether there is one."""
        return self.baseline != NO_BASELINE


def version_page(facts: Facts, viewer: Identity) -> VersionPage:
    """Decide what the page shows."""
    version, model = facts.version, facts.model
    columns, current = _ranked(facts), facts.current
    monitoring, tone = monitoring_of(facts)
    certainty = _certainty(facts)
    chosen = facts.column if any(column.name == facts.column for column in columns) else None
    return VersionPage(
        model=model.name,
        version=version.version,
        owner=model.owner,
        description=model.description,
        state=words.STATE_NAMES[version.state],
        tone=TONES[version.state],
        meaning=_meaning(version, model),
        since=When.of(version.since_us, facts.now_us),
        reason=version.reason,
        why=_why(facts, columns),
        held_back=facts.held_back,
        monitoring=monitoring,
        monitoring_tone=tone,
        certainty=certainty,
        rebuild=rebuild_of(facts),
        steps=_steps(facts, viewer),
        charts=charts_of(facts),
        spans=spans_of(facts),
        span=next((one.name for one in spans_of(facts) if one.chosen), None),
        chart_summary=_chart_summary(certainty),
        chart_note=note_of(facts),
        columns=tuple(_compared(facts, column, current) for column in _shown(columns, chosen)),
        all_columns=tuple(columns[:COLUMNS_LISTED]),
        columns_total=len(facts.status.columns),
        segments=segment_rows(facts),
        window=window_sentence(facts, current) if current else None,
        windows=choices_of(facts),
        chosen_column=chosen,
        quality=quality_section(facts),
        traffic=traffic_section(facts),
        performance=performance_section(facts),
        labels=labels_sentence(facts),
        policy=policy_in_words(model.policy),
        asked=facts.asked,
        listed=listed_window(facts),
        changes=_changes(facts),
        incident=_incident(facts, viewer),
        events=f"{facts.status.events_total:,}",
        last_event=_when(facts.status.last_us, facts.now_us),
        baseline=_baseline(facts),
        promise=promise_of(facts.calibration, model.policy),
        dry_run=model.policy.dry_run,
    )


def _steps(facts: Facts, viewer: Identity) -> Steps:
    version, model = facts.version, facts.model
    return steps_of(
        version,
        model.policy,
        facts.approvals,
        viewer,
        is_open=facts.incidents_open > 0,
        is_attack=facts.incident is not None and facts.incident.cause is Cause.ADVERSARIAL,
        is_judged=facts.version.baseline_id is not None and facts.status.monitoring != "insufficient",
    )


def _meaning(version: Version, model: Model) -> str:
    text = words.STATE_MEANINGS[version.state]
    if version.state not in SERVING and model.policy.fallback:
        return f"{text} Gateways are pointed to the fallback {model.policy.fallback}."
    return text


def _certainty(facts: Facts) -> Certainty:
    budget = words.budget_sentence(facts.model.policy.budget)
    log_threshold = facts.log_threshold
    log_evidence = facts.snapshot.evidence_log if facts.snapshot else -math.inf
    alert = facts.alert
    return Certainty(
        evidence=words.exponent(log_evidence),
        threshold=words.exponent(log_threshold),
        share=share_of(log_evidence, log_threshold),
        budget=budget,
        alarm=When.of(alert.opened_us, facts.now_us) if alert else None,
    )


def _why(facts: Facts, columns: Sequence[Column]) -> str | None:
    """Name what changed most, in a sentence; ``None`` while nothing has crossed the budget."""
    if facts.alert is None:
        return None
    own = [column for column in columns if column.blamed]
    blamed = [f"{column.name} ({column.direction})" if column.direction else column.name for column in own]
    listed = {column.name for column in columns}
    blamed += [f"{f.name} ({f.direction})" for f in facts.findings.values() if f.name not in listed]
    blamed += [finding.words for finding in facts.inside]
    cause = words.CAUSE_NAMES[facts.alert.cause]
    if not blamed:
        return f"{cause}."
    rest = f" and {len(blamed) - 3} more" if len(blamed) > 3 else ""  # noqa: PLR2004 - as many as a sentence carries
    return f"{cause}: {', '.join(blamed[:3])}{rest}."


def _ranked(facts: Facts) -> list[Column]:
    """Order the columns: blamed ones as the alarm named them, then by evidence."""
    blame = {name: place for place, name in enumerate(facts.findings)}
    order = sorted(
        facts.status.columns,
        key=lambda c: (blame.get(c.name, len(blame)), -(-math.inf if c.log_evidence is None else c.log_evidence)),
    )
    sizes = effects_listed(facts)
    return [_column(facts, c, sizes.get(c.name, ({}, {})), blamed=c.name in blame) for c in order]


def _column(facts: Facts, column: StatusColumn, sizes: tuple[Effects, Intervals], *, blamed: bool) -> Column:
    finding = facts.findings.get(column.name)
    return Column(
        name=column.name,
        kind=column.kind,
        group=column.group,
        direction=finding.direction if finding else column.direction,
        blamed=blamed,
        evidence=words.exponent(column.log_evidence),
        over=column.log_evidence is not None and column.log_evidence >= facts.log_threshold,
        since=_when(finding.since_us if finding else column.since_us, facts.now_us),
        effects=_effects(*sizes),
    )


def _effects(values: Effects, intervals: Intervals) -> tuple[tuple[str, str], ...]:
    return tuple(
        (label, words.with_interval(value, intervals.get(key)))
        for key, label in EFFECTS
        if (value := values.get(key)) is not None
    )


def _compared(facts: Facts, column: Column, current: Current | None) -> Column:
    """Add both histograms, and the effect sizes of just these two."""
    view = next((c for c in facts.baseline.columns if c.name == column.name), None) if facts.baseline else None
    if facts.baseline is None or view is None or current is None:
        return column
    effects, intervals = compared(facts.baseline, current.counts, column.name) or ({}, {})
    shown = bars(view, current.counts[view.place], inflation_of(facts.baseline, column.name))
    return replace(column, bars=shown, effects=_effects(effects, intervals))


def _shown(columns: Sequence[Column], chosen: str | None) -> list[Column]:
    """Return the columns whose histograms are shown: the one that was chosen first, then those that stand first."""
    first = [column for column in columns if column.name == chosen]
    return [*first, *(column for column in columns if column.name != chosen)][:WORST_COLUMNS]


def _chart_summary(certainty: Certainty) -> str:
    now = f"now 10 to the power of {certainty.evidence}" if certainty.evidence else "none yet"
    return f"Evidence over time: {now}, against a budget of 10 to the power of {certainty.threshold}."


def _changes(facts: Facts) -> tuple[Change, ...]:
    """Return what happened, newest first: states, deploys, baselines and incidents."""
    history, now_us = facts.history, facts.now_us
    found: list[tuple[int, Change]] = []

    def note(at_us: int, actor: str, text: str, reason: str, tone: str = "plain", address: str | None = None) -> None:
        found.append((at_us, Change(When.of(at_us, now_us), actor, text, reason, tone, address)))

    for one in history.deploys:
        own = one.id == facts.version.id
        note(one.created_us, one.deployed_by, "Deployed", "this version" if own else f"version {one.version}")
    for mark in history.baselines:
        note(mark.created_us, mark.created_by, "Baseline", f"{mark.rows:,} rows, digest {mark.digest[:12]}")
    for opened in history.incidents:
        said = f"{opened.title}, {opened.verdict or opened.status}"
        tone = "off" if opened.resolved_us else "warn"
        note(opened.opened_us, SYSTEM, "Incident", said, tone, incident_url(opened.id))
    for t in history.transitions:
        text = f"{words.STATE_NAMES[t.before]} → {words.STATE_NAMES[t.after]}"
        note(t.at_us, t.actor, text, t.reason, TONES[t.after])
    found.sort(key=lambda one: one[0])
    return tuple(change for _, change in reversed(found[-CHANGES_SHOWN:]))


def _incident(facts: Facts, viewer: Identity) -> IncidentView | None:
    incident = facts.incident
    if incident is None:
        return None
    may = viewer.may(Scope.OPERATE)
    return IncidentView(
        id=incident.id,
        title=incident.title,
        cause=words.CAUSE_NAMES[incident.cause],
        status=str(incident.status),
        assignee=incident.assignee,
        opened=When.of(incident.opened_us, facts.now_us),
        others=max(0, facts.incidents_open - 1),
        entries=tuple(
            Change(When.of(item.at_us, facts.now_us), item.actor, words.done(item.kind), item.body, "plain")
            for item in facts.timeline
        ),
        can_acknowledge=may and incident.status is IncidentStatus.OPEN,
        can_resolve=may and incident.status is not IncidentStatus.RESOLVED,
    )


def _baseline(facts: Facts) -> str:
    if facts.baseline is None:
        return NO_BASELINE
    return f"{facts.baseline.rows:,} rows, digest {facts.baseline.digest[:12]}"


def _when(at_us: int | None, now_us: Micros) -> When | None:
    return None if at_us is None else When.of(at_us, now_us)

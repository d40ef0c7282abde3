"""Adversarial use on the page of a version: who attacks it, how far they got, and which principals are contained."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.console import words
from service.console.facts import Facts
from service.console.read_models import When
from service.domain.atlas import Stage, atlas
from service.domain.ids import Micros
from service.domain.keys import Identity
from service.domain.principals import AdversarialUse, Containment
from service.domain.records import Alert, Scope, Severity

ATTACKS_SHOWN = 5
HELD_SHOWN = 20
SHOWN = 12
"""Digits of a pseudonym that people compare by eye."""
SEVERITY_TONES = {Severity.LOW: "plain", Severity.MEDIUM: "warn", Severity.HIGH: "bad"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A kill chain: where along the tactics of ATLAS an attacker has been seen."""

    stages: tuple[Stage, ...]
    """The tactics that were reached, in the order of ATLAS, with their techniques."""
    strip: tuple[tuple[str, bool], ...]
    """Every tactic, and whether it was reached."""
    summary: str
    atlas: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A contained principal."""

    principal: str
    short: str
    tier: str
    since: When
    left: str
    """How long it will still be contained."""
    reason: str
    incident_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """An unresolved incident of adversarial use, in a line."""

    id: str
    title: str
    severity: str
    tone: str
    opened: When
    chain: Chain


@dataclass(frozen=True, slots=True, kw_only=True)
class UseSection:
    """Everything about adversarial use on the page of a version."""

    attacks: tuple[Attack, ...]
    attacks_left: int
    held: tuple[Held, ...]
    held_left: int
    advice: str
    can_lift: bool


def use_section(facts: Facts, viewer: Identity) -> UseSection:
    """Decide what the section shows."""
    own: dict[str, list[AdversarialUse]] = {}
    for alert in facts.attack_alerts:
        own.setdefault(alert.incident_id, []).extend(uses_of([alert]))
    attacks = tuple(
        Attack(
            id=incident.id,
            title=incident.title,
            severity=str(incident.severity),
            tone=SEVERITY_TONES[incident.severity],
            opened=When.of(incident.opened_us, facts.now_us),
            chain=chain_of(own.get(incident.id, [])),
        )
        for incident in facts.attacks[:ATTACKS_SHOWN]
    )
    return UseSection(
        attacks=attacks,
        attacks_left=len(facts.attacks) - len(attacks),
        held=held_of(facts.contained[:HELD_SHOWN], facts.now_us),
        held_left=max(0, len(facts.contained) - HELD_SHOWN),
        advice="The gate refuses them."
        if facts.model.policy.adversarial.enforce_containment
        else "The gate tells gateways so; it refuses nobody for it.",
        can_lift=viewer.may(Scope.OPERATE),
    )


def uses_of(alerts: Iterable[Alert]) -> list[AdversarialUse]:
    """Return what alerts say of adversarial use."""
    return [alert.adversarial for alert in alerts if alert.adversarial is not None]


def chain_of(uses: Sequence[AdversarialUse]) -> Chain:
    """Return the kill chain of what was found of one attacker."""
    stages = atlas().kill_chain(technique for use in uses for technique in use.techniques)
    reached = {stage.tactic for stage in stages}
    names = ", ".join(stage.tactic.name for stage in stages)
    return Chain(
        stages=stages,
        strip=tuple((tactic.name, tactic in reached) for tactic in atlas().tactics),
        summary=f"{len(stages)} of {len(atlas().tactics)} tactics reached{': ' if names else ''}{names}",
        atlas=atlas().version,
    )


def held_of(contained: Iterable[Containment], now_us: Micros) -> tuple[Held, ...]:
    """Write contained principals for people."""
    return tuple(
        Held(
            principal=one.principal,
            short=one.principal[:SHOWN],
            tier=str(one.tier),
            since=When.of(one.since_us, now_us),
            left=words.duration((one.until_us - now_us) / 1e6),
            reason=one.reason,
            incident_id=one.incident_id,
        )
        for one in contained
    )

"""When adversarial use takes a model away from everybody. Pure: nothing is written here.

A monitor that one client can make close the gate is that client's weapon. So a version is quarantined only on

* confirmed flips by unrelated principals, as many as the policy asks for and never fewer than two;
* a flipped input that a principal sends again which is not the one that found it;
* poisoning that shows in the traffic as a whole, or that several principals feed;
* canaries that are answered otherwise, or another model artefact than the registered one.

Whatever one principal does is one voice: people are told, and the version goes on serving.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from service.domain.adversarial import DAY_US, Adversarial, Response, Unrelated
from service.domain.ids import Micros
from service.domain.policy import Policy
from service.domain.principals import AdversarialUse, Kind
from service.domain.records import Alert, Version
from service.domain.states import SERVING, State
from service.quarantine.decide import Ruling, Why, mark, take_away


@dataclass(frozen=True, slots=True, kw_only=True)
class Voices:
    """What calls for quarantine: who has flipped a label, what was used again, and what was done to the model."""

    flipped: frozenset[str] = frozenset()
    """Unrelated principals, or campaigns where those of one count as one."""
    reused: frozenset[str] = frozenset()
    """Campaigns in which another principal has sent a flipped input again."""
    model: frozenset[Kind] = frozenset()


def listen(alerts: Iterable[Alert], chosen: Adversarial, at_us: Micros) -> Voices:
    """Return what the open alerts of a version call for."""
    uses = [alert.adversarial for alert in alerts if alert.status == "open" and alert.adversarial is not None]
    since_us = at_us - chosen.unrelated_days * DAY_US
    recent = [use for use in uses if use.kind is Kind.INTENT and use.until_us >= since_us]
    return Voices(
        flipped=frozenset(voice for use in recent for voice in _flippers(use, chosen.unrelated)),
        reused=frozenset(use.subject for use in recent if _is_reuse(use, chosen.unrelated)),
        model=frozenset(use.kind for use in uses if _concerns_model(use)),
    )


def calls_for(voices: Voices, chosen: Adversarial) -> str | None:
    """Return why a version is to be quarantined, ``None`` when nothing calls for it."""
    if not chosen.quarantine:
        return None
    if voices.model:
        return " and ".join(sorted(kind.value for kind in voices.model)) + " of the model"
    if len(voices.flipped) >= chosen.unrelated_minimum:
        return f"confirmed flips by {len(voices.flipped)} unrelated principals"
    if voices.reused:
        return "a flipped input was used again by another principal"
    return None


def decide_use(voices: Voices, alert: Alert, version: Version, policy: Policy, fleet: Iterable[Version]) -> Ruling:
    """Return what the policy does to a version about an alert of adversarial use."""
    chosen, use = policy.adversarial, alert.adversarial
    if version.state not in SERVING:
        return Ruling(None, Why.NOT_SERVING, f"no action: the version is {version.state}")
    calls = calls_for(voices, chosen)
    marks = use is not None and use.kind is Kind.INTENT and chosen.intent is Response.SUSPECT
    if calls is None and not marks:
        return Ruling(None, Why.NOTIFY, "the policy for adversarial use leaves the version as it is")
    if policy.dry_run:
        wanted = State.SUSPECT if calls is None else State.QUARANTINED
        return Ruling(None, Why.DRY_RUN, f"dry run: would now be {wanted} ({calls or 'adversarial intent'})")
    if calls is None:
        return mark(version, Why.SUSPECT, "suspect: adversarial intent of one attacker never quarantines")
    return take_away(version, policy, fleet, calls)


def _flippers(use: AdversarialUse, unrelated: Unrelated) -> tuple[str, ...]:
    if not use.flipped_by:
        return ()
    if unrelated is Unrelated.SEPARATE:
        return (use.subject,)
    return use.flipped_by if unrelated is Unrelated.EVIDENCE else use.principals


def _is_reuse(use: AdversarialUse, unrelated: Unrelated) -> bool:
    if not use.reused_by or unrelated is Unrelated.SEPARATE:
        return False
    if unrelated is Unrelated.CAMPAIGN:
        return len(use.principals) > 1
    return any(one != other for one in use.flipped_by for other in use.reused_by)


def _concerns_model(use: AdversarialUse) -> bool:
    if use.kind is Kind.POISONING:
        return len(use.principals) != 1
    return use.kind in {Kind.CANARY, Kind.ARTEFACT}

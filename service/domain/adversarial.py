"""What an operator decides about adversarial use: ``policy.adversarial``."""

import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Annotated

import msgspec

from service.domain.errors import Place
from service.domain.requests import Requests, bad_requests
from service.domain.rule_conflicts import rules_apart

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
SECONDS_PER_HOUR = 3_600.0
EXPLAINERS_MAX = 1_000
SEALED = re.compile(r"pseudonym:([0-9a-f]{32})")
"""How a policy keeps a principal: never by name."""


class Response(StrEnum):
    """What evidence about a principal does, from mildest to strongest."""

    RECORD = "record"
    NOTIFY = "notify"
    CONTAIN = "contain"
    SUSPECT = "suspect"
    """And contain: the version is marked too."""


class Unrelated(StrEnum):
    """Which principals count as unrelated to one another, from strictest to most lenient."""

    SEPARATE = "separate"
    """Those of one campaign count as one."""
    EVIDENCE = "evidence"
    """Each one that has evidence of its own."""
    CAMPAIGN = "campaign"
    """The other principals of a campaign too: an attacker may then drag in a bystander."""


class DriftOfOne(StrEnum):
    """What becomes of a quarantine for drift whose evidence rests on one principal while there are others."""

    SUSPECT = "suspect"
    QUARANTINE = "quarantine"
    """As if nobody had looked."""


class Transcript(StrEnum):
    """What is kept of the queries behind an alert."""

    FINGERPRINTS = "fingerprints"
    """When each came, what was answered, and hashes; no values."""
    SAMPLE = "encrypted_sample"
    """The values of the features as well, encrypted."""

    @property
    def samples(self) -> bool:
        """Whether values are kept."""
        return self is Transcript.SAMPLE


Part = Annotated[float, msgspec.Meta(gt=0, le=1000)]


class TierShares(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of the budget of false alarms about principals, by tier, relative to one another."""

    probing: Part = 1.0
    intent: Part = 1.0
    extraction: Part = 1.0
    membership: Part = 1.0
    cost: Part = 1.0
    persistence: Part = 1.0

    def of(self, tier: str) -> float:
        """Return the share of a tier, between 0 and 1."""
        parts: dict[str, float] = msgspec.structs.asdict(self)
        return parts[tier] / sum(parts.values())


class Following(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose requests are looked at one by one, and how many of them."""

    requests_per_second: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 500
    """Of a version; each costs about a tenth of a millisecond. What comes beyond it is counted, not looked at."""
    share_of_one: Annotated[float, msgspec.Meta(ge=0.01, le=1)] = 0.2
    """At most this part of them is looked at for a single principal."""
    principals_max: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 2_000
    """Whose trails are kept, 15 to 70 kB each, 300 kB at the worst; whoever was not seen for longest is forgotten."""
    size: Annotated[str, msgspec.Meta(min_length=1, max_length=300)] | None = None
    """A numeric feature that says how large an input is: what inputs of a similar size cost is compared."""
    cost_share: Annotated[float, msgspec.Meta(ge=0.01, le=0.95)] | None = None
    """More than this share of the time that answers take is too much for one principal; ``None``: nothing is."""
    labels_of_events: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 20_000
    """Events that labels are joined to, the latest ones; each takes 0.4 kB."""


class Adversarial(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What each tier does, to whom, and how often people hear of it."""

    follow: Following | None = None
    """Look at the requests of each principal one by one; ``None``: at none. Put the baseline again afterwards."""
    requests: Requests | None = None
    """Look at single requests by themselves; ``None``: at none. Put the baseline again afterwards."""
    events_of_one: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    """So many events of one principal count in a tick, for the evidence of drift; ``None``: all of them do."""
    drift_of_one: DriftOfOne = DriftOfOne.SUSPECT
    """How far drift goes that is there only with the events of one principal."""
    probing: Response = Response.CONTAIN
    intent: Response = Response.CONTAIN
    extraction: Response = Response.CONTAIN
    membership: Response = Response.NOTIFY
    cost: Response = Response.NOTIFY
    persistence: Response = Response.CONTAIN
    alerts_per_principal: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    """A day; weaker alerts never use up what stronger ones may."""
    alerts_per_tier: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 50
    """A day and version."""
    explainers: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=256)], ...], msgspec.Meta(max_length=EXPLAINERS_MAX)
    ] = ()
    """Declared explanation clients: principals whose probing means nothing. They are kept as pseudonyms."""
    contain_hours: Annotated[float, msgspec.Meta(ge=0.01, le=8_760)] = 24.0
    contained_max: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1_000
    """Principals of one version at a time; beyond it a stronger tier displaces a weaker one."""
    enforce_containment: bool = False
    """Whether the gate refuses contained principals; else it only says so."""
    enforce_after_seconds: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 300.0
    """Refusals begin after so long to twice as long, drawn for each containment: at once tells what was noticed."""
    enforce_share: Annotated[float, msgspec.Meta(ge=0.05, le=1)] = 1.0
    """Of the minutes of a containment, in which it is enforced, drawn one by one."""
    quarantine: bool = True
    """Whether adversarial evidence may ever quarantine a version."""
    unrelated: Unrelated = Unrelated.EVIDENCE
    unrelated_minimum: Annotated[int, msgspec.Meta(ge=2, le=100)] = 2
    unrelated_days: Annotated[float, msgspec.Meta(ge=0.01, le=365)] = 7.0
    """How long a principal's flip counts together with another's."""
    shares: TierShares = TierShares()
    transcript: Transcript = Transcript.FINGERPRINTS
    transcript_requests: Annotated[int, msgspec.Meta(ge=1, le=256)] = 64
    """Of the accused principal, the latest up to the finding."""
    transcript_days: Annotated[float, msgspec.Meta(ge=0.01, le=400)] = 30.0
    """Then the transcript is deleted."""

    def of(self, tier: str) -> Response:
        """Return what a tier does."""
        response: Response = getattr(self, tier)
        return response

    @property
    def contain_us(self) -> int:
        """How long a containment lasts."""
        return round(self.contain_hours * HOUR_US)

    def explains(self, principal: str) -> bool:
        """Tell whether a pseudonym is that of a declared explanation client."""
        return f"pseudonym:{principal}" in self.explainers

    def sealed(self, pseudonym: Callable[[str], str]) -> "Adversarial":
        """Return it with pseudonyms in place of the names of principals."""
        if all(SEALED.fullmatch(one) for one in self.explainers):
            return self
        names = [one if SEALED.fullmatch(one) else f"pseudonym:{pseudonym(one)}" for one in self.explainers]
        return msgspec.structs.replace(self, explainers=tuple(dict.fromkeys(names)))


MILD = ("probing", "extraction", "membership", "cost", "persistence")
"""Tiers that say nothing of a model that gave a wrong answer."""


def bad_adversarial(chosen: Adversarial, at: str) -> Iterator[Place]:
    """Yield what it says against itself; ``at`` is where it stands."""
    for tier in MILD:
        if chosen.of(tier) is Response.SUSPECT:
            reason = (
                "is 'suspect', but only intent says something of the model: must be 'record', 'notify' or 'contain'"
            )
            yield Place(f"{at}{tier}", reason)
    yield from _bad_enforcement(chosen, at)
    yield from bad_requests(chosen.requests, f"{at}requests.")
    yield from rules_apart(() if chosen.requests is None else chosen.requests.rules, f"{at}requests.rules")
    first: dict[str, int] = {}
    for number, one in enumerate(chosen.explainers):
        if one in first:
            yield Place(
                f"{at}explainers[{number}]", f"is '{one[:100]}', as {at}explainers[{first[one]}] is: say it once"
            )
            yield Place(
                f"{at}explainers[{first[one]}]", f"is '{one[:100]}', as {at}explainers[{number}] is: say it once"
            )
        first.setdefault(one, number)


def _bad_enforcement(chosen: Adversarial, at: str) -> Iterator[Place]:
    """Yield both places where containment is enforced that never begins."""
    if not chosen.enforce_containment:
        return
    tiers = (*MILD, "intent")
    if not any(chosen.of(tier) in {Response.CONTAIN, Response.SUSPECT} for tier in tiers):
        yield Place(f"{at}enforce_containment", "is true, but no tier is set to 'contain': there is nothing to enforce")
        for tier in tiers:
            reason = f"is '{chosen.of(tier)}' and no other tier is 'contain', but {at}enforce_containment is true"
            yield Place(f"{at}{tier}", reason)
    longest = 2.0 * chosen.enforce_after_seconds
    if longest >= chosen.contain_hours * SECONDS_PER_HOUR:
        after, hours = f"{at}enforce_after_seconds", f"{at}contain_hours"
        never = f"refusals may begin {longest:g} s after a containment of {chosen.contain_hours:g} h: never"
        yield Place(after, f"is {chosen.enforce_after_seconds:g}, but {hours} is {chosen.contain_hours:g}: {never}")
        yield Place(hours, f"is {chosen.contain_hours:g}, but {after} is {chosen.enforce_after_seconds:g}: {never}")

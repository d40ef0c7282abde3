"""What stands beside an incident: a snooze, what it came from or went into, and the evidence as it was at the trip."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from service.domain.ids import Actor, Micros, VersionId
from service.domain.policy import SECONDS_PER_DAY, Cause, Policy
from service.domain.records import Incident, IncidentStatus, Severity, Verdict


class LinkKind(StrEnum):
    """What one incident is to another."""

    MERGED = "merged"
    """It is part of the other one."""
    REGRESSED = "regressed"
    """Its cause is that of the other one, which was over."""


class Hush(StrEnum):
    """Why people are not told now."""

    SNOOZED = "snoozed"
    MAINTENANCE = "maintenance"
    COOLDOWN = "cooldown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snooze:
    """Somebody wants to hear no more of an incident for a while."""

    incident_id: str
    until_us: Micros
    until_worse: bool
    """Whether it ends as soon as the incident matters more than it did."""
    severity: Severity
    """Of the incident when it was snoozed."""
    at_us: Micros
    actor: Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """A time in which nobody is paged about the drift of a model."""

    id: str
    model: str
    start_us: Micros
    end_us: Micros
    quarantine: bool
    """Whether drift may still quarantine a version in it."""
    reason: str
    created_us: Micros
    created_by: Actor
    cancelled_us: Micros | None = None

    def covers(self, at_us: Micros) -> bool:
        """Return whether a time lies in it."""
        return self.start_us <= at_us < self.over_us

    @property
    def over_us(self) -> Micros:
        """When it ends, or was ended."""
        return self.end_us if self.cancelled_us is None else min(self.end_us, self.cancelled_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """From one incident to another."""

    incident_id: str
    kind: LinkKind
    other_id: str
    at_us: Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Hushed:
    """People were not told of an incident, and will be if it is still there then."""

    incident_id: str
    why: Hush
    until_us: Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearing:
    """All that bears on whether people are told of something now."""

    snooze: Snooze | None = None
    windows: tuple[Maintenance, ...] = ()
    """Of the model."""
    over_us: Micros | None = None
    """When the last incident of the same version and cause was over."""
    cooldown_us: int = 0


class FrozenHistogram(msgspec.Struct, frozen=True, kw_only=True):
    """One blamed column when the alarm was raised: how many of which value, before and since the change."""

    name: str
    bins: tuple[str, ...]
    baseline: tuple[int, ...]
    current: tuple[int, ...]
    effects: dict[str, float | None]
    intervals: dict[str, tuple[float, float] | None]
    """Of 95 %."""


class FrozenColumn(msgspec.Struct, frozen=True, kw_only=True):
    """One blamed column, as the alert names it."""

    name: str
    segment: str | None
    group: str
    direction: str
    log_evidence: float | None
    since_us: int


class FrozenRedTeam(msgspec.Struct, frozen=True, kw_only=True):
    """The latest red-team run of the version at that time."""

    at_us: int
    plan: str
    complete: bool
    blind: tuple[str, ...]
    """Attacks that nothing saw."""
    broken: tuple[str, ...]
    """Scenarios whose defence did not hold."""


class Frozen(msgspec.Struct, frozen=True, kw_only=True):
    """The evidence of an incident when it was opened; nothing changes it afterwards."""

    format: int = 1
    incident_id: str
    version_id: int
    cause: str
    at_us: int
    position: int
    state: str
    """Of the version, before the incident."""
    reason: str
    log_evidence: float | None
    log_threshold: float | None
    columns: tuple[FrozenColumn, ...]
    histograms: tuple[FrozenHistogram, ...]
    left_out: tuple[str, ...] = ()
    """Columns whose histograms did not fit."""
    principals: tuple[str, ...]
    """Pseudonyms; empty where the evidence is about all traffic together."""
    adversarial: dict[str, Any] | None
    """What the alert says of adversarial use."""
    baseline_id: str | None
    baseline_digest: str | None
    policy: Policy
    redteam: FrozenRedTeam | None = None


def regressed(opened: Incident, resolved: Iterable[Incident]) -> Incident | None:
    """Return the incident whose cause is back with a new one: the last one of its version and cause that was over.

    Whether that is too long ago, and of adversarial use whether the subject is the same, is the caller's to choose.
    """
    same = [
        one
        for one in resolved
        if one.id != opened.id
        and (one.version_id, one.cause) == (opened.version_id, opened.cause)
        and one.status is IncidentStatus.RESOLVED
        and one.resolved_us is not None
        and one.resolved_us <= opened.opened_us
    ]
    return max(same, key=lambda one: (one.resolved_us or 0, one.id), default=None)


def regress_us(policy: Policy) -> int:
    """Return within which time after its end a cause counts as back, in microseconds."""
    return round(policy.incidents.regressed_within_days * SECONDS_PER_DAY * 1e6)


class Judged(NamedTuple):
    """What the quality of alerts is counted from, of one incident."""

    model: str
    cause: Cause
    verdict: Verdict | None
    opened_us: Micros
    acknowledged_us: Micros | None
    resolved_us: Micros | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """For how long a version was watched, and what was promised for it."""

    version_id: VersionId
    model: str
    hours: int
    """Hours of arrival time that had events."""
    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What became of what people were told about an incident that is part of another one now."""

    left: tuple[str, ...] = ()
    """Groups of messages that nothing which fires belongs to any more."""
    strangers: bool = False
    """Whether a channel was told of the part and not of the whole."""
    heard: tuple[str, ...] = ()
    """Channels that know what fires as the part: its end may wait to be told, and would be told as of the whole."""

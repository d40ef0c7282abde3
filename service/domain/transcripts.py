"""What is kept of the requests behind a finding about a principal, so that people can look at them afterwards."""

from dataclasses import dataclass

import msgspec

from service.domain.adversarial import DAY_US, Transcript
from service.domain.ids import Actor, Micros, Position, VersionId
from service.domain.principals import PrincipalTier

KEPT_OF_TIER = 50
"""Transcripts of one tier that a version keeps; the oldest give way. So no tier pushes out those of another."""
SAMPLE_BYTES_MAX = 512 * 1024
"""Of the values of one transcript; those of its oldest requests are left out beyond it."""
ERASED_KEPT_US = 400 * DAY_US
"""How long it is remembered that a transcript was erased: until then, nothing is kept of that alert any more."""


class TranscriptRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a transcript, without the values of its features."""

    at_us: int
    """When it arrived."""
    position: int
    row: int
    """Of the log's entry: together they name the event."""
    event_id: str | None
    label: str | None
    """The predicted class."""
    margin: float | None
    """Between the two likeliest classes, 0 to 1; unknown where no probabilities come."""
    matched_by: str | None
    """Whether the hashes are those of the ``fingerprint`` or of the ``point``."""
    hashes: str
    """16 hashes in hexadecimal, 16 digits each."""
    nearest: float | None
    """Distance to the nearest earlier request of the transcript, as a part of what is typical for the class."""
    score: float | None
    """How odd it is by itself, 0 to 1, where single requests are looked at."""


class TranscriptBody(msgspec.Struct, frozen=True, kw_only=True):
    """All of a transcript that is not encrypted."""

    requests: tuple[TranscriptRequest, ...]
    """Oldest first."""
    cut: bool
    """Whether the search ended at one of its bounds, so that there may be more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accused:
    """A finding whose requests are to be kept."""

    alert_id: str
    incident_id: str
    version_id: VersionId
    principal: str
    tier: PrincipalTier
    policy: Transcript
    requests_max: int
    keep_us: int
    since_us: Micros
    """The first request of the evidence."""
    position: Position
    """Of the entry in which it was found: later ones have no part in it."""
    at_us: Micros
    news: bool
    """Whether the alert is new or worse; else an earlier transcript stays as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptRecord:
    """A transcript as the store has it."""

    alert_id: str
    principal: str
    incident_id: str
    version_id: VersionId
    tier: PrincipalTier
    policy: Transcript
    position: Position
    drawn_us: Micros
    """When the finding was made."""
    until_us: Micros
    """From then on it is as if it were not there."""
    body: str
    """JSON of ``TranscriptBody``; empty once erased."""
    key_id: str | None
    """Of the key that the values are encrypted with."""
    sample: bytes | None
    """The values, encrypted."""
    erased_us: Micros | None = None
    erased_by: Actor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A transcript that was just made; ``replaces`` says whether one that is there gives way to it."""

    record: TranscriptRecord
    replaces: bool

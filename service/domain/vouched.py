"""What an operator vouches for about a version: which artefact answers, and what it answers to canaries.

The model server says both in the ``segment`` of an event: ``segment.artefact`` is the digest of the model that
answered, ``segment.canary`` the key of the canary that the event is.
"""

import re
from collections.abc import Iterator
from math import isfinite
from typing import Annotated

import msgspec

from service.domain.errors import Place
from service.domain.ids import Position
from service.domain.schema import PredictionKind, Schema

CANARIES_MAX = 256
KEY_MAX = 128
ARTEFACT_SEGMENT = "artefact"
CANARY_SEGMENT = "canary"
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.IGNORECASE)


class Canary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An input whose answer is known."""

    key: Annotated[str, msgspec.Meta(min_length=1, max_length=KEY_MAX)]
    """What the model server names it by."""
    prediction: str | float
    """The answer: a class, or a number."""
    tolerance: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """By how much a number, or the confidence, may be off."""
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    """Probability of the predicted class; ``None``: it is not compared."""


class Vouched(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for every event after a position of the log."""

    artefact: str | None = None
    """SHA-256 of the model's file, 64 hex digits; ``None``: any may answer."""
    canaries: Annotated[tuple[Canary, ...], msgspec.Meta(max_length=CANARIES_MAX)] = ()
    from_position: Position = Position(0)

    @property
    def empty(self) -> bool:
        """Whether nothing is vouched for."""
        return self.artefact is None and not self.canaries


def digest_of(text: str) -> str | None:
    """Return a digest in one spelling, with or without ``sha256:`` before it; ``None`` for what is none."""
    found = _DIGEST.fullmatch(text.strip())
    return None if found is None else found[1].lower()


def bad_vouched(vouched: Vouched, schema: Schema) -> Iterator[Place]:
    """Yield what cannot hold for a version with this schema."""
    if vouched.artefact is not None and digest_of(vouched.artefact) is None:
        yield Place("artefact", f"'{vouched.artefact[:80]}' is no SHA-256: 64 hex digits, with or without 'sha256:'")
    seen: set[str] = set()
    for number, canary in enumerate(vouched.canaries):
        at = f"canaries[{number}]"
        if canary.key in seen:
            yield Place(f"{at}.key", f"'{canary.key}' stands twice")
        seen.add(canary.key)
        yield from _bad_answer(canary, schema, at)


def _bad_answer(canary: Canary, schema: Schema, at: str) -> Iterator[Place]:
    answer, classes = canary.prediction, schema.prediction.classes
    if not isfinite(canary.tolerance):
        yield Place(f"{at}.tolerance", "is not finite")
    if schema.prediction.kind is PredictionKind.NUMBER:
        if isinstance(answer, str) or not isfinite(answer):
            yield Place(f"{at}.prediction", "must be a finite number: the version predicts numbers")
        if canary.confidence is not None:
            yield Place(f"{at}.confidence", "the version predicts numbers, which have none")
        return
    if not isinstance(answer, str):
        yield Place(f"{at}.prediction", "must be a class, as text: the version predicts classes")
    elif classes and answer not in classes:
        known = ", ".join(classes[:20])
        yield Place(f"{at}.prediction", f"'{answer[:80]}' is no class of the version; it has {known}")
    if canary.tolerance and canary.confidence is None:
        yield Place(f"{at}.tolerance", "means nothing for a class without 'confidence'")

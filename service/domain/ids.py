"""Names for the numbers and strings that identify things, so that they cannot be mixed up."""

import hashlib
from typing import NewType

ModelId = NewType("ModelId", int)
VersionId = NewType("VersionId", int)
Position = NewType("Position", int)
"""Where an entry stands in the telemetry log. Grows by append; gaps are legal; 0 is before the first entry."""
Micros = NewType("Micros", int)
"""Microseconds since 1970-01-01 UTC."""
Actor = NewType("Actor", str)
"""The name of the key (a person or a system) that did something."""


def derived_id(*parts: object) -> str:
    """Return 32 hex digits that follow from ``parts`` alone, so that a replay gives the same ids."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]

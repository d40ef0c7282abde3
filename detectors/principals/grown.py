"""The forest that this release tells stories with."""

from detectors.principals.forest import Forest

INTENT = 5.0
"""From which log-odds on intent is told of."""


def grown() -> Forest:
    """Return it."""
    raise NotImplementedError

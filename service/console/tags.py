"""By what a browser tells whether the page that it has is still the page."""

import hashlib

FRESH_US = 10_000_000
"""How long an unchanged page stays the same page: 'a minute ago' grows old too."""


def tag_of(*parts: object) -> str:
    """Return a tag that changes with any of the parts that a page is made of."""
    return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:24]}"'

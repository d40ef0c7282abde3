"""Errors that a client may see, each with its status.

A 5xx that is not listed here is a bug.

LazarettoError
├── BadRequest               400  not parseable
├── Unauthenticated          401  no key, a bad one, an expired one
├── Forbidden                403  the key lacks the scope or the model
├── NotFound                 404  unknown model, version, incident, ...
├── Conflict                 409  contradicts what is stored
├── TooLarge                 413  over a size limit
├── UnsupportedMedia         415  content type or encoding
├── Unprocessable            422  parseable, but the envelope is wrong
└── Unavailable              503  overload or a dependency away; carries Retry-After
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """One bad place in an input: where it is, and why it was refused."""

    at: str
    reason: str


class LazarettoError(Exception):
    """Anything that is answered as ``application/problem+json``."""

    status: int = 500
    slug: str = "internal"
    title: str = "Internal error"

    def __init__(self, detail: str, *, places: Sequence[Place] = (), extra: dict[str, object] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.places = tuple(places)
        self.extra = extra or {}


class BadRequest(LazarettoError):
    """The body or a parameter cannot be parsed."""

    status, slug, title = 400, "bad-request", "Bad request"


class Unauthenticated(LazarettoError):
    """No key, or one that is malformed, unknown, revoked or expired."""

    status, slug, title = 401, "unauthenticated", "Unauthenticated"


class Forbidden(LazarettoError):
    """The key is good but may not do this."""

    status, slug, title = 403, "forbidden", "Forbidden"


class NotFound(LazarettoError):
    """What was asked for does not exist; the detail names the nearest names."""

    status, slug, title = 404, "not-found", "Not found"


class Conflict(LazarettoError):
    """The request contradicts what is stored, or the state does not allow it."""

    status, slug, title = 409, "conflict", "Conflict"


class TooLarge(LazarettoError):
    """A size, row, depth or ratio limit was passed."""

    status, slug, title = 413, "too-large", "Too large"


class UnsupportedMedia(LazarettoError):
    """A content type or content encoding that is not supported; the detail names those that are."""

    status, slug, title = 415, "unsupported-media-type", "Unsupported media type"


class Unprocessable(LazarettoError):
    """The body parses, but its envelope is wrong; every bad place is listed."""

    status, slug, title = 422, "unprocessable", "Unprocessable content"


class Unavailable(LazarettoError):
    """Refused for now: a full queue or a dependency that is away."""

    status, slug, title = 503, "unavailable", "Unavailable"

    def __init__(self, detail: str, *, retry_after_seconds: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds

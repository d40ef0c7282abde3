"""What an API key looks like, and what its holder may do.

A key is ``lzk_`` + 8 characters of id + 30 of secret + 6 of checksum, all base62: 178 random bits, found by secret
scanners through its prefix, and refused without a look-up when its checksum is wrong.
"""

import hashlib
import hmac
import secrets
import zlib
from dataclasses import dataclass

from service.domain.errors import Forbidden
from service.domain.ids import Actor
from service.domain.records import Scope

PREFIX = "lzk_"
ID_LENGTH = 8
SECRET_LENGTH = 30
CHECKSUM_LENGTH = 6
KEY_LENGTH = len(PREFIX) + ID_LENGTH + SECRET_LENGTH + CHECKSUM_LENGTH
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

IMPLIED: dict[Scope, frozenset[Scope]] = {Scope.ADMIN: frozenset({Scope.READ})}
"""Scopes that come with another one. Nothing else is implied: who operates need not ingest."""


@dataclass(frozen=True, slots=True)
class KeyParts:
    """The id (stored in clear) and the secret (stored only as a keyed hash) of one key."""

    id: str
    secret: str

    @property
    def text(self) -> str:
        """The key as its holder sends it."""
        return f"{PREFIX}{self.id}{self.secret}{_checksum(self.id + self.secret)}"


def new_key() -> KeyParts:
    """Make a key from the operating system's random numbers."""
    return KeyParts(_random(ID_LENGTH), _random(SECRET_LENGTH))


def parse_key(text: str) -> KeyParts | None:
    """Return the parts of a key, or ``None`` when its shape or its checksum is wrong."""
    if len(text) != KEY_LENGTH or not text.startswith(PREFIX) or not text.isascii():
        return None
    body, checksum = text[len(PREFIX) : -CHECKSUM_LENGTH], text[-CHECKSUM_LENGTH:]
    if not hmac.compare_digest(_checksum(body), checksum):
        return None
    return KeyParts(body[:ID_LENGTH], body[ID_LENGTH:])


def hash_secret(pepper: bytes, secret: str) -> bytes:
    """Return what is stored of a secret. It is random, so that one keyed hash is enough."""
    return hmac.digest(pepper, secret.encode("utf-8", "surrogatepass"), hashlib.sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who is asking, and what they may do."""

    key_id: str
    actor: Actor
    scopes: frozenset[Scope]
    models: frozenset[str] | None
    """``None`` means every model."""

    def may(self, scope: Scope) -> bool:
        """Tell whether the key has a scope, of its own or by implication."""
        return scope in self.scopes or any(scope in IMPLIED.get(own, ()) for own in self.scopes)

    def sees(self, model: str) -> bool:
        """Tell whether the key reaches a model."""
        return self.models is None or model in self.models

    def reached(self, model: str | None) -> frozenset[str] | None:
        """Return the models that an answer about one, or about all, is made of; ``None`` means every model."""
        if model is None:
            return self.models
        return frozenset({model}) if self.sees(model) else frozenset()

    def require(self, scope: Scope) -> None:
        """Raise Forbidden, naming the scope, when the key lacks it."""
        if not self.may(scope):
            own = ", ".join(sorted(self.scopes)) or "none"
            raise Forbidden(f"this needs a key with scope '{scope}'; key '{self.key_id}' has: {own}")

    def require_model(self, model: str) -> None:
        """Raise Forbidden when the key is limited to other models, whether or not this one exists."""
        if not self.sees(model):
            raise Forbidden(f"key '{self.key_id}' is limited to other models than '{model}'")


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = []
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))

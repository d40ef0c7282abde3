"""Who is asking? Keys are verified from memory; the store is asked once for each id."""

import base64
import binascii
import hmac
import threading
from collections import deque
from collections.abc import Iterable
from hashlib import blake2b

import anyio.to_thread

from service.domain.errors import Unauthenticated, Unavailable
from service.domain.ids import Actor, Micros
from service.domain.keys import ID_LENGTH, PREFIX, Identity, hash_secret, parse_key
from service.domain.records import ApiKey
from service.ports import Clock, KeyStore

SECOND_US = 1_000_000
KNOWN_MAX = 10_000
MISS_US = SECOND_US
"""How long an id that is not in the store is refused without asking again."""
SEAL_BYTES = 32
NOBODY: tuple[bytes, Identity | None] = (b"", None)
LOOKUPS_PER_SECOND = 50
"""Look-ups of ids never seen before: guessing must not load the store."""


class KeyRing:
    """The keys seen so far, as stored: never a secret in clear.

    Parameters
    ----------
    store
        Where keys are looked up.
    pepper
        Of the keyed hashes.
    clock
        Tells expired keys.
    """

    def __init__(self, store: KeyStore, pepper: bytes, clock: Clock) -> None:
        self._store = store
        self._pepper = pepper
        self._seal_key = blake2b(pepper).digest()
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, ApiKey] = {}
        self._verified: dict[str, tuple[bytes, Identity]] = {}
        """Keyed hash of the whole text verified last, and its holder, by id: one hash instead of shape, checksum and
        secret."""
        self._missed: dict[str, Micros] = {}
        self._lookups: deque[Micros] = deque()
        self._seen: set[str] = set()
        """Ids of keys that were good, until that is written down."""

    async def identify(self, headers: Iterable[tuple[bytes, bytes]]) -> Identity:
        """Return who sent these headers, asking the store in a thread when the key was never seen.

        Raises
        ------
        Unauthenticated
            No key, or one that is malformed, unknown, revoked or expired.
        Unavailable
            A key never seen before, and the store is away or asked too often.
        """
        text = key_in(headers)
        identity = self._from_memory(text)
        if identity is None:
            identity = await anyio.to_thread.run_sync(self.authenticate, text)
        return identity

    def authenticate(self, text: str) -> Identity:
        """Return who holds a key; may block on the store. Raises as ``identify``."""
        identity = self._from_memory(text)
        if identity is not None:
            return identity
        parts = parse_key(text)
        if parts is None:
            raise Unauthenticated("the API key is malformed; keys begin with 'lzk_' and are copied whole")
        self._look_up(parts.id)
        identity = self._from_memory(text)
        if identity is None:
            raise Unauthenticated("the API key is not known")
        return identity

    def refresh(self) -> None:
        """Read every known key again: revoked at once, wherever it was revoked."""
        fresh = {key_id: self._store.key(key_id) for key_id in list(self._known)}
        with self._lock:
            for key_id, key in fresh.items():
                if key is None:
                    self._known.pop(key_id, None)
                else:
                    self._known[key_id] = key
            self._verified.clear()
            self._missed.clear()

    def seen(self) -> frozenset[str]:
        """Return the ids of keys that were good since they were forgotten."""
        return frozenset(self._seen.copy())  # in one step: requests add to it meanwhile

    def forget_seen(self, key_ids: Iterable[str]) -> None:
        """Forget that keys were good: it is written down."""
        self._seen.difference_update(key_ids)

    def see(self, key_ids: Iterable[str]) -> None:
        """Count keys as seen: by a session of the console."""
        self._seen.update(key_ids)

    def _from_memory(self, text: str) -> Identity | None:
        """Return the holder, ``None`` when the id is not known here; raise when it is, and the key is bad."""
        start = len(PREFIX)
        key = self._known.get(text[start : start + ID_LENGTH])
        if key is None:
            return None
        seal = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=SEAL_BYTES, key=self._seal_key).digest()
        known, identity = self._verified.get(key.id, NOBODY)
        if identity is None or not hmac.compare_digest(known, seal):
            self._verify(text, key)
            identity = Identity(key_id=key.id, actor=Actor(key.name), scopes=key.scopes, models=key.models)
            self._verified[key.id] = (seal, identity)
        if key.revoked_us is not None:
            raise Unauthenticated("the API key is revoked")
        if key.expires_us is not None and key.expires_us <= self._clock.now_us():
            raise Unauthenticated("the API key is expired")
        self._seen.add(key.id)
        return identity

    def _verify(self, text: str, key: ApiKey) -> None:
        parts = parse_key(text)
        if parts is None or not hmac.compare_digest(hash_secret(self._pepper, parts.secret), key.secret_hash):
            raise Unauthenticated("the API key is not known")

    def _look_up(self, key_id: str) -> None:
        now = self._clock.now_us()
        with self._lock:
            if self._missed.get(key_id, 0) > now:
                return
            while self._lookups and self._lookups[0] <= now - SECOND_US:
                self._lookups.popleft()
            if len(self._lookups) >= LOOKUPS_PER_SECOND:
                raise Unavailable("too many keys that were never seen before; try again in a second")
            self._lookups.append(now)
        key = self._store.key(key_id)
        with self._lock:
            if max(len(self._known), len(self._missed)) >= KNOWN_MAX:
                self._known.clear()
                self._verified.clear()
                self._missed.clear()
            if key is None:
                self._missed[key_id] = Micros(now + MISS_US)
            else:
                self._known[key_id] = key


def key_in(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the key that a request carries.

    ``Authorization: Bearer``, ``X-API-Key``, or the password of ``Authorization: Basic``: payload loggers that take no
    header but a URL can send ``https://key:lzk_...@host/``.
    """
    for name, value in headers:
        if name == b"authorization":
            scheme, _, rest = value.partition(b" ")
            if scheme.lower() == b"bearer":
                return rest.strip().decode("latin-1")
            if scheme.lower() == b"basic":
                return _password(rest)
            raise Unauthenticated("the Authorization header must be 'Bearer lzk_...'")
        if name == b"x-api-key":
            return value.strip().decode("latin-1")
    raise Unauthenticated("this needs an API key: 'Authorization: Bearer lzk_...' or 'X-API-Key: lzk_...'")


def _password(encoded: bytes) -> str:
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode("latin-1").partition(":")[2]
    except (binascii.Error, ValueError):
        raise Unauthenticated("the Basic credentials are not base64") from None

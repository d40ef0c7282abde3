"""Who has a right that somebody lacks: an action that is refused says whom to ask."""

from service.domain.errors import Forbidden
from service.domain.keys import Identity
from service.domain.records import ApiKey, Scope
from service.ports import Clock, ReadStore

HOLDERS_MAX = 10
TOLD = frozenset({Scope.OPERATE, Scope.ADMIN})
"""Rights of people, who can ask each other; programs that send or read cannot."""


def refused(read: ReadStore, clock: Clock, identity: Identity, scope: Scope, model: str | None) -> Forbidden:
    """Return the error for a key that lacks a scope; may block on the store.

    Whoever may not read hears no names, and a key that is limited to models those of keys that reach one of them.
    """
    own = ", ".join(sorted(identity.scopes)) or "none"
    holders = _holders(read, clock, identity, scope, model) if identity.may(Scope.READ) else []
    who = f"; it is held by: {', '.join(holders)}" if holders else ""
    detail = f"this needs a key with scope '{scope}'; key '{identity.key_id}' has: {own}{who}"
    return Forbidden(detail, extra={"needs": scope.value, "holders": holders})


def _holders(read: ReadStore, clock: Clock, identity: Identity, scope: Scope, model: str | None) -> list[str]:
    now_us, everyone = clock.now_us(), read.keys()
    names = {
        key.name
        for key in everyone
        if scope in key.scopes
        and key.revoked_us is None
        and (key.expires_us is None or key.expires_us > now_us)
        and _reaches(key, identity, model)
    }
    return sorted(names)[:HOLDERS_MAX]


def _reaches(key: ApiKey, identity: Identity, model: str | None) -> bool:
    """Tell whether a key reaches the model, or, where none is named, one that the asking key reaches."""
    if model is not None:
        return identity.sees(model) and (key.models is None or model in key.models)
    return key.models is None or identity.models is None or bool(key.models & identity.models)

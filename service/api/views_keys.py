"""What the API answers about keys. Never a secret but once."""

from service.api.views import View, iso, iso_or_none
from service.domain.ids import Micros
from service.domain.records import ApiKey


class KeyView(View, frozen=True, kw_only=True):
    """A key, never its secret."""

    id: str
    name: str
    scopes: list[str]
    models: list[str] | None
    created: str
    expires: str | None
    revoked: str | None
    last_used: str | None
    """To the minute; ``None`` of a key that was never used."""


class NewKeyView(View, frozen=True, kw_only=True):
    """A new key: the only time that its text is shown."""

    key: str
    id: str
    scopes: list[str]


def of_key(key: ApiKey, used_us: Micros | None) -> KeyView:
    """Return the view of a key."""
    return KeyView(
        id=key.id,
        name=key.name,
        scopes=sorted(key.scopes),
        models=None if key.models is None else sorted(key.models),
        created=iso(key.created_us),
        expires=iso_or_none(key.expires_us),
        revoked=iso_or_none(key.revoked_us),
        last_used=iso_or_none(used_us),
    )

"""Who may act about a model: by the names of keys, as reviews and the audit chain name people."""

from collections.abc import Iterable

from service.domain.ids import Micros
from service.domain.records import ApiKey, Scope

NAMES_SHOWN = 8


def able(keys: Iterable[ApiKey], model: str, now_us: Micros) -> tuple[str, ...]:
    """Return the names of keys that may decide about a model now, in order."""
    names = {
        key.name
        for key in keys
        if Scope.OPERATE in key.scopes
        and key.revoked_us is None
        and (key.expires_us is None or key.expires_us > now_us)
        and (key.models is None or model in key.models)
    }
    return tuple(sorted(names))


def listed(names: Iterable[str], shown: int = NAMES_SHOWN) -> str:
    """Write names as a sentence carries them."""
    everyone = list(names)
    if not everyone:
        return "nobody"
    if len(everyone) > shown:
        return f"{', '.join(everyone[:shown])} and {len(everyone) - shown} more"
    return everyone[0] if len(everyone) == 1 else f"{', '.join(everyone[:-1])} and {everyone[-1]}"

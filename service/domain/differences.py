"""What a schema says otherwise than the one that a version has: every place in the schema that was sent."""

from collections.abc import Iterator
from typing import Any

import msgspec

from service.domain.errors import Place
from service.domain.schema import Feature, Schema

AT = "schema"
NAMED_MAX = 20
"""Features or classes that one reason names."""


def differences(before: Schema, after: Schema) -> list[Place]:
    """Return each place where ``after`` is not as ``before``; no place when they are the same."""
    found = list(_members(f"{AT}.prediction", before.prediction, after.prediction))
    known = {feature.name: feature for feature in before.features}
    for number, feature in enumerate(after.features):
        found += _feature(f"{AT}.features[{number}]", known.get(feature.name), feature)
    sent = {feature.name for feature in after.features}
    found += [Place(f"{AT}.features", f"lacks '{name}', which the version has") for name in known if name not in sent]
    if not found and before != after:
        reason = f"are in another order than the version's: {', '.join(list(known)[:NAMED_MAX])}"
        found.append(Place(f"{AT}.features", reason))
    return found


def _feature(at: str, before: Feature | None, after: Feature) -> Iterator[Place]:
    if before is None:
        yield Place(f"{at}.name", f"is '{after.name}', which is no feature of the version")
    else:
        yield from _members(at, before, after)


def _members(at: str, before: msgspec.Struct, after: msgspec.Struct) -> Iterator[Place]:
    for name in after.__struct_fields__:
        was, now = getattr(before, name), getattr(after, name)
        if was != now:
            yield Place(f"{at}.{name}", f"is {_shown(now)}, but the version has {_shown(was)}")


def _shown(value: Any) -> str:
    if value is None:
        return "not given"
    if isinstance(value, tuple):
        more = f" and {len(value) - NAMED_MAX} more" if len(value) > NAMED_MAX else ""
        return f"{', '.join(value[:NAMED_MAX])}{more}"
    return f"'{value}'"

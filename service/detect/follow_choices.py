"""What is wrong with the column that a policy names as the size of inputs.

As with other choices, a column is refused only when it fits none of the model's versions.
"""

from collections.abc import Sequence
from difflib import get_close_matches

from service.domain.errors import Place
from service.domain.policy import Policy
from service.domain.records import Version
from service.domain.schema import FeatureKind, Treatment


def bad_size_for(versions: Sequence[Version], policy: Policy, at: str) -> list[Place]:
    """Return why ``adversarial.follow.size`` fits none of a model's versions; nothing when it fits one."""
    follow = policy.adversarial.follow
    if follow is None or follow.size is None:
        return []
    place, name = f"{at}adversarial.follow.size", follow.size
    found: list[Place] = []
    known: dict[str, None] = {}
    for version in versions:
        known.update(dict.fromkeys(f.name for f in version.schema.features if f.kind is FeatureKind.NUMERIC))
        feature = next((f for f in version.schema.features if f.name == name), None)
        if feature is None:
            continue
        other = f"versions.{version.version}.schema.features.{name[:100]}"
        if feature.kind is not FeatureKind.NUMERIC:
            found += _both(place, f"{other}.kind", name, f"is {feature.kind}: a size is a number")
        elif feature.treatment is Treatment.DROP:
            found += _both(place, f"{other}.treatment", name, "is 'drop': it is not stored")
        else:
            return []
    if found:
        return found
    nearest = get_close_matches(name, known, n=1)
    hint = f"; the nearest is '{nearest[0]}'" if nearest else ""
    return [Place(place, f"is '{name[:100]}', but no version has such a feature{hint}")]


def _both(place: str, other: str, name: str, reason: str) -> list[Place]:
    return [
        Place(place, f"is '{name[:100]}', but {other} {reason}"),
        Place(other, f"{reason}, but {place} is '{name[:100]}'"),
    ]

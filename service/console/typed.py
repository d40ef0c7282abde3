"""What somebody typed into a form that was not done: it stands there again, with the reason why."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.domain.errors import LazarettoError

KEPT_MAX = 4_000
"""Letters of one field that are shown again: the longest that any form takes."""


@dataclass(frozen=True, slots=True)
class Typed:
    """One form as it was sent."""

    action: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, action: str, name: str, otherwise: str = "") -> str:
        """Return what stood in a field of the form of an action, or what stands there by itself."""
        if action != self.action:
            return otherwise
        return self.fields.get(name, otherwise)[:KEPT_MAX]

    def of(self, action: str) -> bool:
        """Tell whether this is the form of an action."""
        return action == self.action


NOTHING = Typed()


def sentence(problem: LazarettoError) -> str:
    """Write why something was not done, with the places of the form that it is about."""
    places = "; ".join(f"{place.at}: {place.reason}" for place in problem.places)
    return f"{problem.detail} ({places})" if places and places not in problem.detail else problem.detail

"""When a contained principal is first refused: later than it was noticed, by a time that it cannot know.

Whoever is refused right after a request learns that this request was noticed, and can feel the way around the monitor
by it. So enforcement begins after a delay, drawn evenly from [D, 2 D] for each containment of each principal, and where
the policy says so it holds in a share of the minutes only. Both are a keyed hash: the same on every replica and after
every restart, and nothing that an attacker can work out.
"""

import hashlib
from dataclasses import dataclass

from service.domain.adversarial import Adversarial
from service.domain.ids import Micros, VersionId

SECOND_US = 1_000_000
SLICE_US = 60 * SECOND_US
"""How long a refusal holds, or does not, before it is drawn again."""
WHOLE = 2.0**64


@dataclass(frozen=True, slots=True, repr=False)
class Jitter:
    """Draws by a key."""

    key: bytes

    def begins_us(self, version_id: VersionId, principal: str, since_us: Micros, chosen: Adversarial) -> Micros:
        """Return when a containment that began at ``since_us`` is first enforced."""
        drawn = self._drawn("delay", version_id, principal, since_us)
        return Micros(since_us + round((1.0 + drawn) * chosen.enforce_after_seconds * SECOND_US))

    def refuses(
        self, version_id: VersionId, principal: str, since_us: Micros, now_us: Micros, chosen: Adversarial
    ) -> bool:
        """Tell whether a containment is enforced now."""
        if now_us < self.begins_us(version_id, principal, since_us, chosen):
            return False
        if chosen.enforce_share >= 1.0:
            return True
        return self._drawn("slice", version_id, principal, since_us, now_us // SLICE_US) < chosen.enforce_share

    def _drawn(self, *parts: object) -> float:
        """Return a number from [0, 1) that the parts and the key decide."""
        digest = hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=8, key=self.key)
        return int.from_bytes(digest.digest(), "big") / WHOLE

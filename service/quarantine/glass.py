"""Breaking the glass: who may let a held version serve alone, and for how long. Pure: nothing is written here."""

from collections.abc import Iterable
from datetime import UTC, datetime

from service.domain.errors import Conflict, Forbidden, Place, Unprocessable
from service.domain.ids import Actor, Micros
from service.domain.policy import Policy
from service.domain.records import Version
from service.domain.reviews import Glass
from service.domain.states import HELD
from service.domain.texts import bad_text

REASON_MAX = 2_000
MINUTE_US = 60_000_000


def check_glass(
    version: Version, policy: Policy, actor: Actor, minutes: float, reason: str, earlier: Iterable[Glass]
) -> None:
    """Let a person break the glass, or say why not.

    Parameters
    ----------
    version
        As it is now.
    policy
        Of its model.
    actor
        Who asks.
    minutes
        For how long.
    reason
        Why.
    earlier
        The breakings of this quarantine so far.

    Raises
    ------
    Unprocessable
        When the reason is missing or the time is none that the policy allows.
    Conflict
        When the version is not held, the glass is broken already, or this person has broken it before.
    Forbidden
        When it is the deployer who asks, or the policy lets nobody.
    """
    _check_words(policy, minutes, reason)
    name = f"{version.model}/{version.version}"
    if version.state not in HELD:
        detail = f"{name} is '{version.state}': only a quarantined version or one under review has a glass to break"
        raise Conflict(detail, extra={"state": str(version.state)})
    if policy.break_glass_minutes_max <= 0:
        raise Forbidden(f"the policy of {version.model} lets nobody break the glass: break_glass_minutes_max is 0")
    if actor == version.deployed_by:
        who = "anybody else with scope 'operate' may"
        raise Forbidden(f"'{actor}' deployed {name} and never lets it serve alone: {who}")
    known = list(earlier)
    standing = next((one for one in known if one.ended_us is None), None)
    if standing is not None:
        raise Conflict(
            f"the glass of {name} is broken already, by '{standing.actor}', until {words(standing.until_us)}:"
            " it is never extended",
            extra={"until_us": standing.until_us},
        )
    if any(one.actor == actor for one in known):
        who = "somebody else may break it, or release the version with you"
        raise Conflict(f"'{actor}' has broken the glass of {name} in this quarantine before: {who}")


def _check_words(policy: Policy, minutes: float, reason: str) -> None:
    places = [*bad_text("reason", reason, least=1, most=REASON_MAX)]
    most = policy.break_glass_minutes_max
    if most > 0 and not 0 < minutes <= most:
        places.append(Place("minutes", f"must be more than 0 and at most {most:g}, is {minutes:g}"))
    if places:
        raise Unprocessable("the glass cannot be broken like this", places=places)


def until_of(now_us: Micros, minutes: float) -> Micros:
    """Return when the gate closes again."""
    return Micros(now_us + max(1, round(minutes * MINUTE_US)))


def words(at_us: Micros) -> str:
    """Write a time as people read it."""
    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

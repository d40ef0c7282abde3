"""What belongs together in one message, and which groups end with it. Pure.

A receiver that keeps one thing open for one group, as PagerDuty does, must hear of the end of every group that it was
told of. A message can end more than its own: the state that a version takes settles the release that was waited for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.ids import Micros
from service.domain.notices import Payload, Told

OVER_MAX = 50
"""Groups that one message ends beside its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Everything that one message shows."""

    key: str
    told: tuple[Told, ...]
    """What the message tells of, as it is now."""
    rest: tuple[Told, ...]
    """What else is firing under the same key."""
    over: tuple[str, ...]
    """Groups in which nothing fires any more, beside this one."""


def grouped(payload: Payload, told: tuple[Told, ...], known: Sequence[Told], now_us: Micros, *, by_key: bool) -> Group:
    """Return what belongs to a message.

    Parameters
    ----------
    payload
        As it was composed: its key is that of the incident, or of the labels.
    told
        What the message tells of, the most important first.
    known
        All that was told of the same version, and what fires in its groups, as it was before.
    now_us
        The time.
    by_key
        Whether the payload's own key goes before that of what it tells of: for messages about a whole incident.
    """
    if payload.lazaretto.merged_into:  # what was in it goes on elsewhere
        return Group(key=payload.group_key, told=(), rest=(), over=payload.lazaretto.over)
    keys = {one.group_key for one in told}
    key = payload.group_key if not told or (by_key and payload.group_key in keys) else told[0].group_key
    changed = {one.fingerprint for one in told}
    others = [one for one in known if one.fingerprint not in changed and one.firing(now_us)]
    ended = {one.group_key for one in told if not one.firing(now_us)} - {key}
    firing = {one.group_key for one in (*others, *told) if one.firing(now_us)}
    over = sorted({*payload.lazaretto.over, *ended} - firing)
    return Group(
        key=key, told=told, rest=tuple(one for one in others if one.group_key == key), over=tuple(over[:OVER_MAX])
    )

"""Who replaced what a person was about to replace, and in what it differs from what they saw."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from service.domain.marks import Marks, Replaced, changed_members, mark_of
from service.domain.policy import Policy
from service.domain.records import AuditEntry
from service.ports_pages import AuditWanted, PageStore

LOOKED_AT = 200
"""Links about the model, the newest, among which those about the subject are looked for."""
SHOWN = 5
MEMBERS_SHOWN = 20
DETAIL_SHOWN = 200
POLICY_SET, VOUCHED = "policy.set", "version.vouch"
MARK = re.compile(r"mark ([0-9a-f]+)$")
T = TypeVar("T")


def replacing(pages: PageStore, action: str, subject: str, seen: Marks | None, do: Callable[[], T]) -> T:
    """Replace something; when it is not what the person saw any more, say by whose doing.

    Parameters
    ----------
    pages
        Asked only when the action is refused.
    action, subject
        Of the links of the audit chain that say who replaced it before.
    seen
        What the person saw.
    do
        The action.

    Raises
    ------
    Replaced
        With the newest ``changes``, newest last, and the ``members`` that differ. As far as the chain knows what the
        person saw, only what came after it is told.
    LazarettoError
        Whatever else the action raises.
    """
    try:
        return do()
    except Replaced as refused:
        wanted = AuditWanted(model=subject.split("/", maxsplit=1)[0], action=action)
        links = [link for link in pages.audit(wanted, LOOKED_AT) if link.subject == subject]
        if not links:
            raise
        policies = [_policy(link) for link in links]
        marks = [mark_of(policy) if policy else _mark_in(link) for policy, link in zip(policies, links, strict=True)]
        since = next((n for n, mark in enumerate(marks) if mark in (seen or ())), None)
        told = [_told(link) for link in reversed(links[: min(since or SHOWN, SHOWN)])]
        words = "; ".join(f"by {one['by']} at {one['at']}" for one in told)
        extra: dict[str, object] = refused.extra | {"changes": told}
        members = [] if since is None else _members(policies[since], policies[0])
        if members:
            extra["members"] = members
            words += f"; differs in {', '.join(members)}"
        raise Replaced(f"{refused.detail}. Replaced {words}", places=refused.places, extra=extra) from refused


def _told(link: AuditEntry) -> dict[str, Any]:
    at = datetime.fromtimestamp(link.at_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    told: dict[str, Any] = {"by": link.actor, "at": at}
    return told if link.action == POLICY_SET else told | {"detail": link.detail[:DETAIL_SHOWN]}


def _members(before: Policy | None, now: Policy | None) -> list[str]:
    """Return in what the newest policy differs from the one that the person saw, where both can be read."""
    if before is None or now is None:
        return []
    was: Mapping[str, Any] = msgspec.to_builtins(before)
    return list(changed_members(was, msgspec.to_builtins(now)))[:MEMBERS_SHOWN]


def _mark_in(link: AuditEntry) -> str | None:
    """Return the mark that a link names; those of earlier releases name none."""
    found = MARK.search(link.detail)
    return None if found is None else found[1]


def _policy(link: AuditEntry) -> Policy | None:
    """Read a policy from the chain; one of another release may not be readable, and other links have none."""
    if link.action != POLICY_SET:
        return None
    try:
        return msgspec.json.decode(link.detail, type=Policy)
    except msgspec.MsgspecError:
        return None

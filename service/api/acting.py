"""On which view of an incident, or of what is replaced as a whole, somebody acts."""

import re
from typing import Annotated

from fastapi import Header

from service.domain.errors import BadRequest, Place
from service.domain.marks import MARK_DIGITS, PLACE, Marks

TAG = re.compile(r'(?:W/)?"?(\d{1,18})"?')
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="The incident's `lock` as you saw it: the action is refused when it has changed since.",
    ),
]

MARK = re.compile(rf'\s*(?:W/)?"([0-9a-f]{{{MARK_DIGITS}}})"\s*')
SEEN_MAX = 16
IfUnchanged = Annotated[
    str | None,
    Header(alias="If-Match", description="The `ETag` of what you saw: it is replaced only if it is still that."),
]


def marks_of(if_match: str | None) -> Marks | None:
    """Return the marks of which a request says that it saw one; ``None`` where it does not say, or says any.

    Raises
    ------
    BadRequest
        When the header is no list of such tags.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    found = [MARK.fullmatch(one) for one in if_match.split(",", maxsplit=SEEN_MAX)]
    if not all(found):
        reason = f"must be the ETag of what is replaced, not '{if_match[:100]}'"
        raise BadRequest(f"the header 'If-Match' {reason}", places=[Place(PLACE, reason)])
    return frozenset(one[1] for one in found if one is not None)


def expected_of(if_match: str | None) -> int | None:
    """Return the number of changes that a request says it saw; ``None`` where it does not say.

    Raises
    ------
    BadRequest
        When the header is no number of changes.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    found = TAG.fullmatch(if_match.strip())
    if found is None:
        reason = f"must be the incident's lock, such as \"3\", not '{if_match[:100]}'"
        raise BadRequest(f"the header 'If-Match' {reason}", places=[Place("If-Match", reason)])
    return int(found.group(1))

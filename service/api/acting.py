"""On which view of an incident somebody acts."""

import re
from typing import Annotated

from fastapi import Header

from service.domain.errors import BadRequest, Place

TAG = re.compile(r'(?:W/)?"?(\d{1,18})"?')
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="The incident's `lock` as you saw it: the action is refused when it has changed since.",
    ),
]


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

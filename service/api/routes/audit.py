"""The audit chain, by who, about what, what and when."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from service.api.deps import ApiDep, Limit, Reader, answer, documented_answer
from service.api.times import time_at
from service.api.views import View, iso
from service.domain.records import AuditEntry
from service.ports_pages import AuditWanted

router = APIRouter(prefix="/v1/audit", tags=["audit"])
Name = Annotated[str | None, Query(max_length=200)]
Link = Annotated[int | None, Query(ge=1, le=2**62, description="Only links with smaller numbers: the next part.")]


class AuditView(View, frozen=True, kw_only=True):
    """One link of the chain."""

    number: int
    at: str
    actor: str
    action: str
    subject: str
    detail: str
    digest: str


@router.get("", responses=documented_answer(dict[str, list[AuditView]], "Links of the chain, newest first."))
def list_audit(  # noqa: PLR0913, PLR0917 - one query parameter each
    api: ApiDep,
    who: Reader,
    actor: Name = None,
    model: Name = None,
    action: Name = None,
    since: Name = None,
    until: Name = None,
    before: Link = None,
    limit: Limit = 100,
) -> Response:
    """List what was done, newest first. A key of some models sees what was done about these."""
    wanted = AuditWanted(
        models=who.models,
        actor=actor or None,
        model=model or None,
        action=action or None,
        since_us=None if since is None else time_at("since", since),
        until_us=None if until is None else time_at("until", until),
        before=before,
    )
    found = api.pages.audit(wanted, min(limit, api.settings.list_max))
    return answer({"audit": [_view(entry) for entry in found]})


def _view(entry: AuditEntry) -> AuditView:
    return AuditView(
        number=entry.seq,
        at=iso(entry.at_us),
        actor=entry.actor,
        action=entry.action,
        subject=entry.subject,
        detail=entry.detail,
        digest=entry.digest,
    )

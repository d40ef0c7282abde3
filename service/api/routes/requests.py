"""Single requests: how odd each was by itself, and the oddest ones."""

from fastapi import APIRouter, Response

from service.api.deps import ApiDep, Limit, Reader, answer, documented_answer
from service.api.views import View, iso
from service.api.watch import watch_of
from service.domain.errors import NotFound
from service.domain.ids import Micros
from service.domain.requests import OVER, OddRequest, RequestsSeen

router = APIRouter(prefix="/v1/models/{model}/versions/{version}/requests", tags=["requests"])


class RuleView(View, frozen=True, kw_only=True):
    """A rule, and how often it was broken."""

    rule: str
    kind: str
    declared: bool
    """Whether the policy says so; else the reference did."""
    columns: list[str]
    reference_share: float | None
    """Of the reference requests that were held out, those that break it; `null` for what the reference cannot tell."""
    broken: int
    share: float | None
    """Of the examined requests, those that break it."""


class OddView(View, frozen=True, kw_only=True):
    """One of the oddest requests."""

    at: str
    """When it arrived."""
    position: int
    row: int
    event_id: str | None
    principal: str | None
    """Pseudonym."""
    score: float | None
    """`null` of a request that cannot be judged, and is listed for what it edits."""
    edited: bool
    """Whether it changes what never changes."""
    parts: dict[str, float]
    """The conformal rank of each part; low is odd."""
    reasons: list[str]


class RequestsView(View, frozen=True, kw_only=True):
    """Of ``GET .../requests``."""

    parts: list[str]
    """What is looked at."""
    reference_rows: int
    highest_score: float
    """No request has a higher one: it takes more reference rows."""
    examined: int
    unexamined: int
    """Requests beyond the limit, or without what it takes."""
    invalid: dict[str, int]
    """Requests that cannot be judged, by what is wrong with them."""
    histogram: list[int]
    """Examined requests by tenths of the score; of ordinary ones each tenth has about as many."""
    over: dict[str, int]
    """Examined requests with at least such a score."""
    rules: list[RuleView]
    requests: list[OddView]
    """The oddest first."""


@router.get("", responses=documented_answer(RequestsView, "How odd single requests were, and the oddest ones."))
def show_requests(
    api: ApiDep,
    who: Reader,  # noqa: ARG001 - asks for a key
    model: str,
    version: str,
    limit: Limit = 100,
) -> Response:
    """Show how odd single requests were by themselves, and the oddest ones. It is triage: nobody is accused by it."""
    found = api.version(model, version)
    seen = watch_of(api.read.snapshot(found.id)).requests
    if seen is None:
        reason = "the policy looks at none (adversarial.requests), or the baseline has nothing to measure them with"
        raise NotFound(f"single requests of version '{version}' of model '{model}' are not looked at: {reason}")
    return answer(_view(seen, min(limit, api.settings.list_max)))


def _view(seen: RequestsSeen, limit: int) -> RequestsView:
    return RequestsView(
        parts=list(seen.parts),
        reference_rows=seen.reference_rows,
        highest_score=1.0 - seen.resolution,
        examined=seen.examined,
        unexamined=seen.unexamined,
        invalid=seen.invalid,
        histogram=list(seen.histogram),
        over={str(score): number for score, number in zip(OVER, seen.over, strict=False)},
        rules=[
            RuleView(
                rule=one.rule,
                kind=one.kind,
                declared=one.declared,
                columns=list(one.columns),
                reference_share=one.reference,
                broken=one.broken,
                share=one.broken / seen.examined if seen.examined else None,
            )
            for one in seen.rules
        ],
        requests=[_odd(one) for one in seen.oddest[:limit]],
    )


def _odd(one: OddRequest) -> OddView:
    return OddView(
        at=iso(Micros(one.at_us)),
        position=one.position,
        row=one.row,
        event_id=one.event_id,
        principal=one.principal,
        score=one.score,
        edited=one.edited,
        parts=one.parts,
        reasons=list(one.reasons),
    )

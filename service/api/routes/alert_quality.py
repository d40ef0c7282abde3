"""How good alerts have been, as the verdicts of people tell."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from service.alert.quality import by_cause, by_model, quality
from service.api.deps import ApiDep, Reader, answer, documented_answer
from service.api.views import iso
from service.api.views_incidents import AlertQualityView, of_quality
from service.domain.ids import Micros

router = APIRouter(prefix="/v1/alert-quality", tags=["incidents"])
INCIDENTS_MAX = 10_000
DAY_US = 86_400_000_000
Days = Annotated[float, Query(gt=0, le=400, description="How many days back.")]
ModelFilter = Annotated[str | None, Query(description="Only of this model.")]


@router.get("", responses=documented_answer(AlertQualityView, "Of all models together, of each, and of each cause."))
def show_quality(api: ApiDep, who: Reader, model: ModelFilter = None, days: Days = 30.0) -> Response:
    """Show precision, times to acknowledge and to decide, and whether the promise on false alarms was kept."""
    if model is not None:
        who.require_model(model)
        api.model(model)
    now_us = api.clock.now_us()
    since_us = Micros(now_us - round(days * DAY_US))
    incidents = api.incidents.judged(since_us, INCIDENTS_MAX, who.reached(model))
    exposures = [one for one in api.incidents.exposures(since_us) if who.sees(one.model) and model in {None, one.model}]
    return answer(
        AlertQualityView(
            since=iso(since_us),
            until=iso(now_us),
            truncated=len(incidents) == INCIDENTS_MAX,
            total=of_quality(quality(incidents, exposures)),
            models={name: of_quality(one) for name, one in by_model(incidents, exposures).items()},
            causes={str(cause): of_quality(one) for cause, one in by_cause(incidents).items()},
        )
    )

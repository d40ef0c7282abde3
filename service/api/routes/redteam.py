"""What the latest red-team run found about a version."""

from fastapi import APIRouter, Response

from service.adversarial import file_redteam
from service.api.bodies import decode_body
from service.api.deps import ApiDep, Operator, Reader, SmallBody, answer, documented_answer, documented_body
from service.api.views import View, iso
from service.domain.errors import NotFound
from service.domain.redteam import RedTeamRun, RedTeamSummary

router = APIRouter(prefix="/v1/models/{model}/versions/{version}/redteam", tags=["redteam"])


class RedTeamView(View, frozen=True, kw_only=True):
    """A run's summary, who filed it and when."""

    filed: str
    filed_by: str
    summary: RedTeamSummary


@router.post(
    "",
    openapi_extra=documented_body(RedTeamSummary),
    responses=documented_answer(RedTeamView, "The summary, in place of the one before."),
)
def file_run(api: ApiDep, who: Operator, model: str, version: str, content: SmallBody) -> Response:
    """File what a red-team run found; the one before is replaced, the audit chain keeps its digest."""
    api.version(model, version)
    summary = decode_body(content, RedTeamSummary)
    return answer(_view(file_redteam(api.control, api.clock, who.actor, model, version, summary)))


@router.get("", responses=documented_answer(RedTeamView, "The latest summary."))
def show_run(api: ApiDep, who: Reader, model: str, version: str) -> Response:  # noqa: ARG001 - asks for a key
    """Show what the latest red-team run found."""
    found = api.version(model, version)
    run = next((one for one in api.read.redteam_runs() if one.version_id == found.id), None)
    if run is None:
        raise NotFound(f"no red-team run was filed at version '{version}' of model '{model}'")
    return answer(_view(run))


def _view(run: RedTeamRun) -> RedTeamView:
    return RedTeamView(filed=iso(run.at_us), filed_by=run.actor, summary=run.summary)

"""How a version is doing, now and over time."""

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query, Response

from service.api.deps import Api, ApiDep, Reader, answer, documented_answer
from service.api.enforcement import of_enforcement
from service.api.history import History, points_of, span_of
from service.api.rolling import columns_over
from service.api.status import Moment, Status, status_of
from service.api.waiting import waiting_of
from service.api.watch import STATUS_WINDOW
from service.detect.baselines import BaselineView, describe
from service.domain.policy import Cause
from service.domain.records import Version
from service.gate.fleet import unknown
from service.quarantine.decide import held_back

router = APIRouter(prefix="/v1/models/{model}/versions/{version}", tags=["status"])

Start = Annotated[str | None, Query(alias="from", description="ISO 8601; by default 120 windows before `to`.")]
End = Annotated[str | None, Query(alias="to", description="ISO 8601; by default now.")]
Column = Annotated[str | None, Query(description="A column; by default the model as a whole.")]
Width = Literal["1m", "5m", "1h", "1d"]
WindowName = Annotated[Width, Query(description="Width of one window.")]
StepName = Annotated[
    Width | None, Query(description="From the end of one window to the next; by default they stand side by side.")
]
RollingName = Annotated[Width, Query(description="The rolling window of the effects: it ends with the newest tick.")]


@router.get("/status", responses=documented_answer(Status, "State, evidence and every column."))
def status(
    api: ApiDep,
    who: Reader,  # noqa: ARG001 - asks for a key
    model: str,
    version: str,
    window: RollingName = STATUS_WINDOW,
) -> Response:
    """Show state, evidence, threshold, and effect sizes over a rolling window."""
    found = api.version(model, version)
    api.figures.sample()
    moment = Moment(
        now_us=api.clock.now_us(),
        stale_seconds=api.settings.stale_seconds,
        lag_seconds=api.figures.lag_seconds(api.read.worker().position),
    )
    policy = api.model(model).policy
    alerts = api.read.alerts(version_id=found.id, status="open", limit=len(Cause), adversarial=False)
    held = held_back(alerts, found, policy, api.fleet.view.versions.values())
    snapshot, over = columns_over(api.read, found, window)
    told = status_of(found, policy, snapshot, moment, held, over=over)
    enforcement = of_enforcement(next(iter(api.enforcements.latest(found.id)), None))
    waits = waiting_of(api.review.store, found, policy, moment.now_us)
    return answer(msgspec.structs.replace(told, enforcement=enforcement, **waits))


@router.get("/history", responses=documented_answer(History, "Points with events, oldest first."))
def history(  # noqa: PLR0913, PLR0917 - the query, word for word
    api: ApiDep,
    who: Reader,  # noqa: ARG001 - asks for a key
    model: str,
    version: str,
    column: Column = None,
    window: WindowName = "1m",
    step: StepName = None,
    start: Start = None,
    end: End = None,
) -> Response:
    """Show evidence and effect sizes over time."""
    found = api.version(model, version)
    view = _baseline(api, found)
    if column is not None:
        _check_column(view, column)
    span = span_of(window, start, end, api.clock.now_us(), view.total if view else 0, step)
    rows = api.read.windows(found.id, span.level, span.rows_from_us, span.last_us)
    points = list(points_of(rows, span, found.baseline_id, view, column))
    return answer(History(model=model, version=version, column=column, window=window, step=span.step, points=points))


def _baseline(api: Api, version: Version) -> BaselineView | None:
    record = api.read.baseline(version.id)
    return None if record is None else describe(record.artefact)


def _check_column(view: BaselineView | None, column: str) -> None:
    names = [known.name for known in view.columns] if view else []
    if column not in names:
        raise unknown(f"column '{column[:100]}'", column, names)

"""Metrics and health."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from service.api.deps import Api, ApiDep, answer
from service.api.metrics import CONTENT_TYPE, Metrics
from service.domain.records import Scope

router = APIRouter(tags=["system"])
CLOCK_TOLERATED_SECONDS = 5.0
UNREADY = 503
FRESH_US = 60_000_000
"""A worker that wrote nothing for so long is reported, but it does not take the API out of service."""


@router.get("/metrics", responses={200: {"description": "Prometheus text format.", "content": {"text/plain": {}}}})
async def metrics(request: Request, api: ApiDep) -> Response:
    """Everything that Prometheus scrapes."""
    if api.settings.metrics_require_key:
        identity = await api.keyring.identify(request.scope["headers"])
        identity.require(Scope.READ)
    collector: Metrics = request.app.state.metrics
    return Response(await run_in_threadpool(collector.render), media_type=CONTENT_TYPE)


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
async def alive() -> Response:
    """Alive: the process answers."""
    return answer({"status": "alive"})


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses={UNREADY: {"description": "Not ready; `checks` says why."}})
async def ready(api: ApiDep) -> Response:
    """May take traffic: the fleet was read once, and the log takes entries.

    The store may be away: the gate and the ingest path go on without it.
    """
    checks = _checks(api)
    is_ready = checks["fleet"] == "ok" and checks["log"] == "ok"
    content = {"status": "ready" if is_ready else "not ready", "checks": checks}
    return answer(content, 200 if is_ready else UNREADY)


def _checks(api: Api) -> dict[str, Any]:
    now_us = api.clock.now_us()
    log = api.log_figures()
    picture = api.figures.picture
    return {
        "fleet": "ok" if api.fleet.checked_us else "the store has not been read yet",
        "log": "ok" if log.healthy else f"takes no entries: {log.last_error or 'closed'}",
        "store_checked_seconds_ago": round((now_us - api.fleet.checked_us) / 1e6, 3) if api.fleet.checked_us else None,
        "clock": _clock(log.clock_behind_seconds),
        "worker": _worker(picture.worker.heartbeat_us, now_us) if picture else "ok",
    }


def _clock(behind_seconds: float) -> str:
    if behind_seconds < CLOCK_TOLERATED_SECONDS:
        return "ok"
    return f"{behind_seconds:.0f} s behind the newest arrival time in the log: no tick closes until it has caught up"


def _worker(heartbeat_us: int, now_us: int) -> str:
    if heartbeat_us == 0:
        return "not seen yet"
    unheard_us = now_us - heartbeat_us
    return "ok" if unheard_us < FRESH_US else f"silent for {unheard_us / 1e6:.0f} seconds"

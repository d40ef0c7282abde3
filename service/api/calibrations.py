"""What baselines tolerate, in words: read from the store, and worked out anew when the policy has moved on."""

import logging

import anyio.to_thread

from service.api.deps import Api
from service.detect.baselines import RefusedBaseline
from service.domain.calibration import Calibration
from service.domain.errors import LazarettoError
from service.domain.policy import Policy
from service.domain.records import BaselineRecord
from service.domain.states import OUT_OF_USE
from service.office import save_calibration

_logger = logging.getLogger("lazaretto.api")


async def calibration_of(api: Api, record: BaselineRecord, policy: Policy) -> Calibration | None:
    """Return the calibration of a baseline.

    The stored one, unless it is missing or the policy says other things about evidence by now. Then it is worked out
    in the compiling process, and stored; when that is too busy, what is stored has to do.
    """
    stored = await anyio.to_thread.run_sync(api.read.calibration, record.id)
    if stored is not None and stored.holds_under(policy):
        return stored
    try:
        found = await api.compiler.explain(record.artefact, policy.tuning, policy.ticks_per_false_alarm)
        await anyio.to_thread.run_sync(save_calibration, api.office, record.id, found)
    except (LazarettoError, RefusedBaseline) as error:
        _logger.warning("baseline not explained anew", extra={"baseline_id": record.id, "reason": str(error)})
        return stored
    return found


async def explain_anew(api: Api, model: str) -> None:
    """Bring the calibrations of a model's versions up to date with its policy, newest version first."""
    owner = await anyio.to_thread.run_sync(api.model, model)
    for version in reversed(await anyio.to_thread.run_sync(api.read.versions, model)):
        if version.state in OUT_OF_USE:
            continue
        record = await anyio.to_thread.run_sync(api.read.baseline, version.id)
        if record is not None:
            await calibration_of(api, record, owner.policy)

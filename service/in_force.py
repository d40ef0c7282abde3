"""Baselines that come into force: the one way in, whoever decides it."""

from service.detect.baselines import sign
from service.detect.moved import in_short
from service.detect.reference import CompiledReference
from service.domain.calibration import Calibration
from service.domain.ids import Actor, Micros, Position
from service.domain.records import BaselineRecord, Version
from service.ports import ControlTx


def signed(  # noqa: PLR0913 - one fact each
    compiled: CompiledReference,
    *,
    baseline_id: str,
    version: Version,
    signing_key: bytes,
    head: Position,
    now_us: Micros,
    actor: Actor,
) -> BaselineRecord:
    """Sign a compiled baseline: what it will be once it is in force."""
    return BaselineRecord(
        id=baseline_id,
        version_id=version.id,
        digest=compiled.digest,
        signature=sign(signing_key, compiled.artefact),
        artefact=compiled.artefact,
        rows=compiled.rows,
        from_position=head,
        columns=compiled.columns,
        warnings=compiled.warnings,
        created_us=now_us,
        created_by=actor,
    )


def put_in_force(  # noqa: PLR0913 - one fact each
    tx: ControlTx,
    record: BaselineRecord,
    calibration: Calibration | None,
    *,
    subject: str,
    actor: Actor,
    now_us: Micros,
    action: str = "baseline.put",
    why: str = "",
) -> None:
    """Write a baseline that is in force for every event after its position, and who decided it."""
    tx.add_baseline(record)
    if calibration is not None:
        tx.save_calibration(record.id, calibration)
    tx.audit(actor, action, subject, f"{in_words(record)}{why}", now_us)


def in_words(record: BaselineRecord) -> str:
    """Name a baseline for the audit chain."""
    return f"{record.id} of {record.rows} rows, digest {record.digest}{in_short(record.warnings)}"

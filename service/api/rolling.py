"""Effect sizes over a rolling window other than the one in the snapshot, worked out when somebody asks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.api.watch import STATUS_WINDOW, Effects, Intervals
from service.detect.baselines import describe, sized
from service.detect.rolling import rolled_now
from service.domain.records import Snapshot, Version
from service.ports import ReadStore


@dataclass(frozen=True, slots=True)
class ColumnsOver:
    """Effect sizes and their intervals over one rolling window."""

    window: str
    columns: Mapping[str, tuple[Effects, Intervals]] = field(default_factory=dict)
    """By name; empty where no event of the window was compared with the baseline in force."""


def columns_over(read: ReadStore, version: Version, window: str) -> tuple[Snapshot | None, ColumnsOver | None]:
    """Return the snapshot of a version and the effects over a window, both of the same moment.

    Nothing over the window of the status: the snapshot has it.
    """
    record = None if window == STATUS_WINDOW else read.baseline(version.id)
    if record is None:
        return read.snapshot(version.id), None if window == STATUS_WINDOW else ColumnsOver(window)
    view = describe(record.artefact)
    snapshot, rolled = rolled_now(read, version.id, window, record.id, view.total)
    if rolled is None:
        return snapshot, ColumnsOver(window)
    effects, intervals = sized(view.baseline, rolled.counts)
    rows = zip(effects, intervals, strict=True)
    return snapshot, ColumnsOver(window, dict(zip((c.name for c in view.columns), rows, strict=True)))

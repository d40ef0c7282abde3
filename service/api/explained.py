"""What the API answers about a baseline: what it is, what it tolerates and why, and whether it supports a promise."""

import msgspec

from service.api.views import View, iso
from service.detect.baselines import ColumnView
from service.domain.calibration import Calibration, ColumnCalibration, SegmentCalibration, SelfTest, Tolerance
from service.domain.records import BaselineRecord


class BinView(View, frozen=True, kw_only=True):
    """One bin, and how many reference rows fell into it."""

    label: str
    rows: int


class ColumnDetails(View, frozen=True, kw_only=True):
    """One column: its bins, and how it is watched."""

    name: str
    kind: str
    group: str
    bins: list[BinView]
    share: float | None = None
    """Of the false-alarm budget; 0 when the policy ignores it."""
    exponent: float | None = None
    """The smallest one of its bets: 1 when its rows are independent, less when they move together."""
    why: str | None = None
    """Why this exponent, in a sentence."""
    independent_rows: float | None = None
    insufficient: str | None = None
    """What the column lacks for a promise of its own."""
    tolerances: tuple[Tolerance, ...] = ()
    """How far it may move in each direction, in words."""
    left_out: int = 0
    """Directions with the smallest tolerances that are not listed."""
    season: str | None = None
    """Which hours the column follows, in a sentence; null when it follows none."""


class BaselineView(View, frozen=True, kw_only=True):
    """A baseline in force, what the compiler warned of, and what it can promise."""

    baseline_id: str
    digest: str
    signature: str
    rows: int
    columns: list[str]
    warnings: list[dict[str, str]]
    """Of the compiler; code ``policy`` for what the policy says without effect on this baseline."""
    created: str
    created_by: str
    supports_promise: bool | None = None
    """Whether its evidence may alarm; null when it could not be worked out yet."""
    insufficient: str | None = None
    """What is missing for a promise about false alarms, in a sentence."""
    self_test: SelfTest | None = None
    """What replaying the reference against itself saw."""
    segments: tuple[SegmentCalibration, ...] = ()
    """Those that the policy declares."""
    outdated: bool | msgspec.UnsetType | None = msgspec.UNSET
    """True when all this was worked out under an earlier policy."""
    details: list[ColumnDetails] | msgspec.UnsetType = msgspec.UNSET
    """One for each column."""
    status: str = "in_force"
    """``in_force``, or ``proposed`` while it waits for other people."""
    need: int | None = None
    """How many different people must sign a proposed one, whoever put it included."""


def of_baseline(record: BaselineRecord, calibration: Calibration | None) -> BaselineView:
    """Return the view of a baseline, without its columns' details."""
    notes = calibration.notes if calibration else ()
    # Why a segment has no reference of its own, the compiler has said already.
    said = tuple(warning["text"] for warning in record.warnings if warning["code"] == "segment")
    fresh = [note for note in notes if not (said and note.reason.startswith(said))]
    policy = [{"column": "", "code": "policy", "text": f"{note.at}: {note.reason}"} for note in fresh]
    return BaselineView(
        baseline_id=record.id,
        digest=record.digest,
        signature=record.signature,
        rows=record.rows,
        columns=list(record.columns),
        warnings=[*record.warnings, *policy],
        created=iso(record.created_us),
        created_by=record.created_by,
        supports_promise=None if calibration is None else calibration.insufficient is None,
        insufficient=None if calibration is None else calibration.insufficient,
        self_test=None if calibration is None else calibration.self_test,
        segments=() if calibration is None else calibration.segments,
    )


def of_column(column: ColumnView, explained: ColumnCalibration | None) -> ColumnDetails:
    """Return the view of a column."""
    bins = [BinView(label=label, rows=rows) for label, rows in zip(column.bins, column.counts, strict=True)]
    plain = ColumnDetails(name=column.name, kind=column.kind, group=column.group, bins=bins)
    if explained is None:
        return plain
    return msgspec.structs.replace(
        plain,
        share=explained.share,
        exponent=explained.exponent,
        why=explained.why,
        independent_rows=explained.independent_rows,
        insufficient=explained.insufficient,
        tolerances=explained.tolerances,
        left_out=explained.left_out,
        season=explained.season,
    )

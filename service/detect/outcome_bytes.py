"""Sums of outcomes as bytes, for snapshots and artefacts, and as people see them."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.errors import StateError
from detectors.performance import (
    CLASSES_MAX,
    ClassRow,
    ClassSums,
    NumberSums,
    Spread,
    Sums,
    figures_of,
)
from service.domain.performance import ClassSeen, FiguresSeen, Share

DIGITS = 6
Bins = list[tuple[int, int]]


class StoredClasses(msgspec.Struct, array_like=True, tag="c", forbid_unknown_fields=True):
    """Sums over classes."""

    classes: list[str]
    confusion: bytes
    right: int
    scored: int
    log_loss: bytes
    brier: bytes
    calibration: bytes


class StoredNumbers(msgspec.Struct, array_like=True, tag="n", forbid_unknown_fields=True):
    """Sums over numbers."""

    answers: int
    error: bytes
    size: bytes
    square: bytes
    sizes: Bins


StoredSums = StoredClasses | StoredNumbers


def stored_of(sums: Sums) -> StoredSums:
    """Return sums as they are kept; equal ones give the same bytes."""
    if isinstance(sums, ClassSums):
        return StoredClasses(
            list(sums.classes),
            sums.confusion.astype("<i8").tobytes(),
            sums.right,
            sums.scored,
            _bytes(sums.log_loss),
            _bytes(sums.brier),
            sums.calibration.astype("<i8").tobytes(),
        )
    error, size, square = (_bytes(value) for value in (sums.error, sums.size, sums.square))
    return StoredNumbers(sums.answers, error, size, square, bins_of(sums.sizes))


def sums_of(stored: StoredSums) -> Sums:
    """Return what was kept.

    Raises
    ------
    StateError
        When it is of another shape.
    """
    if isinstance(stored, StoredNumbers):
        error, size, square = (_whole(value) for value in (stored.error, stored.size, stored.square))
        sizes = Spread(dict(stored.sizes))
        return NumberSums(answers=stored.answers, error=error, size=size, square=square, sizes=sizes)
    places = len(stored.classes) + 1
    if places > CLASSES_MAX + 1:
        raise StateError(f"sums over {places - 1} classes; at most {CLASSES_MAX} have a place")
    return ClassSums(
        classes=tuple(stored.classes),
        confusion=_table(stored.confusion, places),
        right=stored.right,
        scored=stored.scored,
        log_loss=_whole(stored.log_loss),
        brier=_whole(stored.brier),
        calibration=_table(stored.calibration, 3),
    )


def bins_of(spread: Spread) -> Bins:
    """Return a histogram as it is kept."""
    return sorted(spread.bins.items())


def seen_of(sums: Sums) -> FiguresSeen:
    """Return the figures as people see them."""
    return _seen_of_classes(sums) if isinstance(sums, ClassSums) else _seen_of_numbers(sums)


def _seen_of_classes(sums: ClassSums) -> FiguresSeen:
    figures = figures_of(sums)
    return FiguresSeen(
        answers=figures.answers,
        wrong=_share(figures.wrong),
        accuracy=_rounded(figures.accuracy),
        balanced_accuracy=_rounded(figures.balanced_accuracy),
        log_loss=_rounded(figures.log_loss),
        brier=_rounded(figures.brier),
        calibration_error=_rounded(figures.calibration_error),
        classes=tuple(_class(row) for row in figures.classes),
        confusion=tuple(tuple(row) for row in sums.confusion.tolist()),
    )


def _seen_of_numbers(sums: NumberSums) -> FiguresSeen:
    figures = figures_of(sums)
    return FiguresSeen(
        answers=figures.answers,
        mae=_number(figures.mae),
        bias=_number(figures.bias),
        rmse=None if figures.rmse is None else float(f"{figures.rmse:.6g}"),
        quantiles={f"{share:g}": float(f"{value:.4g}") for share, value in figures.quantiles},
    )


def _class(row: ClassRow) -> ClassSeen:
    return ClassSeen(
        name=row.name,
        support=row.support,
        answered=row.answered,
        precision=_share(row.precision),
        recall=_share(row.recall),
        f1=_rounded(row.f1),
    )


def _share(share: Share | None) -> Share | None:
    return None if share is None else (round(share[0], DIGITS), round(share[1], DIGITS), round(share[2], DIGITS))


def _number(told: Share | None) -> Share | None:
    """Keep six digits of a figure of whatever size, and of its limits as many."""
    if told is None:
        return None
    return float(f"{told[0]:.6g}"), float(f"{told[1]:.6g}"), float(f"{told[2]:.6g}")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def _bytes(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _whole(value: bytes) -> int:
    return int.from_bytes(value, "big", signed=True)


def _table(data: bytes, width: int) -> NDArray[np.int64]:
    if len(data) % (8 * width) or not data:
        raise StateError(f"{len(data)} bytes are no table of {width} columns")
    table = np.frombuffer(data, "<i8").reshape(-1, width).astype(np.int64)
    if width != 3 and len(table) != width:  # noqa: PLR2004 - calibration has three columns, and as many rows as bins
        raise StateError(f"{len(table)} rows are no table of {width} classes")
    return table

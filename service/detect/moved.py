"""A new baseline against the one before: what would be normal from now on that was not."""

import logging
from collections.abc import Iterable

import numpy as np

from detectors.binning import count
from detectors.columns import ColumnGroup
from detectors.errors import BaselineError, ColumnError
from service.detect.baselines import Limits, Sizes, sized
from service.detect.columns import columns_of
from service.detect.references import from_bytes
from service.frames import Frame

LEAST = 0.1
"""Population stability index from which on a column counts as moved, the usual limit for a change worth a look: the
lower end of its 95 % interval."""
LARGE = 0.25
"""From this on it counts in any case, the usual limit for a large change: where rows depend on each other for long, no
interval leaves zero, and that must not let a baseline through that blesses an attack."""
TOLD_MAX = 20
MOVED = "moved"
_logger = logging.getLogger("lazaretto.detect")


def moved(before: bytes, frame: Frame, names: tuple[str, ...]) -> tuple[dict[str, str], ...]:
    """Return as warnings which columns of a reference differ from the baseline before, the largest differences first.

    ``names`` are the columns of the new baseline. Rows are counted in the bins of the baseline before, as events are.
    """
    try:
        references = from_bytes(before)
        baseline = references.whole
        counts = count(baseline, columns_of(frame, baseline.names, baseline.spaces, shares=references.shares))
    except (BaselineError, ColumnError) as error:
        _logger.warning("baselines not compared", extra={"reason": str(error)})
        text = f"the baseline before cannot be compared with: {error}"
        return ({"column": "", "code": MOVED, "text": text},)
    gone, new = sorted({*baseline.names} - {*names}), sorted({*names} - {*baseline.names})
    sizes, limits = sized(baseline, counts)
    # What spaces say of many columns together follows from these, and from how the space was fitted.
    own_names = [c.spec.name if c.spec.group is not ColumnGroup.MULTIVARIATE else "" for c in baseline.columns]
    told = [
        (name, own)
        for name, own, ends in zip(own_names, sizes, limits, strict=True)
        if name and name not in gone and (_least(own, ends) >= LEAST or _psi(own) >= LARGE)
    ]
    told.sort(key=lambda pair: -_psi(pair[1]))
    warnings = [
        {"column": name, "code": MOVED, "text": f"differs from the baseline before: {_words(own)}"}
        for name, own in told[:TOLD_MAX]
    ]
    if len(told) > TOLD_MAX:
        text = f"{len(told) - TOLD_MAX} more columns differ from the baseline before"
        warnings.append({"column": "", "code": MOVED, "text": text})
    for said, which in (("the baseline before had, and this one has not", gone), ("the baseline before had not", new)):
        if which:
            text = f"columns that {said}: {', '.join(which[:TOLD_MAX])}{' ...' if len(which) > TOLD_MAX else ''}"
            warnings.append({"column": "", "code": MOVED, "text": text})
    return tuple(warnings)


def in_short(warnings: Iterable[dict[str, str]]) -> str:
    """Say in a few words, for the audit chain, what a baseline's warnings tell of the one before; empty for nothing."""
    columns = [warning["column"] or "others" for warning in warnings if warning["code"] == MOVED]
    return f", differs from the one before in {', '.join(columns[:5])}" if columns else ""


def _least(sizes: Sizes, limits: Limits) -> float:
    """Return how large the index is at least, as far as so many rows can tell."""
    ends = limits["psi"]
    return _psi(sizes) if ends is None else ends[0]


def _psi(sizes: Sizes) -> float:
    value = sizes["psi"]
    return 0.0 if value is None else float(np.nan_to_num(value, posinf=1e9))


def _words(sizes: Sizes) -> str:
    shown = (("PSI", sizes["psi"]), ("KS", sizes["ks"]), ("JS", sizes["js"]))
    return ", ".join(f"{name} {value:.2f}" for name, value in shown if value is not None)

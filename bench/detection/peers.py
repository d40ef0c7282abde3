"""The peers, each as its own documentation uses it, and with the one number that sets how often it alarms.

A value-wise peer takes one column, value by value. A window-wise one compares windows of 1,000 rows with the
reference and gives a statistic for each column. An alarm on any column is an alarm. Values are standardised by the
reference, labels are numbered; what a peer has no notion of (missing values) it does not see.
"""

import importlib
import importlib.metadata
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.detection.streams import Floats, Table
from detectors.columns import Codes, Values

WINDOW = 1_000
ENGINE = "engine"
TUNED = "tuned"
"""The setting whose false alarms come as often as the engine promises for itself."""
PACKAGES = {"river": "river", "scipy": "scipy", "evidently": "evidently", "nannyml": "nannyml"}
NOT_TRIED = {
    "alibi-detect online MMD": "needs torch and numpy below 2, which cannot share an environment with the others",
}


class Peer(Protocol):
    """What is compared. One pass gives the alarms of all its settings."""

    @property
    def name(self) -> str:
        """The product and the detector."""

    @property
    def settings(self) -> tuple[str, ...]:
        """Natural ones, and the one brought to a given rate of false alarms (``TUNED``) if there is one."""

    @property
    def effort(self) -> "Effort":
        """How much of it is affordable."""

    def alarms(self, reference: Table, stream: Table) -> dict[str, list[int]]:
        """Return the rows at which each setting alarms, several at one row when several columns do."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much of a peer is affordable."""

    null_rows: int = 80_000
    """Rows of a null stream with 20 columns."""
    runs: int = 21
    """Runs of each change."""
    wait: int = 10_000
    """Rows that are waited for an alarm after the change."""
    history: int = 2_000
    """Rows before the change, at least."""
    cases: tuple[str, ...] = ()
    """The changes that it is run on, by the beginning of their names; empty means all."""
    every_column: bool = False
    """Whether it looks at all columns together. If not, the changed column alone is run."""


def found_peers() -> tuple[dict[str, str], dict[str, str]]:
    """Return the versions of the peers that import, and why the others do not."""
    versions, absent = {}, dict(NOT_TRIED)
    for name, module in PACKAGES.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of theirs: what they are told is nothing that we could mend
                importlib.import_module(module)
            versions[name] = importlib.metadata.version(name)
        except ImportError as error:
            absent[name] = f"not installed here ({error})"
    return versions, absent


def as_numbers(reference: Values, values: Values) -> Floats:
    """Return values standardised by the reference; NaN where missing."""
    base, numbers = (
        np.where(v.codes < 0, np.nan, v.codes) if isinstance(v, Codes) else v.astype(np.float64)
        for v in (reference, values)
    )
    spread = float(np.nanstd(base))
    return np.asarray((numbers - np.nanmean(base)) / (spread if spread > 0 else 1.0), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class ValueWise:
    """A detector on each column; ``make`` has an entry for each setting."""

    name: str
    make: dict[str, Callable[[], Any]]
    effort: Effort

    @property
    def settings(self) -> tuple[str, ...]:
        """As in ``Peer``."""
        return tuple(self.make)

    def alarms(self, reference: Table, stream: Table) -> dict[str, list[int]]:
        """As in ``Peer``."""
        found: dict[str, list[int]] = {setting: [] for setting in self.make}
        for name, values in stream.items():
            numbers = as_numbers(reference[name], values)
            rows = np.flatnonzero(~np.isnan(numbers))
            for setting, make in self.make.items():
                found[setting] += rows[value_alarms(make(), numbers[rows].tolist())].tolist()
        return {setting: sorted(rows) for setting, rows in found.items()}


def value_alarms(detector: Any, values: Iterable[float]) -> list[int]:
    """Return where a detector of river alarms; it goes on after an alarm as it likes."""
    found = []
    for i, value in enumerate(values):
        detector.update(value)
        if detector.drift_detected:
            found.append(i)
    return found


Statistic = Callable[[Values, list[Values]], Floats]
"""From reference and windows to a number per window: the larger, the more drift."""
Threshold = Callable[[Values], float]
"""From a reference to the number above which a window alarms."""


@dataclass(frozen=True, kw_only=True)
class WindowWise:
    """A statistic on each column and window, with a threshold for each setting."""

    name: str
    statistic: Statistic
    thresholds: dict[str, Threshold]
    effort: Effort

    @property
    def settings(self) -> tuple[str, ...]:
        """As in ``Peer``."""
        return tuple(self.thresholds)

    def alarms(self, reference: Table, stream: Table) -> dict[str, list[int]]:
        """As in ``Peer``; an alarm is at the last row of a window."""
        found: dict[str, list[int]] = {setting: [] for setting in self.thresholds}
        for name, values in stream.items():
            seen = self.statistic(reference[name], windows(values))
            for setting, threshold in self.thresholds.items():
                found[setting] += window_ends(seen > threshold(reference[name]))
        return {setting: sorted(rows) for setting, rows in found.items()}


def window_ends(alarmed: NDArray[np.bool_]) -> list[int]:
    """Return the last row of each window that alarmed."""
    ends: list[int] = ((np.flatnonzero(alarmed) + 1) * WINDOW - 1).tolist()
    return ends


def length(stream: Table) -> int:
    """Return the rows of a table."""
    first = next(iter(stream.values()))
    return len(first.codes if isinstance(first, Codes) else first)


def windows(values: Values, size: int = WINDOW) -> list[Values]:
    """Cut a column into whole windows."""
    array = values.codes if isinstance(values, Codes) else values
    parts: list[NDArray[Any]] = [array[i : i + size] for i in range(0, len(array) - size + 1, size)]
    return [Codes(values.labels, part) for part in parts] if isinstance(values, Codes) else list(parts)

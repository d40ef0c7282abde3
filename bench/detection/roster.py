"""Which peers take part, with which settings."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.detection.peers import TUNED, WINDOW, Effort, Peer, Threshold, ValueWise, WindowWise, length, window_ends
from bench.detection.statistics import (
    AUROC,
    DomainClassifier,
    EvidentlyReference,
    evidently_distance,
    nannyml_distance,
    scipy_surprise,
)
from bench.detection.streams import Table, rows_of

CLASSIFIER_REFERENCE = 5_000
"""NannyML fits one classifier per chunk and fold of the reference: with 20,000 rows that takes half a minute."""
SHARE = 0.5
WINDOWS_MIN = 2
"""A reference must hold so many windows."""
EVIDENTLY_CELLS, PRESET_CELLS = 400_000, 250_000
"""More values than this take too long."""
SLOW = Effort(null_rows=3_000, runs=5, wait=1_500, history=200)
FAST = Effort()
WINDOWED = Effort(history=0)
EVIDENTLY = Effort(null_rows=3_000, runs=5, wait=6_000, history=0)
PRESET = Effort(null_rows=5_000, runs=1, wait=1_000, history=0, every_column=True, cases=("mean + 1",))
CLASSIFIER = Effort(
    null_rows=10_000, runs=3, wait=3_000, history=0, every_column=True, cases=("mean + 0.5", "correlation", "embedding")
)
"""A second a window: it is run where it could be better than detectors of single columns, and once where not."""


class EvidentlyPreset:
    """evidently's default verdict on a data set: drift when half of the columns drifted."""

    name = "evidently DataDriftPreset"
    settings = ("half of the columns",)
    effort = PRESET

    def alarms(self, reference: Table, stream: Table) -> dict[str, list[int]]:
        """As in ``Peer``."""
        wrapped = EvidentlyReference(reference)
        starts = range(0, length(stream) - WINDOW + 1, WINDOW)
        shares = [wrapped.share(rows_of(stream, slice(start, start + WINDOW))) for start in starts]
        return {self.settings[0]: window_ends(np.array(shares) >= SHARE)}


class DomainClassifierPeer:
    """NannyML's domain classifier with its default limit, and with one from null windows."""

    name = "NannyML domain classifier"
    effort = CLASSIFIER

    def __init__(self, limits: dict[str, float]) -> None:
        self.limits = limits
        self._fitted: dict[int, tuple[Table, DomainClassifier]] = {}

    @property
    def settings(self) -> tuple[str, ...]:
        """As in ``Peer``."""
        return tuple(self.limits)

    def fitted(self, reference: Table) -> DomainClassifier:
        """Return the classifier of a reference."""
        if id(reference) not in self._fitted:
            rows = length(reference)
            part = rows_of(reference, slice(max(0, rows - CLASSIFIER_REFERENCE), rows))
            self._fitted[id(reference)] = reference, DomainClassifier(part)
        return self._fitted[id(reference)][1]

    def alarms(self, reference: Table, stream: Table) -> dict[str, list[int]]:
        """As in ``Peer``."""
        scores = self.fitted(reference).scores(stream)
        return {setting: window_ends(scores > limit) for setting, limit in self.limits.items()}


def constant(value: float) -> Threshold:
    """Return the same threshold for every reference."""
    return lambda _: value


def scipy_peer(tuned: Threshold | None = None, columns: int = 20) -> WindowWise:
    """Return scipy's tests at the 5 % level, with and without Bonferroni's correction for the number of columns."""
    limits = {"p < 0.05": constant(-math.log(0.05)), "Bonferroni": constant(-math.log(0.05 / columns))}
    return WindowWise(
        name="scipy ks_2samp",
        statistic=scipy_surprise,
        thresholds=limits | ({TUNED: tuned} if tuned else {}),
        effort=WINDOWED,
    )


def nannyml_peer(tuned: Threshold | None = None) -> WindowWise:
    """Return NannyML's univariate default: Jensen-Shannon, mean plus three deviations of the reference's chunks."""
    limits = {"default": constant(1.0)} | ({TUNED: tuned} if tuned else {})
    return WindowWise(name="NannyML univariate", statistic=nannyml_distance, thresholds=limits, effort=WINDOWED)


def evidently_peer(tuned: Threshold | None = None) -> WindowWise:
    """Return the preset's verdict on single columns."""
    limits = {"any column": constant(1.0)} | ({TUNED: tuned} if tuned else {})
    return WindowWise(
        name="evidently DataDriftPreset", statistic=evidently_distance, thresholds=limits, effort=EVIDENTLY
    )


def river_makers() -> dict[str, tuple[Callable[..., Any], str, Effort]]:
    """Return river's detectors by name, each with the parameter that sets its false alarms."""
    from river import drift

    return {
        "river ADWIN": (drift.ADWIN, "delta", FAST),
        "river PageHinkley": (drift.PageHinkley, "threshold", FAST),
        "river KSWIN": (lambda **given: drift.KSWIN(seed=1, **given), "alpha", SLOW),
    }


def river_peers(tuned: dict[str, float]) -> list[Peer]:
    """Return river's detectors, by default and with a tuned parameter."""
    found: list[Peer] = []
    for name, (make, parameter, effort) in river_makers().items():
        settings: dict[str, Callable[[], Any]] = {"default": make}
        if name in tuned:
            settings[TUNED] = lambda make=make, given={parameter: tuned[name]}: make(**given)  # type: ignore[misc]
        found.append(ValueWise(name=name, make=settings, effort=effort))
    return found


def for_real_data(versions: dict[str, str], columns: int, sizes: tuple[int, int]) -> list[Peer]:
    """Return the peers that are fast enough, as they come; ``sizes`` are the rows of reference and stream."""
    found = [peer for peer in natural(versions) if peer.name.startswith(("river ADWIN", "river PageHinkley"))]
    if sizes[0] >= WINDOWS_MIN * WINDOW and sizes[1] >= WINDOW:
        found.append(scipy_peer(columns=columns))
        if "nannyml" in versions:
            found.append(nannyml_peer())
        if "evidently" in versions and columns * sizes[1] <= EVIDENTLY_CELLS:
            found.append(evidently_peer())
            found += [EvidentlyPreset()] if columns * sizes[1] <= PRESET_CELLS else []
    return found


def natural(versions: dict[str, str]) -> list[Peer]:
    """Return all peers that are there, as they come."""
    found: list[Peer] = river_peers({}) if "river" in versions else []
    found.append(scipy_peer())
    if "evidently" in versions:
        found += [evidently_peer(), EvidentlyPreset()]
    if "nannyml" in versions:
        found += [nannyml_peer(), DomainClassifierPeer({"AUROC > 0.65": AUROC})]
    return found

"""Bring the peers to the engine's promise: on null streams of 20 columns, A rows between false alarms."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.detection import engine
from bench.detection.cases import COLUMNS
from bench.detection.peers import ENGINE, TUNED, WINDOW, Peer, Statistic, Threshold, value_alarms, windows
from bench.detection.results import Tuning
from bench.detection.roster import (
    DomainClassifierPeer,
    EvidentlyPreset,
    constant,
    evidently_peer,
    nannyml_peer,
    river_makers,
    river_peers,
    scipy_peer,
)
from bench.detection.statistics import AUROC, evidently_distance, nannyml_distance
from bench.detection.streams import Table, labels, plain_columns
from detectors.columns import Codes, Values
from detectors.evidence import EvidenceEngine

RANGES = {"river ADWIN": (1e-8, 0.999), "river PageHinkley": (10.0, 20_000.0)}
STEPS = 9
KSWIN_SKIP = 70
"""Values until KSWIN's window is full again after an alarm."""
KSWIN_LEVELS = np.array([3e-3, 1e-3, 3e-4])
KSWIN_DEFAULT = 0.005
ENGINE_LEVELS = (300.0, 1_500.0)


class Tuner:
    """Tunes with a given effort; ``scale`` below 1 makes it quicker and rougher."""

    def __init__(self, promise: float, scale: float, say: Callable[[str], None]) -> None:
        self.promise = promise
        self.scale = scale
        self.say = say
        self.notes: list[Tuning] = []
        self.only: tuple[str, ...] = ()
        self.column_share = 1 - (1 - min(WINDOW / promise, 1.0)) ** (1 / COLUMNS)
        """Share of null windows of one column that may alarm."""

    def peers(self, versions: dict[str, str], reference: Table, only: tuple[str, ...] = ()) -> list[Peer]:
        """Return the peers with natural and tuned settings; ``only`` holds the beginnings of names."""
        self.only = only
        level = self.column_share
        self._note("scipy ks_2samp", "p", "0.05", f"{level:.2g}", "exact: 1 - (1 - 1,000/A)^(1/20)")
        found: list[Peer] = [scipy_peer(constant(-math.log(level)))]
        if "river" in versions:
            found += self._river()
        if "evidently" in versions and self._wanted("evidently"):
            number = max(30, int(200 * self.scale))
            limit = self._windowed("evidently DataDriftPreset", evidently_distance, reference, number)
            found += [evidently_peer(limit), EvidentlyPreset()]
        if "nannyml" in versions and self._wanted("NannyML"):
            number = max(300, int(3_000 * self.scale))
            found.append(nannyml_peer(self._windowed("NannyML univariate", nannyml_distance, reference, number)))
            found.append(self._classifier(reference))
        return found

    def engine(self, detector: EvidenceEngine) -> float:
        """Return the threshold at which the engine itself alarms once in A null rows; the promise is stricter."""
        rows = int(160_000 * self.scale)
        null = plain_columns(0, COLUMNS, np.random.default_rng(81), rows)
        numbers = [len(engine.alarms(detector, null, level)) for level in ENGINE_LEVELS]
        rates = np.maximum(numbers, 0.5) / rows
        slope, start = np.polyfit(np.log(ENGINE_LEVELS), np.log(rates), 1)
        level = math.exp((-math.log(self.promise) - start) / min(slope, -0.2))
        level = min(max(level, ENGINE_LEVELS[0] / 100), self.promise)
        seen = " and ".join(f"{number} alarms at {at:g}" for number, at in zip(numbers, ENGINE_LEVELS, strict=True))
        how = f"line through the logarithms of {seen} in {rows:,} rows of 20 columns"
        self._note(ENGINE, "threshold", f"{self.promise:g}", f"{level:.3g}", how)
        return level

    def _note(self, peer: str, parameter: str, natural: str, tuned: str, how: str) -> None:
        self.notes.append(Tuning(peer=peer, parameter=parameter, natural=natural, tuned=tuned, how=how))
        self.say(f"{peer}: {parameter} {natural} -> {tuned} ({how})")

    def _river(self) -> list[Peer]:
        tuned = {}
        for name, (make, parameter, _) in river_makers().items():
            if not self._wanted(name):
                continue
            if name in RANGES:
                tuned[name] = self._bisect(name, make, parameter)
            else:
                tuned[name] = self._kswin(make, parameter)
        return [peer for peer in river_peers(tuned) if peer.name in tuned]

    def _wanted(self, name: str) -> bool:
        return not self.only or name.startswith(self.only)

    def _bisect(self, name: str, make: Callable[..., Any], parameter: str) -> float:
        """Search the parameter whose alarms on one null column are 20 times rarer than the promise."""
        rows = int(20 * COLUMNS * self.promise * self.scale)
        values = np.random.default_rng(77).normal(size=rows).tolist()
        allowed = rows / (COLUMNS * self.promise)
        low, high = map(math.log, RANGES[name])
        rises = name == "river ADWIN"
        best, seen = math.exp(low if rises else high), -1
        for _ in range(STEPS):
            middle = (low + high) / 2
            alarms = len(value_alarms(make(**{parameter: math.exp(middle)}), values))
            if alarms <= allowed:
                best, seen = math.exp(middle), alarms
            if (alarms <= allowed) == rises:
                low = middle
            else:
                high = middle
        natural = getattr(make(), parameter)
        how = f"{max(seen, 0)} alarms in {rows:,} rows of one column, {allowed:.0f} allowed"
        self._note(name, parameter, f"{natural:g}", f"{best:.3g}", how)
        return best

    def _kswin(self, make: Callable[..., Any], parameter: str) -> float:
        """Record p-values once; count the alarms of several levels; extend the line of the logarithms."""
        rows = int(60_000 * self.scale)
        detector, seen = make(alpha=1e-12), []
        for value in np.random.default_rng(78).normal(size=rows).tolist():
            detector.update(value)
            seen.append(float(detector.p_value))
        p = np.array(seen)
        rates = []
        for level in KSWIN_LEVELS:
            at, alarms = 100, 0
            for row in np.flatnonzero(p <= level).tolist():
                if row >= at:
                    at, alarms = row + KSWIN_SKIP, alarms + 1
            rates.append(max(alarms, 0.5) / rows)
        slope, start = np.polyfit(np.log(KSWIN_LEVELS), np.log(rates), 1)
        level = math.exp((-math.log(COLUMNS * self.promise) - start) / max(slope, 0.2))
        how = f"extended from the alarms at 0.003 to 0.0003 in {rows:,} rows of one column"
        self._note("river KSWIN", parameter, f"{KSWIN_DEFAULT:g}", f"{level:.2g}", how)
        return level

    def _windowed(self, name: str, statistic: Statistic, reference: Table, number: int) -> Threshold:
        """Take the quantile of a statistic over null windows, for numbers and for labels."""
        rng = np.random.default_rng(79)
        limits: dict[bool, float] = {}
        for column in reference.values():
            is_label = isinstance(column, Codes)
            if is_label in limits:
                continue
            rows = number * WINDOW
            seen = statistic(column, windows(labels(rng, rows) if is_label else rng.normal(size=rows)))
            limits[is_label] = float(np.quantile(seen, 1 - self.column_share))
        told = f"x {limits[False]:.2f} (numbers), x {limits[True]:.2f} (labels)"
        self._note(name, "threshold", "x 1", told, f"quantile of {number} null windows")

        def threshold(values: Values) -> float:
            return limits[isinstance(values, Codes)]

        return threshold

    def _classifier(self, reference: Table) -> Peer:
        number = max(10, int(40 * self.scale))
        null = plain_columns(0, COLUMNS, np.random.default_rng(80), number * WINDOW)
        scores = DomainClassifierPeer({}).fitted(reference).scores(null)
        limit = float(np.quantile(scores, 1 - WINDOW / self.promise))
        self._note(
            "NannyML domain classifier", "AUROC", f"{AUROC}", f"{limit:.3f}", f"quantile of {number} null windows"
        )
        return DomainClassifierPeer({f"AUROC > {AUROC}": AUROC, TUNED: limit})

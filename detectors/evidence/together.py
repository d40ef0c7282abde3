"""All events and parts of them, tick by tick: several engines that run together under one false-alarm budget."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.errors import DetectorError
from detectors.evidence.edetector import EvidenceEngine
from detectors.evidence.fusion import Blame
from detectors.evidence.parts import PartEvidence, blamed_of, log_rest, mean_of
from detectors.evidence.state import EvidenceState

States = tuple[EvidenceState, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TogetherRun:
    """What ``Together.run`` saw.

    Parameters
    ----------
    states : tuple of EvidenceState
        After the last tick that was taken.
    log_model : ndarray of float64, shape (n_taken,)
        Natural logarithm of the model's evidence after each tick taken.
    alarm : int or None
        Index of the tick that reached the threshold, always the last one taken; None if none did.
    """

    states: States
    log_model: NDArray[np.float64]
    alarm: int | None


class Together:
    """One engine for all events, and one for each part.

    Parameters
    ----------
    whole : EvidenceEngine
        Of all events.
    parts : sequence of (EvidenceEngine, float)
        Of a part of the events each, with its share of the budget; together the parts have less than 1. None at all
        gives the evidence of ``whole``, bit for bit.

    Raises
    ------
    DetectorError
        When the parts leave nothing for all events.

    Notes
    -----
    Numbers of all engines lie side by side in one flat vector: the bins of each, and behind them its sums. A tick
    without events of a part is none of its ticks. The cost is that of the engines one after the other.

    Examples
    --------
    >>> from detectors.baseline import compile_baseline
    >>> from detectors.binning import count
    >>> from detectors.columns import ColumnKind, ColumnSpec
    >>> rng = np.random.default_rng(0)
    >>> spec = ColumnSpec(name="x", kind=ColumnKind.NUMERIC)
    >>> x = rng.normal(size=5000)
    >>> whole, half = (EvidenceEngine(compile_baseline([(spec, v)]).baseline) for v in (x, x[::2]))
    >>> both = Together(whole, [(half, 0.5)])
    >>> rows = rng.normal(size=(100, 20)) + np.array([1.0, 0.0] * 10)
    >>> counts = [[count(e.baseline, {"x": v}) for e, v in ((whole, r), (half, r[::2]))] for r in rows]
    >>> flat = np.array([np.concatenate(each) for each in counts])
    >>> found = both.run(both.start(), np.arange(100), flat, np.log(1e5))
    >>> [(part, blame.name) for part, blame in both.blame(found.states, np.log(1e5))][0]
    (1, 'x')
    """

    def __init__(self, whole: EvidenceEngine, parts: Sequence[tuple[EvidenceEngine, float]] = ()) -> None:
        for place, (_, share) in enumerate(parts):
            if not 0.0 < share < 1.0:
                raise DetectorError(f"parts[{place}] has the share {share}; it must be above 0 and below 1")
        log_shares = [float(np.log(share)) for _, share in parts]
        self._engines = (whole, *(engine for engine, _ in parts))
        self._log_shares = [log_rest(log_shares), *log_shares]
        ends = np.cumsum([engine.baseline.width for engine in self._engines]).tolist()
        self._places = [slice(a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True)]

    @property
    def engines(self) -> tuple[EvidenceEngine, ...]:
        """That of all events first."""
        return self._engines

    @property
    def total(self) -> int:
        """Numbers of a tick, of all engines together."""
        return sum(engine.baseline.width for engine in self._engines)

    def start(self) -> States:
        """Return the states before the first tick.

        Returns
        -------
        tuple of EvidenceState
            One for each engine.
        """
        return tuple(engine.start() for engine in self._engines)

    def run(
        self,
        states: States,
        ticks: NDArray[np.int64],
        counts: NDArray[np.int64],
        log_threshold: float | None,
        seasons: NDArray[np.int64] | None = None,
    ) -> TogetherRun:
        """Take many ticks, and stop after the one that raises an alarm.

        Parameters
        ----------
        states : tuple of EvidenceState
            Before the first tick; they are not changed.
        ticks : ndarray of int64, shape (n_ticks,)
            Numbers of the ticks, increasing; at least one.
        counts : ndarray of int64, shape (n_ticks, total)
            Flat counts of each tick and the sums behind them, those of the engines side by side.
        log_threshold : float or None
            Natural logarithm of A; None never stops.
        seasons : ndarray of int64, shape (n_ticks,), optional
            Of the ticks, from ``detectors.baseline.seasons_of``; needed when a baseline has seasons.

        Returns
        -------
        TogetherRun
            The same, bit for bit, however the ticks are divided among calls.

        Raises
        ------
        DetectorError
            When ticks do not increase, shapes do not fit, or seasons are needed.
        StateError
            When a state belongs to another engine.
        """
        if len(self._engines) == 1:
            alone = self._engines[0].run(states[0], ticks, counts, log_threshold, seasons)
            return TogetherRun(states=(alone.state,), log_model=alone.log_model, alarm=alone.alarm)
        after, seen = self._all(states, ticks, counts, seasons)
        over = np.flatnonzero(seen >= (np.inf if log_threshold is None else log_threshold))
        if not len(over):
            return TogetherRun(states=after, log_model=seen, alarm=None)
        alarm = int(over[0])
        if alarm + 1 < len(ticks):
            shown = slice(alarm + 1)
            after, seen = self._all(states, ticks[shown], counts[shown], None if seasons is None else seasons[shown])
        return TogetherRun(states=after, log_model=seen, alarm=alarm)

    def read(self, states: States) -> float:
        """Read the evidence of the model.

        Parameters
        ----------
        states : tuple of EvidenceState
            After any number of ticks.

        Returns
        -------
        float
            Its natural logarithm.

        Raises
        ------
        StateError
            When a state belongs to another engine.
        """
        return mean_of(self._evidence(states))

    def blame(self, states: States, log_threshold: float) -> tuple[tuple[int, Blame], ...]:
        """Name the columns that changed, and in which part.

        Parameters
        ----------
        states : tuple of EvidenceState
            After at least one tick.
        log_threshold : float
            Natural logarithm of A.

        Returns
        -------
        tuple of (int, Blame)
            The engine, 0 for all events, and its column; strongest first, at least one.

        Raises
        ------
        StateError
            When a state belongs to another engine.
        """
        chosen = blamed_of(self._evidence(states), log_threshold)
        return tuple((part, self._engines[part].name(states[part], np.array([column]))[0]) for part, column in chosen)

    def _all(
        self,
        states: States,
        ticks: NDArray[np.int64],
        counts: NDArray[np.int64],
        seasons: NDArray[np.int64] | None,
    ) -> tuple[States, NDArray[np.float64]]:
        if counts.shape != (len(ticks), self.total):
            raise DetectorError(f"counts have shape {counts.shape}; {(len(ticks), self.total)} is needed")
        after = []
        logs = np.empty((len(self._engines), len(ticks)))
        for row, engine, state, place in zip(logs, self._engines, states, self._places, strict=True):
            own = counts[:, place]
            # All events have every tick, be it without a value; a part has those with its events.
            some = np.ones(len(ticks), np.bool_) if engine is self._engines[0] else own.any(axis=1)
            run = engine.run(state, ticks[some], own[some], None, None if seasons is None else seasons[some])
            known = np.append(engine.read(state).log_model, run.log_model)
            row[:] = known[np.cumsum(some)]
            after.append(run.state)
        weighted = logs + np.array(self._log_shares)[:, None]
        top = weighted.max(axis=0)
        with np.errstate(invalid="ignore"):
            spread = np.where(np.isneginf(top), -np.inf, weighted - top)
        with np.errstate(divide="ignore"):
            return tuple(after), np.where(np.isneginf(top), -np.inf, top + np.log(np.exp(spread).sum(axis=0)))

    def _evidence(self, states: States) -> list[PartEvidence]:
        found = []
        for engine, state, log_share in zip(self._engines, states, self._log_shares, strict=True):
            read = engine.read(state)
            found.append(
                PartEvidence(
                    log_share=log_share,
                    log_model=read.log_model,
                    log_columns=read.log_columns,
                    log_shares=engine.log_shares,
                )
            )
        return found

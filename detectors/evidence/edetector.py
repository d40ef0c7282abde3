"""The evidence engine: Shiryaev-Roberts sums of all bets of all columns, kept in logarithms.

For each bet with logarithm ``l`` per event and a tick with counts ``n``::

    sum <- (sum + 1) * exp(eta * n . l)

so a sum adds up the winnings of gamblers who start at every tick. Under the baseline, within the tolerance, a sum
less the number of ticks loses on average; so does the weighted mean over bets and columns, whatever the dependence
between columns. Hence the mean number of ticks until the model's evidence first reaches A is at least A.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import Baseline
from detectors.errors import DetectorError, StateError
from detectors.evidence.caps import event_caps
from detectors.evidence.explain import Explanation, explain, insufficiency
from detectors.evidence.fusion import Blame, Evidence, blamed, log_sum, log_sum_by
from detectors.evidence.layout import lay_out
from detectors.evidence.options import EvidenceOptions
from detectors.evidence.recursion import Work, advance, check_ticks, chunk_of, increments_of, nothing_yet
from detectors.evidence.seasons import SeasonalLayouts, pieces_of
from detectors.evidence.selfreplay import SelfTest, self_test, strengths_of
from detectors.evidence.state import EvidenceState, Run

VERSION = "3"
"""Part of every state's digest: raise it when the bets or the recursion change."""
SEASONAL_VERSION = "3 seasons 1"
"""The same for baselines with seasons."""
SEASONS_BYTES = 8_000_000
"""Ticks come in the order of time, so that one season is in use for an hour, and then the next."""


class EvidenceEngine:
    """Turns tick histograms into evidence.

    Parameters
    ----------
    baseline : Baseline
        What is normal.
    options : EvidenceOptions, optional
        What an operator may say.
    seasons_bytes : int, optional
        With a baseline that has seasons: how much memory the bets of different seasons may take, 25 kB a column each;
        those of two are held in any case. Bets of another season are made anew.

    Notes
    -----
    What the engine says never changes; a state holds all it remembers. A tick costs about 100 microseconds for 20
    numeric and 5 categorical columns, however many events it has. Increments of the fixed bets are exact sums, so the
    same counts give the same bits in any order; ``run`` gives the same bits as ``step``.

    The promise on false alarms holds for events that stay within the tolerance and move together no more than the
    rows of the reference do.

    References
    ----------
    .. [1] Shin, J., Ramdas, A., Rinaldo, A. (2022). E-detectors: a nonparametric framework for sequential change
       detection. arXiv:2203.03532.

    Examples
    --------
    >>> from detectors.baseline import compile_baseline
    >>> from detectors.binning import count
    >>> from detectors.columns import ColumnKind, ColumnSpec
    >>> rng = np.random.default_rng(0)
    >>> spec = ColumnSpec(name="x", kind=ColumnKind.NUMERIC)
    >>> baseline = compile_baseline([(spec, rng.normal(size=5000))]).baseline
    >>> engine = EvidenceEngine(baseline)
    >>> state = engine.start()
    >>> for tick in range(20):
    ...     state = engine.step(state, tick, count(baseline, {"x": rng.normal(size=50) + (tick >= 10)}))
    >>> bool(engine.read(state).log_model > np.log(1e5))
    True
    >>> [(blame.name, blame.since_tick) for blame in engine.blame(state, np.log(1e5))]
    [('x', 10)]
    """

    def __init__(
        self, baseline: Baseline, options: EvidenceOptions | None = None, *, seasons_bytes: int = SEASONS_BYTES
    ) -> None:
        self._baseline = baseline
        self._options = options or EvidenceOptions()
        self._strengths = strengths_of(baseline.settled, self._options)
        self._layout = lay_out(baseline.settled, self._options, self._strengths)
        self._seasons = None
        if baseline.seasonal:
            self._seasons = SeasonalLayouts(baseline, self._options, self._strengths, self._layout, seasons_bytes)
        shares = self._layout.log_shares[self._layout.columns]
        self._log_weights = self._layout.log_weights + np.where(self._layout.columns >= 0, shares, 0.0)
        self._chunk = chunk_of(self._layout)
        text = f"{SEASONAL_VERSION if baseline.seasonal else VERSION} {baseline.digest} {self._options!r}"
        self._digest = hashlib.sha256(text.encode()).digest()

    @property
    def baseline(self) -> Baseline:
        """What is normal."""
        return self._baseline

    @property
    def options(self) -> EvidenceOptions:
        """What the operator said."""
        return self._options

    @property
    def seasonal(self) -> bool:
        """Whether it must be told the season of each tick."""
        return self._seasons is not None

    @property
    def insufficient(self) -> str | None:
        """What the baseline lacks for a promise, in one sentence; None when nothing is missing."""
        return insufficiency(self._baseline, self._options)

    @property
    def strengths(self) -> NDArray[np.float64]:
        """By how much self-replay lowered each column's exponents, shape (n_columns,); 1 where it did not."""
        return self._strengths.copy()

    @property
    def shares(self) -> NDArray[np.float64]:
        """Each column's share of the budget, shape (n_columns,), adding up to 1; 0 for those that are ignored."""
        return np.exp(self._layout.log_shares)

    @property
    def log_shares(self) -> NDArray[np.float64]:
        """Natural logarithm of the shares, shape (n_columns,); -inf for those that are ignored."""
        return self._layout.log_shares.copy()

    @property
    def caps(self) -> NDArray[np.float64]:
        """Largest logarithm that an event adds to each column's evidence, shape (n_columns,); inf: not bounded."""
        return event_caps(self._layout) if self._seasons is None else np.full(len(self._layout.log_shares), np.inf)

    @property
    def digest(self) -> bytes:
        """SHA-256 over the baseline, the options and the version of the bets, 32 bytes."""
        return self._digest

    @property
    def bets(self) -> int:
        """Number of bets, padding included."""
        return len(self._layout.columns)

    @property
    def cells(self) -> int:
        """Number of bins that the learned bets remember, padding included."""
        return self._layout.cells

    def start(self) -> EvidenceState:
        """Return the state before the first tick.

        Returns
        -------
        EvidenceState
            No evidence.
        """
        return self._seal(nothing_yet(self._layout))

    def step(
        self, state: EvidenceState, tick: int, counts: NDArray[np.int64], season: int | None = None
    ) -> EvidenceState:
        """Take one tick.

        Parameters
        ----------
        state : EvidenceState
            Before the tick; it is not changed.
        tick : int
            Its number, larger than that of the tick before, at least 0. Ticks without events may be left out.
        counts : ndarray of int64, shape (baseline.total,) or (baseline.width,)
            Flat counts, from ``detectors.binning.count``; and behind them the sums of the spaces, from
            ``detectors.sums.sums_of``, without which no bet on them is made.
        season : int or None, optional
            Of the tick, from ``detectors.baseline.season_of``; needed when the baseline has seasons.

        Returns
        -------
        EvidenceState
            After the tick.

        Raises
        ------
        DetectorError
            When the tick does not come after the one before, the counts have another shape, or its season is needed.
        StateError
            When the state belongs to another engine.
        """
        seasons = None if season is None else np.array([season])
        return self.run(state, np.array([tick]), counts[None], None, seasons).state

    def run(
        self,
        state: EvidenceState,
        ticks: NDArray[np.int64],
        counts: NDArray[np.int64],
        log_threshold: float | None,
        seasons: NDArray[np.int64] | None = None,
    ) -> Run:
        """Take many ticks, and stop after the one that raises an alarm.

        Parameters
        ----------
        state : EvidenceState
            Before the first tick; it is not changed.
        ticks : ndarray of int64, shape (n_ticks,)
            Numbers of the ticks, increasing.
        counts : ndarray of int64, shape (n_ticks, baseline.total) or (n_ticks, baseline.width)
            Flat counts of each tick, and perhaps its sums.
        log_threshold : float or None
            Natural logarithm of A, the promised mean number of ticks between false alarms; None never stops.
        seasons : ndarray of int64, shape (n_ticks,), optional
            Of the ticks, from ``detectors.baseline.seasons_of``; needed when the baseline has seasons.

        Returns
        -------
        Run
            The same state, bit for bit, as from ``step`` with each tick taken.

        Raises
        ------
        DetectorError
            When ticks do not increase, shapes do not fit, or seasons are needed.
        StateError
            When the state belongs to another engine.
        """
        self._check(state, ticks, counts)
        pieces = pieces_of(len(ticks), self._chunk, self._seasons or self._layout, seasons)
        work = Work(
            ticks=state.ticks,
            last_tick=state.last_tick,
            sums=state.sums.copy(),
            peaks=state.peaks.copy(),
            since=state.since.copy(),
            memory=state.memory,
        )
        seen: list[float] = []
        limit = np.inf if log_threshold is None else log_threshold
        for chunk, layout in pieces:
            kept = self._options.learned_events
            increments, memories = increments_of(layout, kept, work.memory, counts[chunk])
            for tick, increment, memory in zip(ticks[chunk].tolist(), increments, memories[1:], strict=True):
                advance(work, tick, increment, memory)
                seen.append(log_sum(work.sums + self._log_weights))
                if seen[-1] >= limit:
                    return Run(state=self._seal(work), log_model=np.array(seen), alarm=len(seen) - 1)
        return Run(state=self._seal(work), log_model=np.array(seen), alarm=None)

    def read(self, state: EvidenceState) -> Evidence:
        """Read the evidence off a state.

        Parameters
        ----------
        state : EvidenceState
            After any number of ticks.

        Returns
        -------
        Evidence
            Of the model and of each column.

        Raises
        ------
        StateError
            When the state belongs to another engine.
        """
        self._check_state(state)
        layout = self._layout
        weighted = (state.sums + layout.log_weights)[layout.by_column]
        return Evidence(
            log_model=log_sum(state.sums + self._log_weights),
            log_columns=log_sum_by(weighted, layout.starts),
            ticks=state.ticks,
        )

    def blame(self, state: EvidenceState, log_threshold: float) -> tuple[Blame, ...]:
        """Name the columns that changed, how, and since when.

        Parameters
        ----------
        state : EvidenceState
            After at least one tick.
        log_threshold : float
            Natural logarithm of A.

        Returns
        -------
        tuple of Blame
            Strongest first; at least one. Meaningful once the model's evidence has reached A: then, of the columns
            named, those that did not change are few (e-BH).

        Raises
        ------
        StateError
            When the state belongs to another engine.
        """
        log_columns = self.read(state).log_columns
        return self._named(state, log_columns, blamed(log_columns, log_threshold, self._layout.log_shares))

    def name(self, state: EvidenceState, places: NDArray[np.int64]) -> tuple[Blame, ...]:
        """Say of some columns how they changed, and since when.

        Parameters
        ----------
        state : EvidenceState
            After at least one tick.
        places : ndarray of int64, shape (n_named,)
            Indices of columns that are not ignored.

        Returns
        -------
        tuple of Blame
            In the order of ``places``.

        Raises
        ------
        StateError
            When the state belongs to another engine.
        """
        return self._named(state, self.read(state).log_columns, places)

    def _named(
        self, state: EvidenceState, log_columns: NDArray[np.float64], places: NDArray[np.int64]
    ) -> tuple[Blame, ...]:
        layout = self._layout
        ends = np.append(layout.starts[1:], len(layout.by_column))
        found = []
        for i in places.tolist():
            own = layout.by_column[layout.starts[i] : ends[i]]
            own = own[np.isfinite(layout.log_weights[own])]
            best = int(own[np.argmax(state.sums[own] + layout.log_weights[own])])
            spec = self._baseline.columns[i].spec
            found.append(
                Blame(
                    name=spec.name,
                    group=spec.group,
                    direction=self._direction(best, state),
                    log_evidence=float(log_columns[i]),
                    since_tick=int(state.since[own[np.argmax(state.peaks[own])]]),
                )
            )
        return tuple(found)

    def _direction(self, bet: int, state: EvidenceState) -> str:
        line = next((line for line in self._layout.lines if line.place.start == bet), None)
        return self._layout.names[bet] if line is None else line.named(state.memory[line.cells])

    def explain(self) -> tuple[Explanation, ...]:
        """Explain every tolerance and exponent in words.

        Returns
        -------
        tuple of Explanation
            One for each column, in the baseline's order.
        """
        return explain(self._baseline, self._options, self._strengths)

    def self_test(self, budget: float) -> SelfTest:
        """Replay the reference against itself and report the false alarms that it would have raised.

        Parameters
        ----------
        budget : float
            A, the promised mean number of ticks between false alarms; above 1.

        Returns
        -------
        SelfTest
            Each fifth of the reference, in time order, against a baseline of the others.

        Raises
        ------
        DetectorError
            When the budget is not above 1.
        """
        if not budget > 1.0:
            raise DetectorError(f"budget is {budget}; it must be above 1")
        return self_test(self._baseline.settled, self._options, self._strengths, budget)

    def _check_state(self, state: EvidenceState) -> None:
        if state.digest != self._digest:
            raise StateError("the evidence state belongs to another baseline, other options or another version")

    def _check(self, state: EvidenceState, ticks: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        self._check_state(state)
        check_ticks(state.last_tick, ticks, counts, (self._baseline.total, self._baseline.width))

    def _seal(self, work: Work) -> EvidenceState:
        return EvidenceState(
            digest=self._digest,
            ticks=work.ticks,
            last_tick=work.last_tick,
            sums=work.sums,
            peaks=work.peaks,
            since=work.since,
            memory=work.memory.copy(),
        )

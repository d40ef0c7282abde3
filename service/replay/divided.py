"""All rows and the segments among them: baselines side by side, and how rows are counted in all of them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import Baseline
from detectors.columns import Codes, Values
from detectors.evidence import EvidenceEngine, EvidenceOptions, Together
from detectors.sums import tick_sums
from service.detect.splitting import places_of
from service.detect.tuning import fit
from service.domain.policy import Segments, Tuning
from service.frames import Coded
from service.replay.counting import count_ticks

SEASONS_BYTES = 256_000_000
"""A long file passes through all hours again and again: their bets are kept at hand."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Divided:
    """The baseline of all rows, and those of the segments that are watched by themselves."""

    whole: Baseline
    segments: Segments | None = None
    """Those that are watched: values without a reference of their own are left out."""
    column: str = ""
    """Where the files say which segment a row is of."""
    parts: tuple[Baseline, ...] = ()
    """In the order of the segments' values."""

    @cached_property
    def total(self) -> int:
        """Numbers of a tick, of all of them side by side: of each its bins, and behind them its sums."""
        return sum(baseline.width for baseline in self.baselines)

    @cached_property
    def baselines(self) -> tuple[Baseline, ...]:
        """That of all rows first."""
        return (self.whole, *self.parts)

    @cached_property
    def names(self) -> tuple[str | None, ...]:
        """What people call the segment of each baseline; ``None`` for all rows."""
        told = self.segments
        return (None, *(told.name_of(value) for value in told.values)) if told is not None and self.parts else (None,)

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """Where the bins of each baseline lie."""
        starts = np.cumsum([0, *(baseline.width for baseline in self.baselines)]).tolist()
        return tuple(slice(start, start + own.total) for start, own in zip(starts, self.baselines, strict=False))

    def engine(self, options: EvidenceOptions, tuning: Tuning | None = None) -> Together:
        """Return the engines; ``tuning`` says what the policy means in each segment, when there is one."""
        shares = [] if self.segments is None or not self.parts else [self.segments.share / len(self.parts)]
        parts = []
        for part in self.parts:
            told = options if tuning is None else fit(tuning, part).options
            # Of a tick's rows some segment may have a single one.
            own = EvidenceOptions(
                minimum_effect=told.minimum_effect,
                columns=told.columns,
                shares=told.shares,
                calibrate=options.calibrate,
            )
            parts.append((EvidenceEngine(part, own, seasons_bytes=SEASONS_BYTES), shares[0]))
        return Together(EvidenceEngine(self.whole, options, seasons_bytes=SEASONS_BYTES), parts)

    def count_ticks(
        self, values: dict[str, Values], labels: Codes | None, bounds: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Count several ticks, one after the other, and add up what bets on sums need: shape (ticks, total).

        ``labels`` say the segment of each row; ``bounds`` are as for ``service.replay.counting.count_ticks``.
        """
        whole = count_ticks(self.whole, values, bounds)
        if self.whole.sums:
            whole = np.concatenate([whole, tick_sums(self.whole, values, bounds)], axis=1)
        if self.segments is None or not self.parts:
            return whole
        counts = np.zeros((len(bounds) - 1, self.total), np.int64)
        counts[:, : self.whole.width] = whole
        if labels is None:
            return counts
        start, end = int(bounds[0]), int(bounds[-1])
        places = places_of(Coded(labels.labels, labels.codes[start:end]), self.segments.values)
        for place, (part, where) in enumerate(zip(self.parts, self.slices[1:], strict=True)):
            rows = start + np.flatnonzero(places == place)
            if len(rows):
                own = {name: _taken(values[name], rows) for name in part.names}
                counts[:, where] = count_ticks(part, own, np.searchsorted(rows, bounds))
        return counts


def _taken(values: Values, rows: NDArray[np.int64]) -> Values:
    return Codes(values.labels, values.codes[rows]) if isinstance(values, Codes) else values[rows]

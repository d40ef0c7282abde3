"""What one principal can do to evidence at most, published with the status.

Of a principal at most so many events count in a tick. So it has at most so many times that in a window, and its events
of a tick multiply the evidence of a column by at most the largest payment for so many events.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from detectors.columns import ColumnGroup
from service.detect.engines import Engine
from service.detect.windows import Extent
from service.domain.certificate import Certificate

APART = frozenset({ColumnGroup.MULTIVARIATE, ColumnGroup.PERFORMANCE})
"""Of a busy tick not all events are looked at jointly, and labels are not events: neither is certified."""


class Certifier:
    """Works the certificate of one baseline and policy out."""

    def __init__(self, engine: Engine, events_of_one: int) -> None:
        columns = engine.baseline.columns
        caps = engine.bets.caps
        apart = [column.spec.group in APART or column.spec.name in engine.joint for column in columns]
        self._certified = np.isfinite(caps) & ~np.array(apart)
        self._names = engine.names
        self._starts = engine.baseline.starts
        self._caps = np.where(self._certified, caps, 0.0)
        self._events_of_one = events_of_one

    def certificate(
        self, extents: Mapping[str, Extent], counts: Mapping[str, NDArray[np.int64]], tick_us: int
    ) -> Certificate | None:
        """Return it for what the rolling windows hold; ``None`` where no column is certified."""
        if not self._certified.any():
            return None
        most = int(self._caps.argmax())
        return Certificate(
            events_of_one=self._events_of_one,
            shares={name: self._share(extent, counts[name], tick_us) for name, extent in extents.items()},
            evidence_log10=round(self._events_of_one * float(self._caps[most]) / math.log(10.0), 3),
            column=self._names[most],
            uncertified=tuple(name for name, sure in zip(self._names, self._certified, strict=True) if not sure),
        )

    def _share(self, extent: Extent, counts: NDArray[np.int64], tick_us: int) -> float:
        """Return the largest share of what is counted in the certified column that counts the fewest events."""
        events = np.add.reduceat(counts, self._starts)[self._certified]
        fewest = int(events[events > 0].min(initial=np.iinfo(np.int64).max))
        ticks = -(-(extent.end_us - extent.start_us) // tick_us)
        return min(1.0, ticks * self._events_of_one / fewest)

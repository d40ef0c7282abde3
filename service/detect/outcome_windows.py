"""Labels that met their answer, added up by hour and by day of their coming, and merged into rolling windows."""

from collections import deque
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.errors import StateError
from detectors.performance import ClassSums, NumberSums, Spread, Sums, spread_of
from service.detect.outcome_bytes import Bins, StoredSums, bins_of, seen_of, stored_of, sums_of
from service.detect.windows import HOUR_US
from service.domain.ids import Micros
from service.domain.performance import TOTAL, WindowSeen

DAY_US = 24 * HOUR_US
WIDTHS = {"hour": HOUR_US, "day": DAY_US}
KEPT = {"hour": 25, "day": 8}
"""How many buckets of a level stay: what the longest window over them needs."""
ROLLING = {"1h": ("hour", 1), "1d": ("hour", 24), "7d": ("day", 7)}
"""Level and number of earlier buckets of each window."""


class StoredBucket(msgspec.Struct, array_like=True):
    """How a snapshot keeps one."""

    start_us: int
    end_us: int
    sums: StoredSums
    delays: Bins


@dataclass(slots=True)
class Bucket:
    """One hour, one day, or all of the time."""

    start_us: int
    end_us: int
    """Just after the newest label."""
    sums: Sums
    delays: Spread
    stored: msgspec.Raw | None = None

    def take(self, sums: Sums, delays: Spread, at_us: int) -> None:
        """Add what came at once."""
        self.sums, self.delays = _merged(self.sums, sums), self.delays.merged(delays)
        self.end_us, self.stored = max(self.end_us, at_us + 1), None

    def packed(self) -> msgspec.Raw:
        """Return it as a snapshot keeps it; made anew after a label."""
        if self.stored is None:
            own = StoredBucket(self.start_us, self.end_us, stored_of(self.sums), bins_of(self.delays))
            self.stored = msgspec.Raw(msgspec.msgpack.encode(own))
        return self.stored

    def joined(self, other: "Bucket") -> "Bucket":
        """Return this and a later one."""
        return Bucket(self.start_us, other.end_us, _merged(self.sums, other.sums), self.delays.merged(other.delays))

    def seen(self) -> WindowSeen:
        """Return it as people see it."""
        median, most = (self.delays.quantile(share) for share in (0.5, 0.95))
        return WindowSeen(
            start_us=self.start_us,
            end_us=self.end_us,
            figures=seen_of(self.sums),
            delay_median_seconds=None if median is None else float(f"{median / 1e6:.3g}"),
            delay_p95_seconds=None if most is None else float(f"{most / 1e6:.3g}"),
        )


StoredWindows = tuple[list[msgspec.Raw], list[msgspec.Raw], list[msgspec.Raw]]
"""Hours, days, and all of the time: nothing, or one."""


class OutcomeWindows:
    """The buckets of one version."""

    def __init__(self) -> None:
        self._buckets: dict[str, deque[Bucket]] = {level: deque(maxlen=kept) for level, kept in KEPT.items()}
        self._total: Bucket | None = None

    def take(self, sums: Sums, delays_us: NDArray[np.int64], at_us: Micros) -> None:
        """Add labels that came at once and met their answers."""
        delays = spread_of(np.maximum(delays_us, 0).astype(np.float64))
        for level, width in WIDTHS.items():
            buckets, start_us = self._buckets[level], at_us // width * width
            if not buckets or buckets[-1].start_us < start_us:
                buckets.append(Bucket(start_us, at_us + 1, sums, delays))
            else:
                buckets[-1].take(sums, delays, at_us)
        if self._total is None:
            self._total = Bucket(at_us, at_us + 1, sums, delays)
        else:
            self._total.take(sums, delays, at_us)

    def seen(self) -> dict[str, WindowSeen]:
        """Return every window, and all of the time; nothing before the first label."""
        if self._total is None:
            return {}
        found = {}
        for name, (level, earlier) in ROLLING.items():
            buckets = self._buckets[level]
            first_us = buckets[-1].start_us - earlier * WIDTHS[level]
            own = [bucket for bucket in buckets if bucket.start_us >= first_us]
            whole = own[0]
            for bucket in own[1:]:
                whole = whole.joined(bucket)
            found[name] = whole.seen()
        return found | {TOTAL: self._total.seen()}

    def stored(self) -> StoredWindows:
        """Return all of it."""
        hours, days = ([bucket.packed() for bucket in self._buckets[level]] for level in KEPT)
        return hours, days, [] if self._total is None else [self._total.packed()]

    def adopt(self, stored: StoredWindows) -> None:
        """Go on with what was kept; raises ``StateError`` or ``msgspec.MsgspecError`` when it is no such thing."""
        hours, days, total = ([_read(raw) for raw in level] for level in stored)
        if len({type(bucket.sums) for bucket in (*hours, *days, *total)}) > 1:
            raise StateError("sums over classes and over numbers stand side by side")
        self._buckets["hour"].extend(hours)
        self._buckets["day"].extend(days)
        self._total = total[0] if total else None


def _read(raw: msgspec.Raw) -> Bucket:
    own = msgspec.msgpack.decode(raw, type=StoredBucket)
    return Bucket(own.start_us, own.end_us, sums_of(own.sums), Spread(dict(own.delays)), msgspec.Raw(bytes(raw)))


def _merged(one: Sums, other: Sums) -> Sums:
    if isinstance(one, ClassSums) and isinstance(other, ClassSums):
        return one.merged(other)
    if isinstance(one, NumberSums) and isinstance(other, NumberSums):
        return one.merged(other)
    raise StateError("sums over classes and over numbers cannot be merged: the answers of a version are of one kind")

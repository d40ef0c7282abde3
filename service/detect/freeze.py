"""Histograms of blamed columns at the moment of an alarm: the reference's and the events' since the change began."""

from collections.abc import Sequence

from service.detect.baselines import sized
from service.detect.status import strongest_tick
from service.detect.watched import Watched
from service.domain.incidents import FrozenHistogram
from service.domain.records import ColumnFinding

COLUMNS_MAX = 20
BINS_MAX = 100
"""Of one column; the bins with the fewest events of both sides together are summed up."""
REST = "all others"


def histograms_of(watched: Watched, findings: Sequence[ColumnFinding]) -> tuple[FrozenHistogram, ...]:
    """Return the histograms of blamed columns of all events together, in the order of the evidence.

    Those of segments are left out: their counts are of another population than the reference shown.
    """
    baseline = watched.engine.baseline
    names = [one.name for one in findings if one.segment is None and one.name in baseline.index][:COLUMNS_MAX]
    counts = watched.changes.since(strongest_tick(watched.engine, watched.evidence)).counts
    found = []
    for name in dict.fromkeys(names):
        j = baseline.index[name]
        column, current = baseline.columns[j], counts[baseline.slices[j]]
        effects, limits = sized(baseline.only([name]), current)
        bins = list(zip(column.bin_labels, column.counts.tolist(), current.tolist(), strict=True))
        shown = _shown(bins)
        found.append(
            FrozenHistogram(
                name=name,
                bins=tuple(label for label, _, _ in shown),
                baseline=tuple(before for _, before, _ in shown),
                current=tuple(now for _, _, now in shown),
                effects=effects[0],
                intervals=limits[0],
            )
        )
    return tuple(found)


def _shown(bins: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """Keep the fullest bins in their order; the rest is one."""
    if len(bins) <= BINS_MAX:
        return bins
    fullest = sorted(range(len(bins)), key=lambda i: (-(bins[i][1] + bins[i][2]), i))
    kept, rest = set(fullest[: BINS_MAX - 1]), fullest[BINS_MAX - 1 :]
    summed = (REST, sum(bins[i][1] for i in rest), sum(bins[i][2] for i in rest))
    return [one for i, one in enumerate(bins) if i in kept] + [summed]

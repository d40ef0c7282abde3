"""One tick: from counts to log increments, and from them to Shiryaev-Roberts sums.

For each bet with logarithm ``l`` per event and a tick with counts ``n``::

    sum <- (sum + 1) * exp(eta * n . l)

``n . l`` is an exact sum; the exponent is applied after it, so that the order of events cannot show.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.errors import DetectorError
from detectors.evidence.layout import Layout
from detectors.evidence.learned import learned_increments, moved, remember
from detectors.evidence.lines import KEPT_SHARE, along_line

CHUNK_TICKS = 128
"""At most so many ticks' fixed increments are worked out at once; bounds the memory of a run."""
PRODUCT_SIZE = 131_072
"""Matrix products stay below this many multiplications: larger ones are spread over threads by the linear algebra
library, which on a busy machine costs milliseconds of waiting for a gain of microseconds."""


@dataclass(slots=True, eq=False)
class Work:
    """A state while it is being changed.

    Parameters
    ----------
    ticks : int
        Ticks so far.
    last_tick : int
        The latest tick; -1 before the first one.
    sums : ndarray of float64, shape (n_bets,)
        Logarithms of the Shiryaev-Roberts sums.
    peaks : ndarray of float64, shape (n_bets,)
        Log evidence since the restart that carries the most of it.
    since : ndarray of int64, shape (n_bets,)
        The tick of that restart.
    memory : ndarray of float64, shape (n_cells,)
        Faded counts of past events.
    """

    ticks: int
    last_tick: int
    sums: NDArray[np.float64]
    peaks: NDArray[np.float64]
    since: NDArray[np.int64]
    memory: NDArray[np.float64]


def nothing_yet(layout: Layout) -> Work:
    """Return what is known before the first tick.

    Parameters
    ----------
    layout : Layout
        Of the bets.

    Returns
    -------
    Work
        No evidence.
    """
    bets = len(layout.columns)
    return Work(
        ticks=0,
        last_tick=-1,
        sums=np.full(bets, -np.inf),
        peaks=np.zeros(bets),
        since=np.zeros(bets, dtype=np.int64),
        memory=np.zeros(layout.cells),
    )


def check_ticks(last_tick: int, ticks: NDArray[np.int64], counts: NDArray[np.int64], widths: tuple[int, int]) -> None:
    """Refuse ticks that cannot be taken.

    Parameters
    ----------
    last_tick : int
        The one before.
    ticks : ndarray of int64, shape (n_ticks,)
        Their numbers.
    counts : ndarray of int64, shape (n_ticks, n_numbers)
        Flat counts, and perhaps the sums behind them.
    widths : tuple of int
        How many numbers a tick has without its sums, and with them.

    Raises
    ------
    DetectorError
        When ticks do not increase or shapes do not fit.
    """
    if counts.shape not in {(len(ticks), width) for width in widths}:
        raise DetectorError(f"counts have shape {counts.shape}; {(len(ticks), widths[0])} is needed")
    before = np.concatenate([[last_tick], ticks[:-1]])
    if np.any(ticks <= before):
        place = int(np.argmax(ticks <= before))
        raise DetectorError(f"tick {ticks[place]} does not come after tick {before[place]}")


def chunk_of(layout: Layout) -> int:
    """Return how many ticks' increments to work out at once.

    Parameters
    ----------
    layout : Layout
        Of the bets.

    Returns
    -------
    int
        At least 1.
    """
    largest = max(int(np.prod(group.logs.shape[1:])) for group in layout.fixed)
    return max(1, min(CHUNK_TICKS, PRODUCT_SIZE // largest))


def fixed_increments(layout: Layout, counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Work out the log increments of the fixed bets, before the exponent.

    Parameters
    ----------
    layout : Layout
        Of the bets.
    counts : ndarray of int64, shape (n_ticks, total) or (n_ticks, total + sums)
        Flat counts, and perhaps the sums behind them; without, the bets on sums win and lose nothing.

    Returns
    -------
    ndarray of float64, shape (n_ticks, total + 1)
        The counts with a zero at the end, for padding.
    ndarray of float64, shape (n_ticks, n_bets)
        Exact sums; 0 for the learned bets.
    """
    padded = np.zeros((len(counts), layout.total + 1))
    padded[:, :-1] = counts[:, : layout.total]
    increments = np.zeros((len(counts), len(layout.columns)))
    for group in layout.fixed:
        gathered = padded.take(group.gather, axis=1).transpose(1, 0, 2)
        products = np.matmul(gathered, group.logs)
        increments[:, group.place] = products.transpose(1, 0, 2).reshape(len(counts), -1)
    sums = counts[:, layout.total :].astype(np.float64)
    for tilts in layout.tilts if sums.shape[1] else ():
        increments[:, tilts.place] = tilts.increments(sums)
    return padded, increments


def increments_of(
    layout: Layout, events_kept: float, memory: NDArray[np.float64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Work out the log increments of all bets over some ticks, one after the other.

    What the learned bets remember depends on the ticks alone and not on what was won, so it is known for all of them
    before any sum is.

    Parameters
    ----------
    layout : Layout
        Of the bets.
    events_kept : float
        How many of the latest events the learned bets remember.
    memory : ndarray of float64, shape (n_cells,)
        Before the first tick.
    counts : ndarray of int64, shape (n_ticks, total) or (n_ticks, total + sums)
        As for ``fixed_increments``.

    Returns
    -------
    ndarray of float64, shape (n_ticks, n_bets)
        With the exponent.
    ndarray of float64, shape (n_ticks + 1, n_cells)
        The memory before each tick, and after the last one.
    """
    padded, increments = fixed_increments(layout, counts)
    memories = []
    for group in layout.learned:
        own = padded.take(group.gather, axis=1)
        before = memory[group.cells].reshape(group.gather.shape)
        found = remember(before, moved(own, group.moves), events_kept)
        increments[:, group.place] = learned_increments(group.null, found[:-1], group.caps, own, group.moves)
        memories.append(found.reshape(len(found), -1))
    sums = counts[:, layout.total :].astype(np.float64)
    for line in layout.lines:
        found, won = along_line(line, memory[line.cells], sums, KEPT_SHARE * events_kept)
        increments[:, line.place] = won[:, None]
        memories.append(found)
    if layout.tempered:
        increments *= layout.etas
    return increments, memories[0] if len(memories) == 1 else np.concatenate(memories, axis=1)


def advance(work: Work, tick: int, increment: NDArray[np.float64], memory: NDArray[np.float64]) -> None:
    """Take one tick.

    Parameters
    ----------
    work : Work
        Before the tick; after it when this returns.
    tick : int
        Its number.
    increment : ndarray of float64, shape (n_bets,)
        Its row of ``increments_of``.
    memory : ndarray of float64, shape (n_cells,)
        After it; it is not copied.
    """
    np.logaddexp(work.sums, 0.0, out=work.sums)
    work.sums += increment
    work.since[work.peaks <= 0.0] = tick
    np.maximum(work.peaks, 0.0, out=work.peaks)
    work.peaks += increment
    work.memory = memory
    work.ticks += 1
    work.last_tick = tick

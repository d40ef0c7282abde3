"""Traffic of one version: learnt once, then bet on, beat by beat.

A *beat* is some ticks. Its counts become evidence when a tick of a later beat has come, so everything follows from the
ticks alone. Beats without events count: a rate of nothing is a rate. A pause that is longer than silence does not, and
ends with the evidence at zero, which no bet can profit from.
"""

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.errors import DetectorError, StateError
from detectors.evidence.fusion import log_sum
from detectors.traffic.bets import BETS, advance, log_bets
from detectors.traffic.learn import Usual, usual_rate, usual_share
from detectors.traffic.options import QUIET_LEAST_US, QUIET_TIMES, RATE, TrafficOptions
from detectors.traffic.packing import pack, unpack

MAGIC = b"LZTRAF01"
NONE = -1
EVENTS_MIN = 200
"""Fewer events in a learning span teach nothing: it begins anew."""
FADE = 0.9
"""What a beat weighs after each further one, in the ratio that people read."""
_LENGTH = struct.Struct("<I")
_INF = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A column of traffic and where it stands.

    Parameters
    ----------
    name : str
        The column.
    direction : str
        ``up`` or ``down``, whichever the bets believe more.
    log_evidence : float
        Natural logarithm of the column's evidence; -inf for none.
    since_tick : int
        When the change began, if there is one.
    times : float
        The newest counts as a multiple of what is usual.
    """

    name: str
    direction: str
    log_evidence: float
    since_tick: int
    times: float


class TrafficMonitor:
    """Learns what is usual of a version's traffic, and bets on it from then on.

    Parameters
    ----------
    options : TrafficOptions
        Span of learning, tolerance, and which shares are counted.

    Notes
    -----
    A tick costs about 2 microseconds, and the end of a beat 50 more. State: up to 40 kB while learning, 2 kB after it.
    What has been learnt never changes.

    The evidence of each column less the number of ticks falls on average for as long as the counts of every beat, given
    those before, lie in the band of ``detectors.traffic.bets``.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> monitor = TrafficMonitor(TrafficOptions(tick_us=1_000_000, learn_us=600_000_000))
    >>> for tick in range(900):
    ...     monitor.step(tick, [int(rng.poisson(20 if tick < 800 else 60))])
    >>> monitor.learnt, bool(monitor.log_model > np.log(1e6))
    (True, True)
    >>> [(moved.direction, moved.since_tick) for moved in monitor.moved()]
    [('up', 800)]
    """

    def __init__(self, options: TrafficOptions) -> None:
        self.options = options
        self._width = 1 + 2 * len(options.shares)
        self._beat_ticks, self._learn_beats = options.beat_ticks, options.learn_beats
        self._seen: list[tuple[int, ...]] = []
        """While learning: of each beat its number, its events, and tries and hits of each share."""
        self._usual: list[Usual | None] | None = None
        self._longest = 0
        self._last_tick = NONE
        self._beat = NONE
        self._first_whole = NONE
        self._open = [0] * self._width
        self._learning_bytes: bytes | None = None
        self._start()

    @property
    def learnt(self) -> bool:
        """Whether the learning span is over."""
        return self._usual is not None

    @property
    def progress(self) -> float:
        """How much of the learning span is over, from 0 to 1."""
        return 1.0 if self.learnt else len(self._seen) / self._learn_beats

    @property
    def usual(self) -> tuple[Usual | None, ...]:
        """What is usual of each column; None where nothing is, and for all of them before it is learnt."""
        return (None,) * len(self.options.names) if self._usual is None else tuple(self._usual)

    @property
    def lessons(self) -> tuple[list[tuple[int, ...]], list[Usual | None] | None, int]:
        """What was learnt: the beats of the span while it lasts, what is usual after it, the longest pause in ticks."""
        return self._seen, self._usual, self._longest

    @property
    def quiet_us(self) -> int | None:
        """How long a pause is silence; None until that is learnt."""
        if self.options.quiet_us is not None or not self.learnt:
            return self.options.quiet_us
        learnt = QUIET_TIMES * self._longest * self.options.tick_us
        return int(min(max(learnt, QUIET_LEAST_US), max(self.options.learn_us, QUIET_LEAST_US)))

    @property
    def active(self) -> bool:
        """Whether anything is bet on."""
        return any(usual is not None for usual in self.usual)

    @property
    def log_columns(self) -> NDArray[np.float64]:
        """Natural logarithm of each column's evidence, shape (n_columns,); -inf for none."""
        return self._log_columns

    @property
    def log_shares(self) -> NDArray[np.float64]:
        """Natural logarithm of each column's share, shape (n_columns,): the same for all that are bet on, else -inf."""
        bet_on = np.array([usual is not None for usual in self.usual])
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(bet_on / max(1, bet_on.sum())))

    @property
    def log_model(self) -> float:
        """Natural logarithm of the mean of the evidence of the columns that are bet on; -inf for none."""
        return self._log_model

    def step(self, tick: int, row: Sequence[int]) -> None:
        """Take one tick that has events.

        Parameters
        ----------
        tick : int
            Its number, larger than that of the tick before.
        row : sequence of int
            Events, then of each share how many events were looked at and how many of these had it.

        Raises
        ------
        DetectorError
            When the tick does not come after the one before, or the row has another length.
        """
        if tick <= self._last_tick or len(row) != self._width:
            raise DetectorError(
                f"tick {tick} with {len(row)} numbers after tick {self._last_tick}; {self._width} wanted"
            )
        pause = tick - self._last_tick - 1
        if self._last_tick != NONE and pause * self.options.tick_us > self._quiet_or_span():
            self.pause()
        elif self._last_tick != NONE and not self.learnt:
            self._longest = max(self._longest, pause)
        self._last_tick = tick
        beat = tick // self._beat_ticks
        if beat != self._beat:
            self._turn(beat)
        self._open = [have + more for have, more in zip(self._open, row, strict=True)]

    def pause(self) -> None:
        """Let evidence start from zero at the next whole beat: until then nothing that happens is traffic as usual."""
        self._beat = NONE
        self._last_tick = NONE
        self._open = [0] * self._width
        self._start()

    def carry_on(self, before: "TrafficMonitor") -> None:
        """Take over what another monitor has learnt so far; evidence starts from zero.

        Parameters
        ----------
        before : TrafficMonitor
            The other one; it is not to be used any more. One with other options than how long silence is, has learnt
            nothing of use.
        """
        if before.options.digest == self.options.digest:
            self._seen, self._usual, self._longest = before.lessons
        self.pause()

    @property
    def resting(self) -> bool:
        """Whether it waits for a first tick."""
        return self._last_tick == NONE

    def moved(self) -> tuple[Moved, ...]:
        """Return where each column stands, in their order, without those that are not bet on.

        Returns
        -------
        tuple of Moved
            One for each column that is bet on.
        """
        found = []
        for place, (name, usual) in enumerate(zip(self.options.names, self.usual, strict=True)):
            if usual is None:
                continue
            own = self._sums[place, : self._bets_of(place)]
            best = int(np.argmax(self._peaks[place, : len(own)]))
            count, expected = self._faded[place].tolist()
            found.append(
                Moved(
                    name=name,
                    direction="up" if int(np.argmax(own)) < BETS else "down",
                    log_evidence=float(self._log_columns[place]),
                    since_tick=int(self._since[place, best]) * self._beat_ticks,
                    times=count / expected if expected else 1.0,
                )
            )
        return tuple(found)

    def to_bytes(self) -> bytes:
        """Write the state exactly.

        Returns
        -------
        bytes
            Magic, digest of the options, a JSON head, arrays, and a SHA-256 over all of it.
        """
        usual = None if self._usual is None else [None if u is None else asdict(u) for u in self._usual]
        head = {
            "usual": usual,
            "longest": self._longest,
            "last_tick": self._last_tick,
            "beat": self._beat,
            "first_whole": self._first_whole,
            "open": self._open,
        }
        text = json.dumps(head).encode()
        arrays = (self._sums, self._peaks, self._faded, self._since)
        evidence = b"".join(a.astype(a.dtype.newbyteorder("<"), copy=False).tobytes() for a in arrays)
        if self._learning_bytes is None:
            self._learning_bytes = pack(np.array(self._seen, np.int64).reshape(-1, self._width + 1))
        body = MAGIC + self.options.digest + _LENGTH.pack(len(text)) + text + evidence + self._learning_bytes
        return body + hashlib.sha256(body).digest()

    @classmethod
    def from_bytes(cls, options: TrafficOptions, data: bytes) -> "TrafficMonitor":
        """Read a state exactly.

        Parameters
        ----------
        options : TrafficOptions
            Those it was written under.
        data : bytes
            From ``to_bytes``.

        Returns
        -------
        TrafficMonitor
            One that goes on bit for bit.

        Raises
        ------
        StateError
            When the bytes are damaged, or were written under other options or by another version.
        """
        body = data[:-32]
        start = len(MAGIC) + 32
        if len(data) < start + 36 or body[: len(MAGIC)] != MAGIC or hashlib.sha256(body).digest() != data[-32:]:
            raise StateError("not a state of a traffic monitor, or a damaged one")
        if body[len(MAGIC) : start] != options.digest:
            raise StateError("the traffic state belongs to other options or another version")
        monitor = cls(options)
        (size,) = _LENGTH.unpack_from(body, start)
        start += _LENGTH.size
        head: dict[str, Any] = json.loads(body[start : start + size])
        usual = head["usual"]
        if usual is not None:
            monitor._usual = [None if u is None else Usual(**{**u, "level": tuple(u["level"])}) for u in usual]
        monitor._longest, monitor._last_tick = head["longest"], head["last_tick"]
        monitor._beat, monitor._first_whole, monitor._open = head["beat"], head["first_whole"], head["open"]
        at = start + size
        shape = monitor._sums.shape
        kinds = (("_sums", "<f8", shape), ("_peaks", "<f8", shape), ("_faded", "<f8", (shape[0], 2)))
        for name, kind, form in (*kinds, ("_since", "<i8", shape)):
            count = form[0] * form[1]
            setattr(monitor, name, np.frombuffer(body, kind, count, at).reshape(form).astype(kind[1:]))
            at += 8 * count
        monitor._seen = [tuple(row) for row in unpack(body[at:], monitor._width + 1).tolist()]
        monitor._read()
        return monitor

    def _start(self) -> None:
        shape = len(self.options.names), 2 * BETS
        self._sums = np.full(shape, -_INF)
        self._peaks = np.zeros(shape)
        self._since = np.zeros(shape, np.int64)
        self._faded = np.zeros((shape[0], 2))
        self._log_columns = np.full(shape[0], -_INF)
        self._log_model = -_INF

    def _quiet_or_span(self) -> int:
        quiet = self.quiet_us
        return self.options.learn_us // 4 if quiet is None else quiet

    def _bets_of(self, place: int) -> int:
        return 2 * BETS if self.options.names[place] == RATE else BETS

    def _turn(self, beat: int) -> None:
        """Close the open beat, count the empty ones after it, and open another."""
        if self._beat == NONE:
            # The first beat after a pause began before its first event: only whole ones tell a rate.
            self._first_whole = beat + 1
        else:
            rows = [tuple(self._open), *[(0,) * self._width] * (beat - self._beat - 1)]
            whole = [(self._beat + i, *row) for i, row in enumerate(rows) if self._beat + i >= self._first_whole]
            self._close(whole)
        self._beat, self._open = beat, [0] * self._width

    def _close(self, rows: list[tuple[int, ...]]) -> None:
        if not self.learnt:
            taken = self._learn_beats - len(self._seen)
            self._seen += rows[:taken]
            self._learning_bytes = None
            if len(self._seen) < self._learn_beats:
                return
            rows = rows[taken:] if self._learn() else []
        if rows and self.active:
            self._bet(np.array(rows, np.int64))

    def _learn(self) -> bool:
        table, self._seen = np.array(self._seen, np.int64), []
        if table[:, 1].sum() < EVENTS_MIN:
            return False
        options = self.options
        starts = table[:, 0] * (self._beat_ticks * options.tick_us)
        shares = [
            usual_share(table[:, 3 + 2 * i], table[:, 2 + 2 * i], options.minimum_ratio, options.minimum_share)
            for i in range(len(options.shares))
        ]
        self._usual = [usual_rate(table[:, 1], starts, options.minimum_ratio), *shares]
        return True

    def _bet(self, rows: NDArray[np.int64]) -> None:
        starts = rows[:, 0] * (self._beat_ticks * self.options.tick_us)
        for place, usual in enumerate(self.usual):
            if usual is None:
                continue
            counts = rows[:, 1 if place == 0 else 1 + 2 * place].astype(np.float64)
            expected = usual.expected(starts)
            if place:
                expected = expected * rows[:, 2 * place]
            bets = self._bets_of(place)
            logs = log_bets(counts, expected, usual.ratio, usual.dispersion)[:, :bets]
            for i, log_bet in enumerate(logs):
                self._sums[place, :bets] = advance(self._sums[place, :bets], log_bet)
                lost = self._peaks[place, :bets] <= 0.0
                self._since[place, :bets][lost] = rows[i, 0]
                self._peaks[place, :bets] = np.where(lost, 0.0, self._peaks[place, :bets]) + log_bet
                self._faded[place] = FADE * self._faded[place] + (counts[i], expected[i])
        self._read()

    def _read(self) -> None:
        """Read the evidence off the sums; they count beats, evidence counts ticks."""
        for place in range(len(self._sums)):
            bets = self._bets_of(place)
            self._log_columns[place] = log_sum(self._sums[place, :bets]) + np.log(self._beat_ticks / bets)
        self._log_model = log_sum(self._log_columns + self.log_shares)

"""How good a detector is on streams whose truth is known, in words that operators use."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectors.errors import DetectorError


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledStream:
    """One stream, the alarms raised on it, and the truth.

    Parameters
    ----------
    ticks : int
        Length of the stream; at least 1.
    alarms : sequence of int
        Ticks at which the detector alarmed, increasing, from 0 to ``ticks - 1``.
    change : int or None, optional
        First tick with the change; None when there is none.

    Raises
    ------
    DetectorError
        When an alarm or the change lies outside the stream, or alarms do not increase.

    Examples
    --------
    >>> LabelledStream(ticks=100, alarms=(52,), change=50).change
    50
    """

    ticks: int
    alarms: Sequence[int]
    change: int | None = None

    def __post_init__(self) -> None:
        if self.ticks < 1:
            raise DetectorError(f"a stream has {self.ticks} ticks; it needs at least 1")
        if self.change is not None and not 0 <= self.change < self.ticks:
            raise DetectorError(f"the change at tick {self.change} lies outside a stream of {self.ticks}")
        before = -1
        for alarm in self.alarms:
            if not before < alarm < self.ticks:
                raise DetectorError(f"the alarm at tick {alarm} is out of order or outside a stream of {self.ticks}")
            before = alarm


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What the streams say about the detector. NaN where nothing can be said.

    Parameters
    ----------
    mean_delay : float
        Mean number of changed ticks seen until the alarm, over the detected changes; 1 is the best possible.
    median_delay : float
        Their median.
    missed : float
        Share of the changes without an alarm, from 0 to 1.
    false_alarms : int
        Alarms before the change, or in a stream without one.
    quiet_ticks : int
        Ticks on which an alarm would have been false.
    false_alarm_rate : float
        False alarms per quiet tick.
    mean_time_between_false_alarms : float
        Quiet ticks per false alarm; infinite when there was none.
    """

    mean_delay: float
    median_delay: float
    missed: float
    false_alarms: int
    quiet_ticks: int
    false_alarm_rate: float
    mean_time_between_false_alarms: float


def evaluate(streams: Sequence[LabelledStream], *, within: int | None = None) -> Evaluation:
    """Score a detector on labelled streams.

    Parameters
    ----------
    streams : sequence of LabelledStream
        At least one.
    within : int or None, optional
        A change without an alarm within so many ticks is missed; None waits until the end of the stream.

    Returns
    -------
    Evaluation
        Delays, misses and false alarms.

    Raises
    ------
    DetectorError
        When there is no stream, or ``within`` is below 1.

    Notes
    -----
    Only the first alarm from the change on counts for the delay; later ones are neither right nor wrong.

    Examples
    --------
    >>> late = LabelledStream(ticks=100, alarms=(10, 52), change=50)
    >>> never = LabelledStream(ticks=100, alarms=(), change=50)
    >>> found = evaluate([late, never])
    >>> found.mean_delay, found.missed, found.false_alarms, found.mean_time_between_false_alarms
    (3.0, 0.5, 1, 100.0)
    """
    if not streams:
        raise DetectorError("there is no stream to evaluate")
    if within is not None and within < 1:
        raise DetectorError(f"within is {within}; it must be at least 1")
    delays = [_delay(stream, within) for stream in streams if stream.change is not None]
    detected = [delay for delay in delays if delay is not None]
    quiet = sum(stream.ticks if stream.change is None else stream.change for stream in streams)
    false = sum(sum(1 for alarm in s.alarms if s.change is None or alarm < s.change) for s in streams)
    nan = float("nan")
    return Evaluation(
        mean_delay=float(np.mean(detected)) if detected else nan,
        median_delay=float(np.median(detected)) if detected else nan,
        missed=1.0 - len(detected) / len(delays) if delays else nan,
        false_alarms=false,
        quiet_ticks=quiet,
        false_alarm_rate=false / quiet if quiet else nan,
        mean_time_between_false_alarms=_mean_time(quiet, false),
    )


def _delay(stream: LabelledStream, within: int | None) -> int | None:
    change = 0 if stream.change is None else stream.change
    delays = [alarm - change + 1 for alarm in stream.alarms if alarm >= change]
    if not delays or (within is not None and delays[0] > within):
        return None
    return delays[0]


def _mean_time(quiet: int, false: int) -> float:
    if quiet == 0:
        return float("nan")
    return quiet / false if false else float("inf")

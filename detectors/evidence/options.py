"""What an operator may say about evidence."""

from dataclasses import dataclass

from detectors.errors import DetectorError


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceOptions:
    """Options of an evidence engine.

    Parameters
    ----------
    minimum_effect : float, optional
        The smallest change worth a page, in standard deviations of the direction it happens in (for a share ``p``,
        one standard deviation is ``sqrt(p * (1 - p))``); from 0 to 10. Smaller changes raise no evidence.
    standard_errors : float, optional
        How many standard errors of the baseline itself every direction may be off; from 0 to 8.
    learned_events : float, optional
        How many of the latest events per column the learned bet remembers; from 1 to 10**9.
    tick_events : float, optional
        How many events every tick has at least; from 1 to 10**9. What ties together fewer events than a tick holds,
        such as the hours of a day in ticks of a day, then costs no evidence.
    calibrate : bool, optional
        Whether bets heed how much the reference's rows move together. False is for comparison: on clusters and
        seasons it breaks the promise.

    Raises
    ------
    DetectorError
        When a value is out of range.

    Examples
    --------
    >>> EvidenceOptions(minimum_effect=0.1)
    EvidenceOptions(minimum_effect=0.1, standard_errors=3.0, learned_events=1000.0, tick_events=1.0, calibrate=True)
    """

    minimum_effect: float = 0.02
    standard_errors: float = 3.0
    learned_events: float = 1000.0
    tick_events: float = 1.0
    calibrate: bool = True

    def __post_init__(self) -> None:
        ranges = (
            ("minimum_effect", 0, 10),
            ("standard_errors", 0, 8),
            ("learned_events", 1, 10**9),
            ("tick_events", 1, 10**9),
        )
        for name, low, high in ranges:
            value = getattr(self, name)
            if not low <= value <= high:
                raise DetectorError(f"{name} is {value}; it must be from {low} to {high}")

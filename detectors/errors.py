"""What can go wrong in the detectors; each message names the place and the value."""


class DetectorError(ValueError):
    """Raised when a detector is given something that breaks its contract.

    Examples
    --------
    >>> raise DetectorError("minimum_effect is -1.0; it must be at least 0")
    Traceback (most recent call last):
    detectors.errors.DetectorError: minimum_effect is -1.0; it must be at least 0
    """


class ColumnError(DetectorError):
    """Raised when the values of a column do not fit its kind or its neighbours.

    Examples
    --------
    >>> issubclass(ColumnError, DetectorError)
    True
    """


class BaselineError(DetectorError):
    """Raised when a baseline cannot be compiled, or its bytes cannot be read.

    Examples
    --------
    >>> issubclass(BaselineError, DetectorError)
    True
    """


class StateError(DetectorError):
    """Raised when an evidence state is damaged, or belongs to another baseline.

    Examples
    --------
    >>> issubclass(StateError, DetectorError)
    True
    """

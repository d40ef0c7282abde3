"""What can go wrong in the detectors; each message names the place and the value."""


class DetectorError(ValueError):
    """Raised when a detector is given something that breaks its contract.

    Examples
    --------
    >>> issubclass(DetectorError, ValueError)
    True
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

"""All inputs of an event as one point: what the fitted scores look at."""

from detectors.spaces.fit import ROWS_MIN, fit_spaces
from detectors.spaces.space import Space, Standard, score_column

__all__ = ["ROWS_MIN", "Space", "Standard", "fit_spaces", "score_column"]

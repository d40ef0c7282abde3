"""All inputs of an event as one point: what the fitted scores look at."""

from detectors.spaces.fit import ROWS_MIN, fit_spaces
from detectors.spaces.line import Line
from detectors.spaces.space import Space, score_column
from detectors.spaces.standard import Standard
from detectors.spaces.tilts import Tilts

__all__ = ["ROWS_MIN", "Line", "Space", "Standard", "Tilts", "fit_spaces", "score_column"]

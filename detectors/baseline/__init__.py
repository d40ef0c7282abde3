"""Reference data, compiled once into a small artefact: bins, counts, and how much they vary from block to block."""

from detectors.baseline.artefact import Baseline
from detectors.baseline.bins import CategoricalColumn, Column, NumericColumn
from detectors.baseline.compiler import compile_baseline
from detectors.baseline.findings import ROWS_MIN, BaselineWarning, CompiledBaseline
from detectors.baseline.joint import add_spaces
from detectors.baseline.partial import add_partial
from detectors.baseline.profile import Season, season_of, seasons_of

__all__ = [
    "ROWS_MIN",
    "Baseline",
    "BaselineWarning",
    "CategoricalColumn",
    "Column",
    "CompiledBaseline",
    "NumericColumn",
    "Season",
    "add_partial",
    "add_spaces",
    "compile_baseline",
    "season_of",
    "seasons_of",
]

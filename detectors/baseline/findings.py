"""What compiling a baseline found that a person should act on."""

from collections.abc import Sequence
from dataclasses import dataclass

from detectors.baseline.artefact import Baseline
from detectors.baseline.bins import CategoricalColumn, Column, NumericColumn

ROWS_MIN = 100
"""With fewer rows a baseline supports no promise."""
ROWS_GOOD = 500
MISSING_SHARE = 0.2
IDENTIFIER_SHARE = 0.9
IDENTIFIER_ROWS = 20
RARE_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class BaselineWarning:
    """Something about the reference data that a person should act on.

    Parameters
    ----------
    column : str or None
        The column, or None when it is about all of them.
    code : str
        One of ``few_rows``, ``long_ties``, ``constant``, ``missing``, ``invalid``, ``identifier``, ``clock``,
        ``rare_labels``.
    text : str
        One sentence with the numbers, and what to do.

    Examples
    --------
    >>> str(BaselineWarning("age", "missing", "40 % of the values are missing"))
    'age: 40 % of the values are missing'
    """

    column: str | None
    code: str
    text: str

    def __str__(self) -> str:
        return self.text if self.column is None else f"{self.column}: {self.text}"


@dataclass(frozen=True, slots=True)
class CompiledBaseline:
    """A baseline and what a person should know about it.

    Parameters
    ----------
    baseline : Baseline
        The artefact.
    warnings : tuple of BaselineWarning
        About the whole first, then by column.

    Examples
    --------
    >>> import numpy as np
    >>> from detectors.baseline import compile_baseline
    >>> from detectors.columns import ColumnKind, ColumnSpec
    >>> spec = ColumnSpec(name="x", kind=ColumnKind.NUMERIC)
    >>> [warning.code for warning in compile_baseline([(spec, np.ones(12))]).warnings]
    ['few_rows', 'constant']
    """

    baseline: Baseline
    warnings: tuple[BaselineWarning, ...]


def row_findings(rows: int) -> list[BaselineWarning]:
    """Judge the number of rows.

    Parameters
    ----------
    rows : int
        Reference rows.

    Returns
    -------
    list of BaselineWarning
        At most one.
    """
    plural = "row" if rows == 1 else "rows"
    if rows < ROWS_MIN:
        text = f"{rows} {plural}: too few to judge anything by; at least {ROWS_MIN} are needed, thousands are better"
    elif rows < ROWS_GOOD:
        text = f"{rows} rows: only large changes can be told from chance; thousands are better"
    else:
        return []
    return [BaselineWarning(None, "few_rows", text)]


def column_findings(column: Column, *, distinct: int, clock: bool) -> list[BaselineWarning]:
    """Judge one column.

    Parameters
    ----------
    column : NumericColumn or CategoricalColumn
        As compiled.
    distinct : int
        Distinct valid values in the reference.
    clock : bool
        Whether the values only ever grow, or only ever fall.

    Returns
    -------
    list of BaselineWarning
        In a fixed order.
    """
    name, rows = column.spec.name, int(column.counts.sum())
    by_bin = dict(zip(column.bin_labels[-2:], column.counts[-2:].tolist(), strict=True))
    missing, invalid = by_bin["missing"], by_bin["invalid"]
    valid = rows - missing - invalid
    found: list[tuple[str, str]] = []
    if missing >= MISSING_SHARE * rows:
        found.append(("missing", f"{missing / rows:.0%} of the values are missing ({missing} of {rows})"))
    if invalid:
        found.append(("invalid", f"{invalid} of {rows} values are not valid (infinite, or of another type)"))
    if valid and distinct == 1:
        found.append(("constant", f"constant: every valid value is {_only_value(column)}; any other will stand out"))
    if clock:
        found.append(("clock", "the values only ever grow or fall, like a clock or a counter: later ones must differ"))
    if isinstance(column, CategoricalColumn):
        found += _label_findings(column, distinct, valid)
    return [BaselineWarning(name, code, text) for code, text in found]


def _label_findings(column: CategoricalColumn, distinct: int, valid: int) -> Sequence[tuple[str, str]]:
    if valid > IDENTIFIER_ROWS and distinct > IDENTIFIER_SHARE * valid:
        return [("identifier", f"{distinct} different labels in {valid} rows: looks like an identifier; leave it out")]
    other = int(column.counts[len(column.labels)] + column.counts[len(column.labels) + 1])
    if other > RARE_SHARE * valid:
        share = other / valid
        return [("rare_labels", f"{share:.0%} of the rows have labels too rare for a bin ({distinct} different ones)")]
    return []


def _only_value(column: Column) -> str:
    if isinstance(column, NumericColumn):
        return column.bin_labels[1]
    return repr(column.labels[0])

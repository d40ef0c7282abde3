"""Baselines that also know the inputs together."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from detectors.baseline.compiler import compile_baseline
from detectors.baseline.findings import CompiledBaseline
from detectors.columns import Codes, ColumnGroup, ColumnSpec, Values
from detectors.spaces import fit_spaces

ALONE = frozenset({"identifier", "clock"})
"""What the compiler found in a column that must differ later: such a column says nothing together with others."""


def add_spaces(
    compiled: CompiledBaseline,
    columns: Sequence[tuple[ColumnSpec, Values]],
    embeddings: Mapping[str, NDArray[np.float32]],
    times: NDArray[np.int64] | None = None,
) -> CompiledBaseline:
    """Fit the fitted scores, and add them to a baseline as columns.

    Parameters
    ----------
    compiled : CompiledBaseline
        Of the columns.
    columns : sequence of (ColumnSpec, Values)
        The reference again. Those of the group ``feature`` that the baseline has are looked at together, except for
        identifiers, clocks and scores.
    embeddings : mapping of str to ndarray of float32, shape (n_rows, dimension)
        Each is looked at by itself.
    times : ndarray of int64, shape (n_rows,), optional
        As the columns were compiled with.

    Returns
    -------
    CompiledBaseline
        With up to four columns more for the features, and for each embedding; the same when there is too little to
        learn from.

    Examples
    --------
    >>> from detectors.columns import ColumnKind
    >>> rng = np.random.default_rng(0)
    >>> names = ("x", "y")
    >>> columns = [(ColumnSpec(name=name, kind=ColumnKind.NUMERIC), rng.normal(size=1000)) for name in names]
    >>> add_spaces(compile_baseline(columns), columns, {}).baseline.names
    ('x', 'y', 'score.mahalanobis', 'score.typicality', 'score.pairs')
    """
    known = compiled.baseline.index
    alone = {warning.column for warning in compiled.warnings if warning.code in ALONE}
    inputs = [
        (spec, values)
        for spec, values in columns
        if spec.group is ColumnGroup.FEATURE and spec.name in known and spec.name not in alone
    ]
    inputs = [(spec, values) for spec, values in inputs if not spec.name.startswith("score.")]
    if times is not None:
        places = np.argsort(times, kind="stable")
        inputs = [(spec, _taken(values, places)) for spec, values in inputs]
        embeddings = {name: vectors[places] for name, vectors in embeddings.items()}
    spaces, scored = fit_spaces(inputs, embeddings)
    # A score that never varies says nothing, and its warning would be about a column that nobody sent.
    scored = [(spec, values) for spec, values in scored if spec.name not in known and _varies(values)]
    if not scored:
        return compiled
    blocks, ordered = len(compiled.baseline.columns[0].blocks), compiled.baseline.ordered
    in_order = None if times is None else np.sort(times)
    more = compile_baseline(scored, blocks=blocks, ordered=ordered, times=in_order)
    warnings = (*compiled.warnings, *(warning for warning in more.warnings if warning.column is not None))
    return CompiledBaseline(compiled.baseline.joined(more.baseline, spaces), warnings)


def _varies(values: Values) -> bool:
    if isinstance(values, Codes):
        return True
    valid = values[np.isfinite(values)]
    return valid.size > 0 and float(valid.min()) < float(valid.max())


def _taken(values: Values, places: NDArray[np.int64]) -> Values:
    return Codes(values.labels, values.codes[places]) if isinstance(values, Codes) else values[places]

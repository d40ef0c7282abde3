"""Scores that look at all columns of an event together: used when the detectors have them.

A table carries the components of an embedding as columns ``e_0``, ``e_1``, ... They are not columns of the model.
"""

from typing import Any

import numpy as np

import detectors.baseline
from bench.detection.streams import Floats, Table, Times, specs
from detectors.baseline import Baseline, compile_baseline

COMPONENT = "e_"
EMBEDDING = "embedding"


def components_of(vectors: Floats) -> Table:
    """Return an embedding as columns."""
    return {f"{COMPONENT}{j}": vectors[:, j] for j in range(vectors.shape[1])}


def split(table: Table) -> tuple[Table, dict[str, Any]]:
    """Return the columns of the model, and the embeddings as float32 matrices."""
    columns = {name: values for name, values in table.items() if not name.startswith(COMPONENT)}
    parts = [np.asarray(values, dtype=np.float32) for name, values in table.items() if name.startswith(COMPONENT)]
    return columns, {EMBEDDING: np.column_stack(parts)} if parts else {}


def compile_table(table: Table, times: Times | None = None) -> Baseline:
    """Compile a reference, with the scores of all columns together if there are such, and seasons if it has times."""
    columns, embeddings = split(table)
    compiled = compile_baseline(specs(columns), times=times)
    add_spaces = getattr(detectors.baseline, "add_spaces", None)
    if add_spaces is None:
        return compiled.baseline
    whole: Baseline = add_spaces(compiled, specs(columns), embeddings, times=times).baseline
    return whole


def with_scores(baseline: Baseline, table: Table) -> Table:
    """Return the columns of a stream and their scores."""
    columns, embeddings = split(table)
    for space in getattr(baseline, "spaces", ()):
        columns |= space.values_of_embedding(embeddings[space.name]) if space.name else space.values(columns)
    return columns


def joint_scores() -> bool:
    """Whether the detectors have such scores."""
    return hasattr(detectors.baseline, "add_spaces")

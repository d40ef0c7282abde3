"""Reference data to a compiled baseline. Runs in a process of its own: it takes seconds, and the API must not wait."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import add_spaces, compile_baseline
from detectors.errors import DetectorError
from service.detect.columns import columns_of, names_of, specs_of
from service.domain.calibration import Calibration
from service.domain.errors import Unprocessable
from service.domain.schema import FeatureKind, Schema
from service.frames import Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledReference:
    """A baseline artefact and what people want to know of it."""

    artefact: bytes
    digest: str
    rows: int
    columns: tuple[str, ...]
    warnings: tuple[dict[str, str], ...]
    calibration: Calibration | None = None
    """What it tolerates, in words; worked out under the policy of then."""


def compile_reference(schema: Schema, frame: Frame) -> CompiledReference:
    """Compile reference data into the artefact that detection works with.

    Raises
    ------
    Unprocessable
        When there is nothing to compile: no rows, or no column that can be counted.
    """
    names = names_of(schema, frame)
    if not names or not frame.rows:
        raise Unprocessable(f"the reference has {frame.rows} rows and {len(names)} columns that can be counted")
    columns = columns_of(frame, names)
    specs = specs_of({name: columns[name] for name in names})
    embeddings = {
        f.name: frame.embeddings[f.name] for f in schema.of_kind(FeatureKind.EMBEDDING) if f.name in frame.embeddings
    }
    try:
        times = _times(frame)
        compiled = add_spaces(compile_baseline(specs, times=times), specs, embeddings, times=times)
    except DetectorError as error:
        raise Unprocessable(f"the reference cannot be compiled: {error}") from error
    return CompiledReference(
        artefact=compiled.baseline.to_bytes(),
        digest=compiled.baseline.digest,
        rows=compiled.baseline.rows,
        columns=compiled.baseline.names,
        warnings=tuple({"column": w.column or "", "code": w.code, "text": w.text} for w in compiled.warnings),
    )


def _times(frame: Frame) -> NDArray[np.int64] | None:
    """Return the event times when every row has one; otherwise the rows are taken as they stand."""
    times = frame.timestamps_us
    return times if times is not None and bool((times >= 0).all()) else None

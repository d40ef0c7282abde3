"""Reference data to a compiled baseline. Runs in a process of its own: it takes seconds, and the API must not wait."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import ROWS_MIN, Baseline, add_spaces, compile_baseline
from detectors.baseline.findings import CompiledBaseline
from detectors.baseline.joint import ALONE
from detectors.columns import ColumnSpec, Values
from detectors.errors import DetectorError
from service.detect.columns import CLASSES_MIN, columns_of, names_of, odd, specs_of
from service.detect.reference_labels import NOTHING_LABELLED, Labels, with_labels
from service.detect.references import References, SegmentReference, digest_of, to_bytes
from service.detect.request_measure import NOTHING_MADE, Made, with_columns
from service.detect.request_measure import make as make_requests
from service.detect.splitting import labels_of, places_of, split
from service.detect.yardsticks import make as make_measure
from service.domain.calibration import Calibration
from service.domain.errors import Unprocessable
from service.domain.policy import Segments
from service.domain.requests import Requests
from service.domain.schema import PREDICTION, PROBABILITY_PREFIX, FeatureKind, Schema
from service.frames import MISSING, Coded, Frame

SEGMENT_COLUMNS_MAX = 800
"""Columns of all segments together: each costs the worker some milliseconds when engines are made, in which all else
waits, and some kilobytes in every snapshot."""
SHARES_LEAST = 0.9
"""Of the rows with probabilities, whose add up to one where a model gives shares. Scores of one class against the rest
are none."""
NO_PREDICTION = "the reference has no prediction: what the model answers is not watched"


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
    sample: bytes = b""
    """Rows that a policy lets be kept for reports; by default there are none."""


def compile_reference(
    schema: Schema,
    frame: Frame,
    segments: Segments | None = None,
    *,
    follow: bool = False,
    requests: Requests | None = None,
    labels: Labels | None = None,
) -> CompiledReference:
    """Compile reference data into the artefact that detection works with.

    Each of the ``segments`` that a policy declares gets a baseline of its own, from its rows. Where principals or
    requests are to be looked at one by one, what they are measured with is made: raw rows are not kept, so there is
    no second chance. With ``labels``, what the answers of the reference were worth is a column of it.

    Raises
    ------
    Unprocessable
        When there is nothing to compile: no rows, or no column that can be counted.
    """
    names = names_of(schema, frame)
    if not names or not frame.rows:
        raise Unprocessable(f"the reference has {frame.rows} rows and {len(names)} columns that can be counted")
    shares, unshared = _shares(frame, names)
    columns = columns_of(frame, names, shares=shares)
    specs = specs_of({name: columns[name] for name in names})
    embeddings = {
        f.name: frame.embeddings[f.name] for f in schema.of_kind(FeatureKind.EMBEDDING) if f.name in frame.embeddings
    }
    try:
        times = _times(frame)
        compiled = add_spaces(compile_baseline(specs, times=times), specs, embeddings, times=times)
        made = _requests(schema, frame, columns, requests, compiled)
        references = _with_segments(_joined(compiled.baseline, made, times), specs, times, frame, segments)
        worth = NOTHING_LABELLED if labels is None else with_labels(references.whole, schema, frame, labels, times)
    except DetectorError as error:
        raise Unprocessable(f"the reference cannot be compiled: {error}") from error
    measure, unmeasured = make_measure(schema, frame, columns) if follow else (None, "")
    whole = references.whole if worth.baseline is None else worth.baseline
    references = replace(references, whole=whole, performance=worth.sums, shares=shares)
    artefact = to_bytes(replace(references, measure=measure, requests=made.measure))
    lacking = [
        {"column": str(references.column), "code": "segment", "text": own.lacking} for own in references.segments
    ]
    return CompiledReference(
        artefact=artefact,
        digest=digest_of(artefact),
        rows=compiled.baseline.rows,
        columns=references.whole.names,
        warnings=(
            *({"column": w.column or "", "code": w.code, "text": w.text} for w in compiled.warnings),
            *(warning for warning in lacking if warning["text"]),
            *unshared,
            *([{"column": "", "code": "principals", "text": unmeasured}] if unmeasured else []),
            *([] if PREDICTION in names else [{"column": PREDICTION, "code": "absent", "text": NO_PREDICTION}]),
            *made.warnings,
            *worth.warnings,
        ),
    )


def _shares(frame: Frame, names: Sequence[str]) -> tuple[bool, list[dict[str, str]]]:
    """Tell whether class probabilities are shares of one, and say of how many rows they are not."""
    classes = [i for i, name in enumerate(frame.numeric_names) if name.startswith(PROBABILITY_PREFIX) and name in names]
    if len(classes) < CLASSES_MIN:
        return False, []
    probabilities = frame.numeric[classes]
    whole = int(np.count_nonzero(~np.isnan(probabilities).any(axis=0)))
    off = int(np.count_nonzero(odd(probabilities)))
    shares = whole > 0 and whole - off >= SHARES_LEAST * whole
    if not off:
        return shares, []
    said = (
        "they are invalid"
        if shares
        else f"as more than {100 * (1 - SHARES_LEAST):.0f} % are so, none is taken for invalid"
    )
    text = f"the class probabilities of {off} of {whole} rows do not add up to one, or one is negative; {said}"
    return shares, [{"column": "", "code": "probabilities", "text": text}]


def _requests(
    schema: Schema,
    frame: Frame,
    columns: Mapping[str, Values],
    requests: Requests | None,
    compiled: CompiledBaseline,
) -> Made:
    """Measure single requests, where the policy wants them looked at, but for columns that must differ later."""
    if requests is None:
        return NOTHING_MADE
    alone = {warning.column for warning in compiled.warnings if warning.code in ALONE}
    times = _times(frame)
    order = np.arange(frame.rows) if times is None else np.argsort(times, kind="stable")
    known = {name: values for name, values in columns.items() if name not in alone}
    return make_requests(schema, frame, known, requests, order)


def _joined(whole: Baseline, made: Made, times: NDArray[np.int64] | None) -> Baseline:
    return with_columns(whole, made, None if times is None else np.sort(times))


def _with_segments(
    whole: Baseline,
    specs: Sequence[tuple[ColumnSpec, Values]],
    times: NDArray[np.int64] | None,
    frame: Frame,
    segments: Segments | None,
) -> References:
    if segments is None:
        return References(whole=whole)
    labels = labels_of(frame, segments.column) or Coded((), np.full(frame.rows, MISSING, np.int32))
    places = places_of(labels, segments.values)
    rows = np.bincount(places[places >= 0], minlength=len(segments.values)).tolist()
    # In its own segment a label never changes.
    columns = {spec.name: values for spec, values in specs if spec.name != segments.column}
    own_specs = {spec.name: spec for spec, _ in specs}
    lacking = _lacking(segments, rows, len(columns))
    baselines: dict[int, Baseline] = {}
    for place, _, own in split(columns, places):
        if not lacking[place]:
            when = None if times is None else times[places == place]
            compiled = compile_baseline([(own_specs[name], values) for name, values in own.items()], times=when)
            baselines[place] = compiled.baseline
    return References(
        whole=whole,
        column=segments.column,
        segments=tuple(
            SegmentReference(value=value, rows=rows[i], baseline=baselines.get(i), lacking=lacking[i])
            for i, value in enumerate(segments.values)
        ),
    )


def _lacking(segments: Segments, rows: Sequence[int], columns: int) -> list[str]:
    """Say of each segment why it gets no baseline, if it gets none."""
    most = SEGMENT_COLUMNS_MAX // max(1, columns)
    largest = sorted(range(len(rows)), key=lambda place: -rows[place])[:most]
    said = []
    for place, value in enumerate(segments.values):
        name, number = segments.name_of(value), rows[place]
        sentence = ""
        if not columns:
            sentence = f"{name} has no column but the one that names it"
        elif number < ROWS_MIN:
            sentence = (
                f"the reference has {number or 'no'} row{'' if number == 1 else 's'} of {name}; a promise about false"
                f" alarms needs at least {ROWS_MIN}, and thousands are better"
            )
        elif place not in largest:
            sentence = (
                f"{columns} columns leave room for {most} segments, the largest of the reference;"
                f" {name} with {number} rows is not among them"
            )
        said.append(sentence)
    return said


def _times(frame: Frame) -> NDArray[np.int64] | None:
    """Return the event times when every row has one; otherwise the rows are taken as they stand."""
    times = frame.timestamps_us
    return times if times is not None and bool((times >= 0).all()) else None

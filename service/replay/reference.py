"""Which columns are watched, and what is normal for them."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute as pc

from detectors.baseline import Baseline, CompiledBaseline, add_spaces, compile_baseline
from detectors.columns import Codes, ColumnKind, ColumnSpec, Values
from detectors.errors import BaselineError
from service.detect.references import from_bytes
from service.replay.cells import codes, is_number, is_text, numbers
from service.replay.json_rows import field_names
from service.replay.sources import Batch, Format, ReplayError, Source, read_batches, read_bytes
from service.replay.times import times_of

ROWS_MAX = 5_000_000
NUMERIC_SHARE = 0.95
"""A CSV column is numeric when so many of its values spell numbers; the others are invalid."""
TIME = r"^\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?\s*(Z|[+-]\d{2}:?\d{2})?)?$"
ONWARD_SHARE = 0.99
"""A clock of the reference that goes on the same way in so many steps of the file to replay is left out."""
BOOLEANS = {"true", "false"}
LISTED_MAX = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the user asked for."""

    columns: tuple[str, ...] | None = None
    """Watch exactly these, which the reference must have; None watches all that both files share."""
    ignore: tuple[str, ...] = ()
    together: bool = True
    """Whether the columns are looked at together as well."""
    time: str | None = None
    """Holds times: rows of the reference are put into their order. Not watched unless named."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What is watched, and what a person should know about it."""

    baseline: Baseline
    warnings: tuple[str, ...]


def choose(reference: Source, source: Source, choice: Choice) -> Watched:
    """Compile or load the baseline of the columns to watch.

    Raises
    ------
    ReplayError
        When files share no column, or the reference lacks one that is named.
    """
    head = _head(source)
    if choice.time is not None and choice.time not in head:
        raise ReplayError(f"--time: {source.path}: no column {choice.time!r}{_near(choice.time, list(head))}")
    if reference.format is Format.BASELINE:
        try:
            saved = from_bytes(read_bytes(reference)).whole
        except BaselineError as error:
            raise ReplayError(f"{reference.path}: {error}") from error
        made = {column: space.inputs for space in saved.spaces for column in space.columns}
        have = [n for n in saved.names if n not in made]
        names, warnings = _names(reference, have, source, _found(source, head, have), choice)
        scores = [column for column, inputs in made.items() if inputs and choice.together and set(inputs) <= set(names)]
        kept = saved.only([*names, *scores])
        if choice.time is None and kept.seasonal:
            followed = _listed([kept.names[i] for i in kept.seasonal])
            warnings.append(f"the baseline knows which hours {followed} follow, which takes --time: ignored")
            kept = kept.without_seasons()
        return Watched(kept, (*warnings, *_followed(kept)))
    have = columns_of(reference)
    names, warnings = _names(reference, have, source, _found(source, head, have), choice)
    arrays = load(reference, [*names, choice.time] if choice.time in have and choice.time not in names else names)
    times = None
    if choice.time in have:
        array = arrays[choice.time] if choice.time in names else arrays.pop(choice.time)
        times = times_of(f"{reference.path}: column {choice.time!r}", array, 0)
    elif choice.time is not None:
        warnings.append(f"{reference.path.name} has no column {choice.time!r}: its rows are taken to be in time order")
    return _compile(reference, arrays, (head, times), choice, [*reference.notes, *warnings])


def columns_of(source: Source, sought: Collection[str] | None = None) -> list[str]:
    """Return the columns of a file. NDJSON is read for them, up to its end or until those sought have come."""
    if source.format is Format.NDJSON:
        return field_names(source, sought)
    with closing(read_batches(source)) as batches:
        return list(next(batches))


def _found(source: Source, head: Batch, sought: Collection[str]) -> list[str]:
    """Return the columns of the file to replay, and remember that people are told of them."""
    found = list(head)
    if source.format is Format.NDJSON and not set(sought) <= set(found):
        found = columns_of(source, sought)
    source.known.update(found)
    return found


def _head(source: Source) -> Batch:
    """Return the first batch that has rows, or an empty one."""
    head: Batch = {}
    with closing(read_batches(source)) as batches:
        for batch in batches:
            head = batch
            if any(len(array) for array in batch.values()):
                break
    return head


def _names(
    reference: Source, have: list[str], source: Source, found: list[str], choice: Choice
) -> tuple[list[str], list[str]]:
    if choice.time is not None and choice.time not in (choice.columns or ()):
        have, found = ([name for name in names if name != choice.time] for names in (have, found))
    known = list(dict.fromkeys([*have, *found]))
    for name in choice.ignore:
        if name not in known and name != choice.time:
            raise ReplayError(f"--ignore: neither file has a column {name!r}{_near(name, known)}")
    if choice.columns is not None:
        return _named(reference, have, source, found, choice)
    shared = [name for name in have if name in found and name not in choice.ignore]
    if not shared:
        raise ReplayError(
            f"{reference.path} ({_listed(have)}) and {source.path} ({_listed(found)}) share no column to watch"
        )
    warnings = []
    for where, names, others in ((reference, have, found), (source, found, have)):
        only = [name for name in names if name not in others and name not in choice.ignore]
        if only:
            told = f"not watched, because only {where.path.name} has them: {_listed(only)}"
            warnings.append(f"{told} (named in --columns they count as missing)" if where is reference else told)
    return shared, warnings


def _named(
    reference: Source, have: list[str], source: Source, found: list[str], choice: Choice
) -> tuple[list[str], list[str]]:
    """Return the columns that were named; one that the file to replay has lost is watched, as missing in every row."""
    columns, warnings = choice.columns or (), []
    for name in dict.fromkeys(columns):
        if name in choice.ignore:
            raise ReplayError(f"--columns and --ignore both name {name!r}: say one or the other")
        if name not in have:
            raise ReplayError(f"{reference.path}: no column {name!r}{_near(name, have)}")
        if name not in found:
            lost = f"{source.path.name} has no column {name!r}{_near(name, found)}"
            warnings.append(f"{lost}: where it is not, it counts as missing")
    return [name for name in have if name in columns], warnings


def _near(name: str, names: Sequence[str]) -> str:
    near = get_close_matches(name, names, n=3)
    return f"; near names: {', '.join(map(repr, near))}" if near else f"; it has {_listed(list(names))}"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED_MAX} more" if len(names) > LISTED_MAX else ""
    return ", ".join(names[:LISTED_MAX]) + more


def load(reference: Source, names: Sequence[str], what: str = "rows of reference data") -> dict[str, Any]:
    """Read columns into memory; a column whose type changes from batch to batch becomes text."""
    parts: dict[str, list[Any]] = {name: [] for name in names}
    rows = 0
    for batch in read_batches(reference, names):
        length = max((len(array) for array in batch.values()), default=0)
        rows += length
        if rows > ROWS_MAX:
            raise ReplayError(f"{reference.path}: more than {ROWS_MAX} {what}")
        for name in names:
            if length:
                parts[name].append(batch.get(name, pa.nulls(length, pa.string())))
    if rows == 0:
        raise ReplayError(f"{reference.path}: no rows")
    return {name: _joined(arrays) for name, arrays in parts.items()}


def _joined(arrays: list[Any]) -> Any:
    # Batches without a value have any type: NDJSON leaves a field out in all of their rows.
    kinds = {array.type for array in arrays if array.null_count < len(array)} or {array.type for array in arrays}
    kind = kinds.pop() if len(kinds) == 1 else pa.string()
    return pa.concat_arrays([array if array.type == kind else _as_type(array, kind) for array in arrays])


def _as_type(array: Any, kind: Any) -> Any:
    return array.cast(kind) if array.null_count < len(array) else pa.nulls(len(array), kind)


def _compile(
    reference: Source,
    arrays: Mapping[str, Any],
    order: tuple[Batch, NDArray[np.int64] | None],
    choice: Choice,
    warnings: list[str],
) -> Watched:
    """Compile the baseline; ``order`` is a part of the file to replay, and when the reference's rows were."""
    head, times = order
    named = choice.columns is not None
    columns: list[tuple[ColumnSpec, Values]] = []
    for name, array in arrays.items():
        reason = _unfit(array, typed=reference.typed)
        if reason and not named:
            warnings.append(f"{name}: {reason}; not watched (name it in --columns to watch it)")
            continue
        values = _values(array, typed=reference.typed)
        kind = ColumnKind.CATEGORICAL if isinstance(values, Codes) else ColumnKind.NUMERIC
        columns.append((ColumnSpec(name=name, kind=kind), values))
    if not columns:
        raise ReplayError(f"{reference.path}: no column is left to watch: {'; '.join(warnings)[:300]}")
    try:
        compiled = compile_baseline(columns, times=times)
    except BaselineError as error:
        raise ReplayError(f"{reference.path}: {error}") from error
    dropped = set()
    for warning in compiled.warnings:
        left_out = not named and warning.column is not None and _left_out(warning.code, head.get(warning.column))
        if left_out:
            dropped.add(warning.column)
        warnings.append(f"{warning}; not watched (name it in --columns to watch it)" if left_out else str(warning))
    kept = [name for name in compiled.baseline.names if name not in dropped]
    if not kept:
        raise ReplayError(f"{reference.path}: no column is left to watch: {'; '.join(warnings)[:300]}")
    baseline = compiled.baseline.only(kept)
    if choice.together:
        left = [(spec, values) for spec, values in columns if spec.name in kept]
        baseline = add_spaces(CompiledBaseline(baseline, compiled.warnings), left, {}, times).baseline
    return Watched(baseline, (*warnings, *_followed(baseline)))


def _followed(baseline: Baseline) -> list[str]:
    """Say which columns follow the hours."""
    found: dict[str, list[str]] = {}
    for place in baseline.seasonal:
        column = baseline.columns[place]
        if column.season is not None:
            found.setdefault(column.season.name, []).append(column.spec.name)
    return [f"compared with their own {name} (UTC): {_listed(names)}" for name, names in found.items()]


def _unfit(array: Any, *, typed: bool) -> str | None:
    kind = array.type
    if pa.types.is_temporal(kind):
        return "holds times"
    if is_text(kind):
        filled = pc.drop_null(array if not pa.types.is_dictionary(kind) else array.dictionary_decode())
        head = filled.slice(0, 1000)
        if len(head) and pc.all(pc.match_substring_regex(head, TIME)).as_py():
            return "holds times"
        return None
    if is_number(kind) or pa.types.is_boolean(kind) or not typed or array.null_count == len(array):
        return None
    return f"holds values of type {kind}"


def _values(array: Any, *, typed: bool) -> Values:
    kind = array.type
    if is_number(kind) or pa.types.is_temporal(kind):
        return numbers(array)
    if is_text(kind) and not typed:
        spelled = numbers(array)
        valid = int(np.isfinite(spelled).sum())
        if valid >= NUMERIC_SHARE * (valid + int(np.isinf(spelled).sum())):
            return spelled
    found = codes(array)
    if {label.lower() for label in found.labels} <= BOOLEANS:
        return Codes(tuple(label.lower() for label in found.labels), found.codes)
    return found


def _left_out(code: str, head: Any) -> bool:
    """Whether a column says nothing about drift: an identifier, or a clock that goes on in the file to replay."""
    if code == "identifier":
        return True
    if code != "clock" or head is None:
        return False
    values = numbers(head)
    values = values[np.isfinite(values)]
    steps = np.diff(values)
    return bool(len(steps)) and max(float(np.mean(steps >= 0)), float(np.mean(steps <= 0))) >= ONWARD_SHARE

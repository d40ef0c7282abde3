"""Canonical bytes of a baseline.

Format, all little-endian: the magic ``LZBASE01``; the length of the header (uint32); the header, JSON in ASCII with
sorted keys and no white space; then for each column its arrays without gaps:

* numeric: edges (float32 or float64, ``segments + 1``), targets (int32, ``segments``), counts (int64, ``bins``),
  blocks (unsigned, ``blocks * bins``), inflation (float64, ``directions * scales``), bin means, bin standard
  deviations (float64, ``regular`` each), mean and standard deviation (float64);
* categorical: known label hashes (uint64, ``known``), counts (int64, ``bins``), blocks (unsigned, ``blocks * bins``),
  inflation (float64, ``directions * scales``).

Those of a course over the reference (coefficients, float64, ``6 * bins``; inflation, float64, ``directions * scales``)
and of a seasonal profile follow at once, see ``detectors.baseline.slow`` and ``codec_season``. Then come the arrays of
the spaces, see ``detectors.baseline.codec_spaces``.

``unsigned`` has 1, 2, 4 or 8 bytes, the fewest that hold the column's largest block count; the header says which.
Version 2 added inflation and order, and made blocks smaller and more; version 3 added spaces; version 4 seasonal
profiles; version 5 what bets on sums need; version 6 courses and growth; version 7 learned
lines. A baseline is written as the first version
that holds all of it, so that the digest of one without them, profiles and spaces stays what it was. Spaces of versions
3 and 4 had other scores: they are refused.

Nothing is executed when bytes are read, every length is checked before memory is taken for it, and bytes that would
not be written again the same way are refused.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.baseline.bins import KNOWN_MAX, CategoricalColumn, Column, NumericColumn
from detectors.baseline.codec_season import arrays_of_season, describe_season, read_season
from detectors.baseline.codec_spaces import arrays_of_space, describe_space, read_spaces
from detectors.baseline.directions import directions_of
from detectors.baseline.inflation import SCALES_MAX
from detectors.baseline.slow import arrays_of_slow, read_slow
from detectors.baseline.ties import GROWTH_MOST
from detectors.columns import ColumnGroup, ColumnKind, ColumnSpec
from detectors.errors import BaselineError
from detectors.spaces import Space

MAGIC = b"LZBASE01"
VERSION = 3
SEASONAL_VERSION = 4
SPACES_VERSION = 5
SLOW_VERSION = 6
LINE_VERSION = 7
HEADER_BYTES_MAX = 64 * 1024 * 1024
COLUMNS_MAX = 10_000
BINS_MAX = 4_096
BLOCKS_MAX = 1_000
NO_INFLATION = np.ones((0, 0))
ROWS_LIMIT = 2**53
"""Counts up to here are exact in float64 too."""


def encode(columns: Sequence[Column], rows: int, *, ordered: bool, spaces: Sequence[Space] = ()) -> bytes:
    """Write the canonical bytes.

    Parameters
    ----------
    columns : sequence of NumericColumn or CategoricalColumn
        At least one; all with the same number of blocks.
    rows : int
        Reference rows.
    ordered : bool
        Whether they came in the order of time.
    spaces : sequence of Space, optional
        What is known of the columns together.

    Returns
    -------
    bytes
        The artefact.
    """
    header = {
        "version": _version(columns, spaces),
        "rows": rows,
        "ordered": ordered,
        "blocks": len(columns[0].blocks),
        "scales": columns[0].inflation.shape[1],
        "columns": [_describe(column) for column in columns],
        "spaces": [describe_space(space) for space in spaces],
    }
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")
    parts = [MAGIC, struct.pack("<I", len(text)), text]
    arrays = [array for column in columns for array in _all_arrays(column)]
    arrays += [array for space in spaces for array in arrays_of_space(space)]
    parts += [array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes() for array in arrays]
    return b"".join(parts)


def _all_arrays(column: Column) -> list[NDArray[Any]]:
    return [*_arrays(column), *arrays_of_slow(column.slow), *arrays_of_season(column.season)]


def _version(columns: Sequence[Column], spaces: Sequence[Space]) -> int:
    if any(space.line is not None for space in spaces):
        return LINE_VERSION
    if any(c.growth or c.slow is not None or (c.season is not None and c.season.slow is not None) for c in columns):
        return SLOW_VERSION
    if spaces:
        return SPACES_VERSION
    return VERSION if all(column.season is None for column in columns) else SEASONAL_VERSION


def _describe(column: Column) -> dict[str, Any]:
    common: dict[str, Any] = {
        "name": column.spec.name,
        "kind": column.spec.kind.value,
        "group": column.spec.group.value,
        "singles": column.singles,
        "block_bytes": column.blocks.dtype.itemsize,
    }
    if column.growth:
        common["growth"] = column.growth
    if column.slow is not None:
        common["slow"] = len(column.slow.curve)
    if column.season is not None:
        common["season"] = describe_season(column.season)
    if isinstance(column, NumericColumn):
        dtype = "f4" if column.edges.dtype == np.float32 else "f8"
        return common | {"dtype": dtype, "segments": len(column.targets), "regular": column.regular}
    return common | {"labels": list(column.labels), "known": len(column.known)}


def _arrays(column: Column) -> list[NDArray[Any]]:
    if isinstance(column, CategoricalColumn):
        return [column.known, column.counts, column.blocks, column.inflation]
    moments = np.array([column.mean, column.std], dtype=np.float64)
    return [
        column.edges,
        column.targets,
        column.counts,
        column.blocks,
        column.inflation,
        column.bin_means,
        column.bin_stds,
        moments,
    ]


def decode(data: bytes) -> tuple[tuple[Column, ...], int, bool, tuple[Space, ...]]:
    """Read bytes that anybody may have written.

    Parameters
    ----------
    data : bytes
        The artefact.

    Returns
    -------
    tuple of Column
        The columns, with read-only arrays.
    int
        Reference rows.
    bool
        Whether they came in the order of time.
    tuple of Space
        What is known of the columns together.

    Raises
    ------
    BaselineError
        When anything is wrong; the message names the place.
    """
    header, at = _header(data)
    rows = _integer(header, "rows", 1, ROWS_LIMIT, "header")
    blocks = _integer(header, "blocks", 1, BLOCKS_MAX, "header")
    scales = _integer(header, "scales", 0, SCALES_MAX, "header")
    ordered = header.get("ordered")
    if type(ordered) is not bool:
        raise BaselineError("header: ordered must be true or false")
    described = header.get("columns")
    if not isinstance(described, list) or not 1 <= len(described) <= COLUMNS_MAX:
        raise BaselineError(f"header: columns must be a list of 1 to {COLUMNS_MAX}")
    reader = _Reader(data, at, rows, (blocks, scales))
    columns = tuple(reader.column(entry, f"columns[{i}]") for i, entry in enumerate(described))
    spaces = read_spaces(header.get("spaces"), reader.take)
    if reader.at != len(data):
        raise BaselineError(f"{len(data) - reader.at} bytes after the last array")
    if len({column.spec.name for column in columns}) != len(columns):
        raise BaselineError("two columns have the same name")
    if encode(columns, rows, ordered=ordered, spaces=spaces) != data:
        raise BaselineError("the bytes are not in canonical form")
    return columns, rows, ordered, spaces


def _header(data: bytes) -> tuple[dict[str, Any], int]:
    start = len(MAGIC) + 4
    if len(data) < start or data[: len(MAGIC)] != MAGIC:
        raise BaselineError(f"not a baseline: it does not begin with {MAGIC.decode()}")
    (length,) = struct.unpack_from("<I", data, len(MAGIC))
    if length > HEADER_BYTES_MAX or start + length > len(data):
        raise BaselineError(f"header of {length} bytes does not fit into {len(data)} bytes")
    try:
        header = json.loads(data[start : start + length].decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise BaselineError(f"header: {type(error).__name__}: {error}") from error
    if not isinstance(header, dict):
        raise BaselineError("header: not an object")
    version = header.get("version")
    if version not in range(VERSION, LINE_VERSION + 1) or type(version) is not int:
        known = f"versions {VERSION} to {LINE_VERSION}"
        raise BaselineError(f"header: version {version!r:.40}; this program reads {known}")
    if version < SPACES_VERSION and header.get("spaces"):
        raise BaselineError(f"header: version {version} had other scores of all inputs together: compile it anew")
    return header, start + length


def _integer(entry: dict[str, Any], key: str, low: int, high: int, place: str) -> int:
    value = entry.get(key)
    if type(value) is not int or not low <= value <= high:
        raise BaselineError(f"{place}: {key} must be an integer from {low} to {high}")
    return value


def _text(entry: dict[str, Any], key: str, place: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise BaselineError(f"{place}: {key} must be text that is not empty")
    return value


def _growth(value: Any, place: str) -> float:
    if type(value) is not float or not 0.0 < value <= GROWTH_MOST:
        raise BaselineError(f"{place}: growth must be a number above 0, at most {GROWTH_MOST}")
    return value


class _Reader:
    """Takes one column after the other from the bytes."""

    def __init__(self, data: bytes, at: int, rows: int, sizes: tuple[int, int]) -> None:
        self._data = data
        self._rows = rows
        self._blocks, self._scales = sizes
        self.at = at

    def column(self, entry: Any, place: str) -> Column:
        if not isinstance(entry, dict):
            raise BaselineError(f"{place}: not an object")
        try:
            kind = ColumnKind(_text(entry, "kind", place))
            group = ColumnGroup(_text(entry, "group", place))
        except ValueError as error:
            raise BaselineError(f"{place}: {error}") from error
        spec = ColumnSpec(name=_text(entry, "name", place), kind=kind, group=group)
        place = f"{place} {spec.name[:80]!r}"
        singles = _integer(entry, "singles", 0, self._rows, place)
        column: Column
        if kind is ColumnKind.NUMERIC:
            column = self._numeric(spec, entry, singles, place)
        else:
            column = self._categorical(spec, entry, singles, place)
        if "growth" in entry:
            column = replace(column, growth=_growth(entry["growth"], place))
        if "slow" in entry:
            slow = read_slow(entry["slow"], column.inflation, len(column.counts), self.take, place)
            column = replace(column, slow=slow)
        if "season" not in entry:
            return column
        return replace(column, season=read_season(entry["season"], column, self.take, place))

    def _numeric(self, spec: ColumnSpec, entry: dict[str, Any], singles: int, place: str) -> NumericColumn:
        dtype = {"f4": np.float32, "f8": np.float64}.get(str(entry.get("dtype")))
        if dtype is None:
            raise BaselineError(f"{place}: dtype must be f4 or f8")
        segments = _integer(entry, "segments", 1, 2 * BINS_MAX, place)
        regular = _integer(entry, "regular", 1, min(segments, BINS_MAX), place)
        edges = self.take(np.dtype(dtype), segments + 1, place)
        targets = self.take(np.dtype(np.int32), segments, place)
        inner = np.flatnonzero(targets >= 0)
        if not np.array_equal(targets[inner], np.arange(regular)) or np.any(targets < -1):
            raise BaselineError(f"{place}: targets must name each regular bin once, in order")
        with np.errstate(invalid="ignore"):
            rising = bool(np.all(edges[1:] > edges[:-1])) and bool(np.all(np.isfinite(edges[:-1])))
        if not rising:
            raise BaselineError(f"{place}: edges must be numbers that increase")
        counts, blocks = self._counts(regular + 4 + int(len(inner) < segments), entry, place, spec.group)
        column = NumericColumn(
            spec=spec,
            edges=edges,
            targets=targets,
            counts=counts,
            blocks=blocks,
            inflation=NO_INFLATION,
            singles=singles,
            bin_means=np.zeros(regular),
            bin_stds=np.zeros(regular),
            mean=0.0,
            std=0.0,
        )
        inflation = self._inflation(column, place)
        means = self.take(np.dtype(np.float64), regular, place)
        stds = self.take(np.dtype(np.float64), regular, place)
        moments = self.take(np.dtype(np.float64), 2, place)
        if not all(np.isfinite(a).all() for a in (means, stds, moments)) or (stds < 0).any() or moments[1] < 0:
            raise BaselineError(f"{place}: means and standard deviations must be finite")
        return replace(
            column,
            inflation=inflation,
            bin_means=means,
            bin_stds=stds,
            mean=float(moments[0]),
            std=float(moments[1]),
        )

    def _categorical(self, spec: ColumnSpec, entry: dict[str, Any], singles: int, place: str) -> CategoricalColumn:
        labels = entry.get("labels")
        if not isinstance(labels, list) or len(labels) > BINS_MAX or not all(isinstance(x, str) for x in labels):
            raise BaselineError(f"{place}: labels must be a list of at most {BINS_MAX} texts")
        if len(set(labels)) != len(labels):
            raise BaselineError(f"{place}: a label stands twice")
        known = self.take(np.dtype(np.uint64), _integer(entry, "known", 0, KNOWN_MAX, place), place)
        if np.any(known[1:] <= known[:-1]):
            raise BaselineError(f"{place}: known label hashes must increase")
        counts, blocks = self._counts(len(labels) + 4, entry, place, spec.group)
        column = CategoricalColumn(
            spec=spec,
            labels=tuple(labels),
            known=known,
            counts=counts,
            blocks=blocks,
            inflation=NO_INFLATION,
            singles=singles,
        )
        return replace(column, inflation=self._inflation(column, place))

    def _counts(
        self, bins: int, entry: dict[str, Any], place: str, group: ColumnGroup
    ) -> tuple[NDArray[np.int64], NDArray[np.unsignedinteger[Any]]]:
        counts = self.take(np.dtype(np.int64), bins, place)
        kind = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}.get(_integer(entry, "block_bytes", 1, 8, place))
        if kind is None:
            raise BaselineError(f"{place}: block_bytes must be 1, 2, 4 or 8")
        blocks = self.take(np.dtype(kind), self._blocks * bins, place).reshape(self._blocks, bins)
        sound = bool(np.all((counts >= 0) & (counts <= self._rows))) and bool(np.all(blocks <= self._rows))
        # Only some rows have a label: what labels say of them is counted of those.
        sound &= int(counts.sum()) == self._rows or (group is ColumnGroup.PERFORMANCE and 0 < counts.sum() < self._rows)
        if not sound or not np.array_equal(blocks.sum(axis=0), counts):
            raise BaselineError(f"{place}: counts and blocks must both add up to {self._rows} rows")
        return counts, blocks

    def _inflation(self, column: Column, place: str) -> NDArray[np.float64]:
        numeric = isinstance(column, NumericColumn)
        directions = (len(directions_of(column)) if numeric else len(column.counts)) + 1
        found = self.take(np.dtype(np.float64), directions * self._scales, place).reshape(directions, self._scales)
        if not np.isfinite(found).all() or (found < 0).any() or (found > self._rows).any():
            raise BaselineError(f"{place}: inflation must be numbers from 0 to {self._rows}")
        return found

    def take(self, dtype: np.dtype[Any], length: int, place: str) -> NDArray[Any]:
        """Return the next array."""
        end = self.at + length * dtype.itemsize
        if end > len(self._data):
            raise BaselineError(f"{place}: the bytes end at {len(self._data)}, but {end} are needed")
        array = np.frombuffer(self._data, dtype=dtype.newbyteorder("<"), count=length, offset=self.at)
        self.at = end
        native = array.astype(dtype)
        native.flags.writeable = False
        return native

"""Rows of CSV that have fewer cells than the header: whoever wrote them has lost the last columns.

The fast reader refuses such a file as a whole; here the missing cells are missing values. It takes some ten times as
long, so only what comes after the first such row is read this way.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa

REFUSED = re.compile(r"Expected (\d+) columns, got (\d+)")
"""In what the fast reader says of a row with another number of cells."""


@dataclass(frozen=True, slots=True)
class Short:
    """The first row with too few cells, from 0."""

    row: int
    cells: int


def is_short(error: Exception) -> bool:
    """Tell whether a file was refused for a row with fewer cells than the header, and not for one with more."""
    found = REFUSED.search(str(error))
    return found is not None and int(found[2]) < int(found[1])


def padded(
    stream: Any, names: Sequence[str], delimiter: str, wanted: Sequence[str], batch_rows: int
) -> Iterator[tuple[dict[str, Any], Short | None]]:
    """Yield batches of all rows below the header, and with each the first short row within it.

    Parameters
    ----------
    stream : file
        Bytes from the beginning, the header included; not compressed.
    names : sequence of str
        Of the header.
    delimiter : str
        Between cells.
    wanted : sequence of str
        Columns to return.
    batch_rows : int
        Rows of a batch.

    Raises
    ------
    ValueError
        When a row has more cells than the header, names the row; or when it is no CSV, or no UTF-8.
    """
    from pyarrow import csv as arrow_csv

    nulls = frozenset(arrow_csv.ConvertOptions().null_values)
    places = [names.index(name) for name in wanted]
    at = 0
    with io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        rows = _rows(text, delimiter)
        next(rows, None)
        while batch := list(islice(rows, batch_rows)):
            short = None
            for number, row in enumerate(batch, at):
                if len(row) > len(names):
                    raise ValueError(f"row {number} has {len(row)} cells, the header {len(names)}")
                if len(row) < len(names):
                    short = short or Short(number, len(row))
                    row.extend([""] * (len(names) - len(row)))
            columns = ([None if row[place] in nulls else row[place] for row in batch] for place in places)
            yield {n: pa.array(values, pa.string()) for n, values in zip(wanted, columns, strict=True)}, short
            at += len(batch)


def _rows(text: io.TextIOWrapper, delimiter: str) -> Iterator[list[str]]:
    """Yield rows without the empty lines, which the fast reader leaves out too."""
    try:
        yield from (row for row in csv.reader(text, delimiter=delimiter) if row)
    except csv.Error as error:
        raise ValueError(str(error)) from error

"""What a JSON body would unfold into, counted on its bytes before anything is built from it."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.domain.errors import TooLarge
from service.ingest.limits import Limits

_PIECE = 1024 * 1024
_QUOTE, _OPEN, _CLOSE, _COMMA = 1, 2, 3, 4
_KINDS = np.zeros(256, np.uint8)
_KINDS[ord('"')] = _QUOTE
_KINDS[[ord("["), ord("{")]] = _OPEN
_KINDS[[ord("]"), ord("}")]] = _CLOSE
_KINDS[ord(",")] = _COMMA


def check_nesting(body: bytes, limits: Limits) -> None:
    """Refuse JSON that is nested too deep or has more values than the limits on rows and columns can need.

    The general parser calls itself for each level and makes an object of each value; both are bounded here.
    Brackets inside strings do not count.

    Raises
    ------
    TooLarge
        Naming the limit.
    """
    values_max = limits.cells_max
    containers_max = 16 * limits.rows_max + limits.columns_max
    containers = values = 0
    for piece in _scan(body):
        if piece.depths.max(initial=0) > limits.json_depth_max:
            raise TooLarge(f"the JSON is nested deeper than {limits.json_depth_max} levels (limit json_depth_max)")
        containers += int(np.count_nonzero(piece.kinds == _OPEN))
        values += int(np.count_nonzero(piece.kinds == _COMMA))
        if containers > containers_max:
            most = f"{containers_max} arrays and objects (16 for each of {limits.rows_setting})"
            raise TooLarge(f"the JSON has more than {most}")
        if values > values_max:
            raise TooLarge(f"the JSON has more than {values_max} values (a quarter of {limits.bytes_setting})")


def first_value_end(body: bytes) -> int:
    """Return where the first array or object of a body ends; its length if it does not."""
    for piece in _scan(body):
        closed = np.flatnonzero((piece.kinds == _CLOSE) & (piece.depths == 0))
        if len(closed):
            return int(piece.places[closed[0]]) + 1
    return len(body)


class _Piece(NamedTuple):
    """The structural bytes of a stretch of the body, without those inside strings."""

    places: NDArray[np.int64]
    kinds: NDArray[np.uint8]
    depths: NDArray[np.int64]
    """After each byte."""


def _scan(body: bytes) -> Iterator[_Piece]:
    if b"\\" in body:
        # Same length: an escaped backslash can no longer hide whether the quote after it is escaped.
        body = body.replace(b"\\\\", b"__").replace(b'\\"', b"__")
    depth = quotes = 0
    for start in range(0, len(body), _PIECE):
        kinds = _KINDS[np.frombuffer(body, np.uint8, min(_PIECE, len(body) - start), start)]
        places = np.flatnonzero(kinds)
        kinds = kinds[places]
        inside = (np.cumsum(kinds == _QUOTE, dtype=np.int64) + quotes) & 1
        outside = inside == 0
        kinds, places = kinds[outside], places[outside]
        depths = depth + np.cumsum((kinds == _OPEN).astype(np.int64) - (kinds == _CLOSE))
        yield _Piece(places + start, kinds, depths)
        quotes = int(inside[-1]) if len(inside) else quotes
        depth = int(depths[-1]) if len(depths) else depth

"""What a JSON body would unfold into, counted on its bytes before anything is built from it."""

import numpy as np

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
    if b"\\" in body:
        # Same length: an escaped backslash can no longer hide whether the quote after it is escaped.
        body = body.replace(b"\\\\", b"__").replace(b'\\"', b"__")
    values_max = limits.cells_max
    containers_max = 16 * limits.rows_max + limits.columns_max
    depth = containers = values = quotes = 0
    for start in range(0, len(body), _PIECE):
        kinds = _KINDS[np.frombuffer(body, np.uint8, min(_PIECE, len(body) - start), start)]
        kinds = kinds[np.flatnonzero(kinds)]
        inside = (np.cumsum(kinds == _QUOTE, dtype=np.int32) + quotes) & 1
        outside = kinds[inside == 0]
        opens = outside == _OPEN
        depths = depth + np.cumsum(opens.astype(np.int32) - (outside == _CLOSE))
        if depths.max(initial=0) > limits.json_depth_max:
            raise TooLarge(f"the JSON is nested deeper than {limits.json_depth_max} levels (limit json_depth_max)")
        containers += int(np.count_nonzero(opens))
        values += int(np.count_nonzero(outside == _COMMA))
        if containers > containers_max:
            raise TooLarge(
                f"the JSON has more than {containers_max} arrays and objects (16 for each of {limits.rows_setting})"
            )
        if values > values_max:
            raise TooLarge(f"the JSON has more than {values_max} values (a quarter of {limits.bytes_setting})")
        quotes = int(inside[-1]) if len(inside) else quotes
        depth = int(depths[-1]) if len(depths) else depth

"""What events tell of errors: whether there was one, and of which kind.

Most senders say nothing where nothing failed, so an event that says nothing had no error that anybody knows of. It does
not matter then in which batch an event comes.
"""

from collections.abc import Iterable

import numpy as np

from service.domain.schema import NO_ERROR, SOME_ERROR
from service.frames import INVALID, Coded
from service.ingest.values import Values, coded, text

KIND_CHARACTERS_MAX = 64
"""A longer text is a message, which may hold anything: it is an error, but its text is not kept."""
_NONE = frozenset({"", "0", "false", "none", "null", NO_ERROR})
_SOME = frozenset({"1", "true"})


def told(values: Values) -> bool:
    """Tell whether any event says anything. Mostly none does, and counting is the cheapest way to know."""
    return bool(values) and (values[0] is not None or values.count(None) < len(values))


def errors_of(values: Values) -> Coded:
    """Return the column of what events tell; an object or a list is *invalid*, which is an error too."""
    try:
        # True, 1 and 1.0 are one key to Python, and one answer here.
        kinds = {value: _kind(value) for value in dict.fromkeys(values)}
    except TypeError:  # lists and objects are not hashable
        return settled(coded(values))
    index = _index(kind for kind in kinds.values() if kind is not None)
    codes = {value: INVALID if kind is None else index[kind] for value, kind in kinds.items()}
    return Coded(tuple(index), np.fromiter(map(codes.__getitem__, values), np.int32, len(values)))


def settled(column: Coded) -> Coded:
    """Return the same of a column of labels."""
    kinds = [kind_of(label) for label in column.labels]
    index = _index(kinds)
    table = np.array([INVALID, index[NO_ERROR], *[index[kind] for kind in kinds]], np.int32)
    return Coded(tuple(index), table[column.codes - INVALID])


def no_errors(rows: int) -> Coded:
    """Return the column of events that tell of none."""
    return Coded((NO_ERROR,), np.zeros(rows, np.int32))


def kind_of(label: str) -> str:
    """Return what a label says: no error, an error, or an error of this kind."""
    kind = label.strip()
    if len(kind) > KIND_CHARACTERS_MAX:
        return SOME_ERROR
    word = kind.lower()
    if word in _NONE:
        return NO_ERROR
    return SOME_ERROR if word in _SOME or not kind.isprintable() else kind


def _kind(value: object) -> str | None:
    if value is None:
        return NO_ERROR
    label = text(value)
    return None if label is None else kind_of(label)


def _index(kinds: Iterable[str]) -> dict[str, int]:
    return {kind: code for code, kind in enumerate(dict.fromkeys((NO_ERROR, *kinds)))}

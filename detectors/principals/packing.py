"""What is known of principals as plain values, to be kept and taken up again bit for bit.

Objects are taken apart attribute by attribute, whatever they are made of, and put together again without running their
constructors; only classes that are named are, so nothing else can come out of stored bytes. What all principals share,
such as the yardstick, is not kept but referred to by its place.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from enum import IntEnum
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.errors import StateError
from detectors.principals.campaigns import Campaign, Index
from detectors.principals.cluster import Cluster
from detectors.principals.heading import Heading
from detectors.principals.membership import OpenRecord
from detectors.principals.monitor import Principal, Tier, Yardstick
from detectors.principals.stories import Story

VALUES_MAX = 1 << 26
"""Of an array."""
DEPTH_MAX = 32
_PLAIN = frozenset({type(None), bool, int, float, str, bytes})
_NUMBERS = "biuf"


class _Kind(IntEnum):
    LIST = 0
    TUPLE = 1
    DICT = 2
    ORDERED = 3
    SET = 4
    ARRAY = 5
    SCALAR = 6
    OBJECT = 7
    AGAIN = 8
    SHARED = 9
    TIER = 10


class Packer:
    """Packs what is known under one yardstick.

    Parameters
    ----------
    yardstick : Yardstick
        Of the model version: shared by all principals, and not kept.

    Notes
    -----
    A principal of 10 requests takes about 3 kB and 60 µs, one of 256 requests about 40 kB and 200 µs; unpacking costs
    about twice that.
    """

    def __init__(self, yardstick: Yardstick) -> None:
        self._shared = (yardstick, yardstick.population, yardstick.moments, yardstick.forest)
        whole = Principal(yardstick)
        cluster = Cluster(np.zeros(yardstick.dimension, np.float32), 0, 0.0)
        # Those that are made later only come by name.
        rest = (Heading(1, 0.0), OpenRecord(), Index(8, 1), Campaign(0, 0), Story())
        made = (cluster, *_parts_of(cluster, self._shared), *rest)
        prototypes = (whole, *_parts_of(whole, self._shared), *made)
        self._classes = tuple(type(one) for one in prototypes)
        self._names = tuple(_names(one) for one in prototypes)

    @property
    def layout(self) -> list[list[str]]:
        """The classes and their attributes: what another release packed with another layout cannot be unpacked."""
        return [[kind.__name__, *names] for kind, names in zip(self._classes, self._names, strict=True)]

    def pack(self, value: object) -> Any:
        """Take a value apart.

        Parameters
        ----------
        value : object
            Of a class that is known, or made of plain values, arrays, lists, tuples, dicts and sets.

        Returns
        -------
        plain values
            ``None``, booleans, numbers, text, bytes, and lists of them.

        Raises
        ------
        TypeError
            For an object of another class.
        """
        return _Packing(self._shared, self._classes, self._names).of(value)

    def unpack(self, packed: Any) -> Any:
        """Put a value together.

        Parameters
        ----------
        packed : plain values
            As ``pack`` returned them under an equal yardstick.

        Returns
        -------
        object
            It shares nothing with what was packed.

        Raises
        ------
        StateError
            If it is anything else.
        """
        try:
            return _Unpacking(self._shared, self._classes, self._names).of(packed, 0)
        except (ValueError, TypeError, KeyError, IndexError, OverflowError, AttributeError) as error:
            raise StateError(f"not what was packed: {error}") from error


class _Packing:
    def __init__(self, shared: Sequence[object], classes: Sequence[type], names: Sequence[tuple[str, ...]]) -> None:
        self._shared = {id(one): place for place, one in enumerate(shared)}
        self._classes = {kind: (place, own) for place, (kind, own) in enumerate(zip(classes, names, strict=True))}
        self._again: dict[int, int] = {}
        self._ways: dict[type, Callable[[Any], Any]] = {
            list: lambda values: self._sequence(values, _Kind.LIST),
            tuple: lambda values: self._sequence(values, _Kind.TUPLE),
            dict: lambda values: self._pairs(values, _Kind.DICT),
            OrderedDict: lambda values: self._pairs(values, _Kind.ORDERED),
            set: lambda values: [_Kind.SET, sorted(values)],
            np.ndarray: lambda values: [_Kind.ARRAY, values.dtype.str, list(values.shape), _stripped(values)],
            Tier: lambda value: [_Kind.TIER, str(value)],
        }

    def of(self, value: Any) -> Any:
        if type(value) in _PLAIN:
            return value
        if id(value) in self._shared:
            return [_Kind.SHARED, self._shared[id(value)]]
        way = self._ways.get(type(value))
        if way is not None:
            return way(value)
        if isinstance(value, np.generic):
            return [_Kind.SCALAR, value.dtype.str, value.tobytes()]
        return self._object(value)

    def _pairs(self, values: Any, kind: _Kind) -> Any:
        return [kind, [self.of(key) for key in values], [self.of(one) for one in values.values()]]

    def _sequence(self, values: Any, kind: _Kind) -> Any:
        """Leave out what is equal at the end: rings have places that were never used."""
        count = kept = len(values)
        if count and type(values[-1]) in _PLAIN:
            while kept > 1 and values[kept - 2] is values[-1]:
                kept -= 1
        return [kind, count, [self.of(one) for one in values[:kept]]]

    def _object(self, value: Any) -> Any:
        again = self._again.get(id(value))
        if again is not None:
            return [_Kind.AGAIN, again]
        if type(value) not in self._classes:
            raise TypeError(f"a {type(value).__name__} cannot be kept")
        place, names = self._classes[type(value)]
        self._again[id(value)] = len(self._again)
        return [_Kind.OBJECT, place, [self.of(getattr(value, name)) for name in names]]


class _Unpacking:
    def __init__(self, shared: Sequence[object], classes: Sequence[type], names: Sequence[tuple[str, ...]]) -> None:
        self._shared, self._classes, self._names = shared, classes, names
        self._made: list[object] = []
        self._ways: dict[int, Callable[..., Any]] = {
            _Kind.LIST: self._sequence,
            _Kind.TUPLE: lambda depth, count, kept: tuple(self._sequence(depth, count, kept)),
            _Kind.DICT: lambda depth, keys, values: dict(self._pairs(depth, keys, values)),
            _Kind.ORDERED: lambda depth, keys, values: OrderedDict(self._pairs(depth, keys, values)),
            _Kind.SET: lambda _, values: set(values),
            _Kind.ARRAY: lambda _, kind, shape, content: _array(kind, shape, content),
            _Kind.SCALAR: lambda _, kind, content: _array(kind, [1], content)[0],
            _Kind.OBJECT: self._object,
            _Kind.AGAIN: lambda _, place: self._made[_place(place)],
            _Kind.SHARED: lambda _, place: self._shared[_place(place)],
            _Kind.TIER: lambda _, name: Tier(name),
        }

    def of(self, packed: Any, depth: int) -> Any:
        if type(packed) in _PLAIN:
            return packed
        if depth > DEPTH_MAX:
            raise ValueError("nested too deeply")
        kind, *rest = packed
        return self._ways[kind](depth + 1, *rest)

    def _sequence(self, depth: int, count: int, kept: Any) -> list[Any]:
        found = [self.of(one, depth) for one in kept]
        if not len(found) <= count <= VALUES_MAX or (count and not found):
            raise ValueError(f"{len(found)} values of {count}")
        return found + found[-1:] * (count - len(found))

    def _pairs(self, depth: int, keys: Any, values: Any) -> list[tuple[Any, Any]]:
        return [(self.of(key, depth), self.of(one, depth)) for key, one in zip(keys, values, strict=True)]

    def _object(self, depth: int, place: int, values: Any) -> object:
        kind, names = self._classes[_place(place)], self._names[place]
        made: object = object.__new__(kind)
        # Before its attributes: they may refer to it.
        self._made.append(made)
        for name, one in zip(names, values, strict=True):
            setattr(made, name, self.of(one, depth))
        return made


def _place(value: int) -> int:
    if value < 0:
        raise ValueError(f"no place {value}")
    return value


def _stripped(values: NDArray[Any]) -> bytes:
    """Return the bytes of an array without the zeros at its end."""
    return np.ascontiguousarray(values).tobytes().rstrip(b"\0")


def _array(kind: str, shape: Sequence[int], content: bytes) -> NDArray[Any]:
    of = np.dtype(kind)
    if of.kind not in _NUMBERS or min(shape, default=0) < 0 or prod(shape) > VALUES_MAX:
        raise ValueError(f"an array of {shape} {kind}")
    size = prod(shape) * of.itemsize
    if len(content) > size:
        raise ValueError(f"{len(content)} bytes for an array of {size}")
    return np.frombuffer(bytearray(content.ljust(size, b"\0")), of).reshape(shape)


def _names(value: object) -> tuple[str, ...]:
    """Return the names of an object's attributes, in order."""
    slots = getattr(type(value), "__slots__", None)
    return tuple(sorted(vars(value))) if slots is None else tuple(slots)


def _parts_of(value: object, shared: Sequence[object]) -> list[object]:
    """Return one object of each class of this package that an object is made of."""
    parts: dict[type, object] = {}
    for name in _names(value):
        part = getattr(value, name)
        known = any(part is one for one in shared)
        if not known and type(part).__module__.startswith("detectors.") and not isinstance(part, Tier):
            parts.setdefault(type(part), part)
            for deeper in _parts_of(part, shared):
                parts.setdefault(type(deeper), deeper)
    return list(parts.values())

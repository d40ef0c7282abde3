"""What a frame may keep of people and of restricted values: decided before anything is stored.

* A principal becomes a keyed BLAKE2b-128 pseudonym: the same one every time, and nobody without the key can tell whose.
* ``hash``: a label becomes a keyed hash of feature name and label, so that equal labels of different features differ.
* ``bucket``: a number is rounded to two significant digits; a label keeps its first character (``Berlin`` -> ``B*``).
* ``drop``: the feature has no column at all.
"""

from collections.abc import Callable
from dataclasses import fields
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.schema import FeatureKind, Schema, Treatment
from service.frames import PSEUDONYM_BYTES, Coded, Frame
from service.ingest.values import recoded

CACHED_NAMES = 65_536
CACHED_CHARACTERS_MAX = 256
"""Longer names are hashed every time, so that the cache is bounded in bytes too."""
KEY_BYTES_MIN = 16


_FIELDS = tuple(field.name for field in fields(Frame))


class _Pseudonyms(dict[str, str]):
    """Remembers pseudonyms; when full, it starts anew.

    Each batch asks for hundreds: a plain dictionary answers several times faster than one that orders by last use.
    """

    def __init__(self, make: Callable[[str], str]) -> None:
        super().__init__()
        self._make = make
        self.of = self.__getitem__

    def __missing__(self, principal: str) -> str:
        pseudonym = self._make(principal)
        if len(principal) <= CACHED_CHARACTERS_MAX:
            if len(self) >= CACHED_NAMES:
                self.clear()
            self[principal] = pseudonym
        return pseudonym


class Deidentifier:
    """Applies the treatments of a schema, and makes pseudonyms of principals.

    Parameters
    ----------
    key : bytes
        The secret; another key gives other pseudonyms.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < KEY_BYTES_MIN:
            raise ValueError(f"the key has {len(key)} bytes; at least {KEY_BYTES_MIN} are needed")
        # BLAKE2b takes keys of up to 64 bytes; a longer one goes in as its digest.
        self._key = blake2b(key).digest()
        self._cached = lru_cache(maxsize=CACHED_NAMES)(self._digest)
        self._principals = _Pseudonyms(self.pseudonym)

    def pseudonym(self, principal: str) -> str:
        """Return the pseudonym of a principal, in hexadecimal."""
        return self._digest(b"principal", "", principal)

    def apply(self, schema: Schema, frame: Frame) -> Frame:
        """Return the frame as it may be stored. Apply it once: a pseudonym is not its own pseudonym."""
        changed: dict[str, Any] = {}
        if any(feature.treatment is not Treatment.KEEP for feature in schema.features):
            changed = self._treated(schema, frame)
        if frame.principals is not None:
            # Different principals have different pseudonyms: none become one, as labels under a treatment may.
            names = tuple(map(self._principals.of, frame.principals.labels))
            changed["principals"] = Coded(names, frame.principals.codes)
        # ``dataclasses.replace`` looks at every field again: a tenth of a small frame's cost.
        return Frame(**{name: changed.get(name, getattr(frame, name)) for name in _FIELDS}) if changed else frame

    def _treated(self, schema: Schema, frame: Frame) -> dict[str, Any]:
        treatments = {feature.name: feature.treatment for feature in schema.features}
        dropped = {name for name, treatment in treatments.items() if treatment is Treatment.DROP}
        numbers = [i for i, name in enumerate(frame.numeric_names) if name not in dropped]
        labels = [i for i, name in enumerate(frame.categorical_names) if name not in dropped]
        numeric = frame.numeric[numbers]
        rounded = {f.name for f in schema.of_kind(FeatureKind.NUMERIC) if f.treatment is Treatment.BUCKET}
        names = tuple([frame.numeric_names[i] for i in numbers])
        for row, name in enumerate(names):
            if name in rounded:
                numeric[row] = two_digits(numeric[row])
        return {
            "numeric_names": names,
            "numeric": numeric,
            "categorical_names": tuple([frame.categorical_names[i] for i in labels]),
            "categorical": tuple(
                [
                    self._labels(frame.categorical_names[i], treatments.get(frame.categorical_names[i]), column)
                    for i, column in enumerate(frame.categorical)
                    if i in labels
                ]
            ),
            "embeddings": {name: values for name, values in frame.embeddings.items() if name not in dropped},
            "attributions": {name: values for name, values in frame.attributions.items() if name not in dropped},
        }

    def _labels(self, name: str, treatment: Treatment | None, column: Coded) -> Coded:
        change: Callable[[str], str]
        match treatment:
            case Treatment.HASH:
                change = lambda label: self._name(b"feature", name, label)  # noqa: E731 - one of two, told apart here
            case Treatment.BUCKET:
                change = first_character
            case _:
                return column
        return recoded(column, change)

    def _name(self, purpose: bytes, feature: str, text: str) -> str:
        if len(text) > CACHED_CHARACTERS_MAX:
            return self._digest(purpose, feature, text)
        return self._cached(purpose, feature, text)

    def _digest(self, purpose: bytes, feature: str, text: str) -> str:
        name = feature.encode()
        # The length keeps feature and label apart: ("ab", "c") must not hash like ("a", "bc").
        message = len(name).to_bytes(4, "little") + name + text.encode()
        return blake2b(message, digest_size=PSEUDONYM_BYTES, key=self._key, person=purpose).hexdigest()


def first_character(label: str) -> str:
    """Return the generalised label."""
    return f"{label[:1]}*"


def two_digits(values: NDArray[Any]) -> NDArray[Any]:
    """Round to two significant digits; NaN and infinity stay, and what is too small for that becomes zero."""
    exact = values.astype(np.float64)
    finite = np.isfinite(exact) & (np.abs(exact) >= 1e-290)  # noqa: PLR2004 - below, the power of ten would overflow
    digits = np.zeros(len(exact), np.int64)
    digits[finite] = 1 - np.floor(np.log10(np.abs(exact[finite]))).astype(np.int64)
    power = 10.0 ** np.abs(digits)
    # What rounds up to more than its type can hold becomes infinite, which counts as invalid.
    with np.errstate(over="ignore"):
        rounded = np.where(digits >= 0, np.round(exact * power) / power, np.round(exact / power) * power)
        rounded[~finite] = np.where(np.isfinite(exact[~finite]), 0.0, exact[~finite])
        narrow: NDArray[Any] = rounded.astype(values.dtype)
    return np.where(np.isneginf(narrow), np.inf, narrow)

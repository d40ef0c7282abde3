"""Immutable fields: what one principal says of one entity must not change from request to request."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.columns import Codes, Values
from service.domain.requests import Rule, RuleKind
from service.frames import Coded

ENTITIES_MAX = 20_000
"""Entities that are remembered, of all principals together; whichever was not seen for longest is forgotten."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A request that says something else of an entity than before."""

    rule: int
    """Its place among the rules about immutable columns."""
    column: str
    before: str
    now: str


class Edits:
    """What principals said of entities first. Bounded memory of the worker: it begins anew when the worker starts."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rule for rule in rules if rule.kind is RuleKind.IMMUTABLE)
        self._known: OrderedDict[tuple[str, int, str], tuple[str, ...]] = OrderedDict()

    @property
    def wanted(self) -> tuple[str, ...]:
        """The columns that are needed of a frame."""
        names = [name for rule in self.rules for name in (*rule.columns, str(rule.entity))]
        return tuple(dict.fromkeys(names))

    def see(self, principals: Coded, columns: Mapping[str, Values], rows: NDArray[np.int64]) -> dict[int, list[Edit]]:
        """Return the edits among some requests, by row."""
        found: dict[int, list[Edit]] = {}
        for number, rule in enumerate(self.rules):
            entity = columns.get(str(rule.entity))
            if not isinstance(entity, Codes):
                continue
            for row in rows.tolist():
                who, what = int(principals.codes[row]), int(entity.codes[row])
                if who < 0 or what < 0:
                    continue
                said = tuple(_said(columns.get(name), row) for name in rule.columns)
                first = self._first((principals.labels[who], number, entity.labels[what]), said)
                edits = [
                    Edit(number, name, before, now)
                    for name, before, now in zip(rule.columns, first, said, strict=True)
                    if before and now and before != now
                ]
                if edits:
                    found.setdefault(row, []).extend(edits)
        return found

    def _first(self, key: tuple[str, int, str], said: tuple[str, ...]) -> tuple[str, ...]:
        """Return what was said first; what was missing then is filled in."""
        known = self._known.get(key)
        known = said if known is None else tuple(a or b for a, b in zip(known, said, strict=True))
        self._known[key] = known
        self._known.move_to_end(key)
        while len(self._known) > ENTITIES_MAX:
            self._known.popitem(last=False)
        return known


def _said(values: Values | None, row: int) -> str:
    """Return a value as it is compared; empty for a missing or invalid one."""
    if values is None:
        return ""
    if isinstance(values, Codes):
        code = int(values.codes[row])
        return values.labels[code] if code >= 0 else ""
    value = float(np.float32(values[row]))
    return f"{value:.9g}" if np.isfinite(value) else ""

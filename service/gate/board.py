"""Every flag of the fleet, worked out once for each picture of it, whoever asks and however many."""

import hashlib
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import msgspec

from service.domain.ids import VersionId
from service.gate.flags import flags_of
from service.gate.fleet import FleetView
from service.gate.refresh import Fleet

Mark = tuple[int, frozenset[VersionId]]
"""What all flags follow from: the revision of the picture, and whose glass is broken now."""


def mark_of(view: FleetView) -> Mark:
    """Return what tells whether a sheet is still right; a glass ends by the clock, without a newer picture."""
    return view.revision, view.let_through()


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """The flags of one model."""

    follows: tuple[object, ...]
    """All that they follow from: while it is the same, so are they."""
    body: bytes
    """JSON, with commas between."""
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """All flags at one mark."""

    mark: Mark
    leaves: Mapping[str, Leaf]
    """By model, in the order of their names."""
    whole: str
    """The entity tag of all of them."""

    def etag(self, models: frozenset[str] | None) -> str:
        """Return what changes exactly when a flag of these models does; ``None`` stands for every model."""
        return self.whole if models is None else _etag(self._of(models))

    def body(self, models: frozenset[str] | None) -> bytes:
        """Return the flags of these models as a JSON array."""
        found = self.leaves.values() if models is None else self._of(models)
        return b"[" + b",".join(leaf.body for leaf in found if leaf.body) + b"]"

    def _of(self, models: frozenset[str]) -> list[Leaf]:
        return [self.leaves[name] for name in sorted(models) if name in self.leaves]


class Board:
    """Holds the last sheet.

    Parameters
    ----------
    fleet
        The last known picture.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._lock = threading.Lock()
        self._sheet = Sheet(mark=(-2, frozenset()), leaves={}, whole=_etag(()))

    def current(self) -> Sheet | None:
        """Return the last sheet if it is still right."""
        sheet = self._sheet
        return sheet if sheet.mark == mark_of(self._fleet.view) else None

    def sheet(self) -> Sheet:
        """Return the sheet of now. In a large fleet that takes a while the first time: ask in a thread."""
        with self._lock:
            found = self.current()
            if found is None:
                found = self._sheet = _drawn(self._fleet.view, self._sheet)
            return found


def _drawn(view: FleetView, before: Sheet) -> Sheet:
    """Work out the flags of the models that have changed; those of the others are as they were."""
    now_us = view.now()
    still = replace(view, now=lambda: now_us)  # one moment for all of them
    mark = mark_of(still)
    leaves: dict[str, Leaf] = {}
    for model in sorted(still.models):
        follows = _follows(still, model, mark[1])
        known = before.leaves.get(model)
        leaves[model] = known if known is not None and known.follows == follows else _leaf(still, model, follows)
    return Sheet(mark=mark, leaves=leaves, whole=_etag(leaves.values()))


def _follows(view: FleetView, model: str, through: frozenset[VersionId]) -> tuple[object, ...]:
    policy = view.models[model].policy
    versions = tuple((one.version, one.state, one.id in through) for one in view.by_model.get(model, ()))
    return policy.fallback, versions


def _leaf(view: FleetView, model: str, follows: tuple[object, ...]) -> Leaf:
    body = b",".join(msgspec.json.encode(flag) for flag in flags_of(view, model))
    return Leaf(follows=follows, body=body, digest=hashlib.sha256(body).digest())


def _etag(leaves: Iterable[Leaf]) -> str:
    summed = hashlib.sha256()
    for leaf in leaves:
        summed.update(leaf.digest)
    return f'"{summed.hexdigest()[:32]}"'

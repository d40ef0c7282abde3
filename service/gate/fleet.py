"""The picture of models and versions that the gate and the ingest path answer from, without touching the store."""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from service.domain.errors import NotFound
from service.domain.ids import Micros, VersionId
from service.domain.principals import Containment
from service.domain.records import Model, Version
from service.domain.reviews import Glass
from service.domain.states import HELD, OUT_OF_USE

NEAREST = 3
NOBODY: frozenset[VersionId] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetView:
    """Every model and version at one control revision. Immutable: a newer picture replaces it whole."""

    revision: int
    models: Mapping[str, Model]
    versions: Mapping[tuple[str, str], Version]
    by_id: Mapping[VersionId, Version]
    by_model: Mapping[str, Sequence[Version]]
    """Oldest first."""
    contained: Mapping[VersionId, Mapping[str, Micros]]
    """By version and pseudonym: until when a principal is contained."""
    begun: Mapping[VersionId, Mapping[str, Micros]]
    """By version and pseudonym: since when."""
    broken: Mapping[VersionId, Glass]
    """By version: a glass that was broken and whose end is not written down yet."""
    now: Callable[[], Micros]
    """Tells whether it still lets traffic through: it ends by the clock, not by a newer picture."""

    @classmethod
    def of(
        cls,
        revision: int,
        models: Iterable[Model],
        versions: Iterable[Version],
        containments: Iterable[Containment] = (),
        glasses: Iterable[Glass] = (),
        now: Callable[[], Micros] = lambda: Micros(0),
    ) -> Self:
        """Build the picture; ``versions`` are oldest first."""
        listed = tuple(versions)
        named = {model.name: model for model in models}
        by_model: dict[str, list[Version]] = {name: [] for name in named}
        for version in listed:
            by_model.setdefault(version.model, []).append(version)
        contained: dict[VersionId, dict[str, Micros]] = {}
        begun: dict[VersionId, dict[str, Micros]] = {}
        for one in containments:
            contained.setdefault(one.version_id, {})[one.principal] = one.until_us
            begun.setdefault(one.version_id, {})[one.principal] = one.since_us
        return cls(
            revision=revision,
            models=named,
            versions={(version.model, version.version): version for version in listed},
            by_id={version.id: version for version in listed},
            by_model=by_model,
            contained=contained,
            begun=begun,
            broken={one.version_id: one for one in glasses},
            now=now,
        )

    def lets_through(self, version: Version) -> bool:
        """Tell whether a version that is held serves all the same, because somebody broke the glass."""
        glass = self.broken.get(version.id) if self.broken else None
        return glass is not None and version.state in HELD and glass.lets_through(self.now())

    def let_through(self) -> frozenset[VersionId]:
        """Return the versions whose glass is broken now."""
        if not self.broken:
            return NOBODY
        now_us = self.now()
        return frozenset(one.version_id for one in self.broken.values() if one.lets_through(now_us))

    def held(self, version_id: VersionId, principals: Iterable[str], now_us: Micros) -> list[tuple[str, Micros]]:
        """Return those of these pseudonyms that are contained at a version now, each with since when."""
        until = self.contained.get(version_id)
        if until is None:
            return []
        return [(one, self.begun[version_id][one]) for one in principals if now_us < until.get(one, 0)]

    def default_version(self, model: str) -> Version | None:
        """Return the version that a model's name alone means.

        The newest version that is neither rolled back nor retired; when there is none, the newest of all.
        """
        versions = self.by_model.get(model, ())
        in_use = [version for version in versions if version.state not in OUT_OF_USE]
        ranked = in_use or versions
        return ranked[-1] if ranked else None

    def find(self, model: str, version: str) -> Version:
        """Return a version.

        Raises
        ------
        NotFound
            Naming the nearest names.
        """
        found = self.versions.get((model, version))
        if found is not None:
            return found
        if model not in self.models:
            raise self.unknown_model(model)
        names = [known.version for known in self.by_model.get(model, ())]
        raise unknown(f"version '{shown(version)}' of model '{model}'", version, names)

    def unknown_model(self, model: str) -> NotFound:
        """Return the error for a model that is not there, with the nearest names."""
        return unknown(f"model '{shown(model)}'", model, self.models)


EMPTY = FleetView.of(-1, (), ())
"""Before the store was read for the first time."""


def unknown(what: str, name: str, names: Iterable[str]) -> NotFound:
    """Return a 404 that names those of ``names`` that look most like ``name``."""
    known = list(names)
    near = difflib.get_close_matches(name[:128], known, n=NEAREST, cutoff=0.5) or sorted(known)[:NEAREST]
    hint = "; nearest: " + ", ".join(f"'{one}'" for one in near) if near else "; there is none yet"
    return NotFound(f"unknown {what}{hint}", extra={"nearest": near})


def shown(name: str) -> str:
    """Return a client's name short enough to repeat."""
    limit = 100
    return name if len(name) <= limit else name[:limit] + "..."

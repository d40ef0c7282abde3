"""The gate's answer as feature flags, for kill switches inside a process.

Two flags for each name that the gate knows::

    model.{model}.serving             true while the gate lets traffic through
    model.{model}.mode                the state: active, suspect, quarantined, under_review, rolled_back, retired
    model.{model}/{version}.serving   of one version
    model.{model}/{version}.mode
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from service.domain.policy import FailMode
from service.gate.decide import Asking, Ruling, decide, heed
from service.gate.fleet import FleetView
from service.gate.targets import Target

PREFIX = "model."


class Kind(StrEnum):
    """What a flag says of a version."""

    SERVING = "serving"
    MODE = "mode"


@dataclass(frozen=True, slots=True)
class FlagKey:
    """A flag by what it is about."""

    target: Target
    kind: Kind

    def __str__(self) -> str:
        """Return the key as clients write it."""
        version = "" if self.target.version is None else f"/{self.target.version}"
        return f"{PREFIX}{self.target.model}{version}.{self.kind}"


class Flag(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One flag's evaluation."""

    key: str
    value: bool | str
    reason: str
    variant: str
    metadata: dict[str, str]
    cacheable: bool | None = None


def parse_key(key: str) -> FlagKey | None:
    """Return what a key is about; ``None`` when it is not one of ours."""
    head, _, kind = key.rpartition(".")
    if not head.startswith(PREFIX) or kind not in set(Kind):
        return None
    model, slash, version = head.removeprefix(PREFIX).partition("/")
    if not model or (slash and not version) or "/" in version:
        return None
    return FlagKey(Target(model, version or None), Kind(kind))


def evaluate(view: FleetView, key: FlagKey, asking: Asking | None) -> tuple[Flag, Ruling] | None:
    """Return a flag and the ruling behind it; ``None`` when no such model or version is registered.

    Parameters
    ----------
    view
        The last known picture of the fleet.
    key
        Which flag.
    asking
        Who asks, if that is known.
    """
    known = view.models if key.target.version is None else view.versions
    name = key.target.model if key.target.version is None else (key.target.model, key.target.version)
    if name not in known or view.default_version(key.target.model) is None:
        return None
    ruling = decide(view, (key.target,), FailMode.CLOSED)
    if asking is not None:
        ruling = heed(ruling, view, (key.target,), asking)
    return _flag(key, ruling), ruling


def flags_of(view: FleetView, model: str) -> Iterator[Flag]:
    """Yield the flags of a model and of its versions, in a fixed order."""
    names: list[str | None] = [None, *(version.version for version in view.by_model.get(model, ()))]
    for version in names:
        for kind in Kind:
            found = evaluate(view, FlagKey(Target(model, version), kind), None)
            if found is not None:
                yield found[0]


def _flag(key: FlagKey, ruling: Ruling) -> Flag:
    metadata = {"state": ruling.state, "model": ruling.model or "", "version": ruling.version or ""}
    if ruling.route:
        metadata["route"] = ruling.route
    if ruling.fallback and ruling.route == "fallback":
        metadata["fallback"] = ruling.fallback
    serving = key.kind is Kind.SERVING
    return Flag(
        key=str(key),
        value=ruling.allowed if serving else ruling.state,
        reason="TARGETING_MATCH" if ruling.enforced else "STATIC",
        variant=("open" if ruling.allowed else "closed") if serving else ruling.state,
        metadata=metadata,
    )

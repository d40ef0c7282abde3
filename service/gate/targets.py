"""Which model does a gateway ask about? Read from the path, or from the headers that carry the original path.

Recognised, after the gate's own prefix or in ``X-Forwarded-Uri`` or ``X-Original-URI``::

    v2/models/{model}[/versions/{version}][/...]
    v1/models/{model}[/versions/{version}][:predict][/...]
    {model}/{version}[/...]
    {model}
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

UNCLEAR = re.compile(r"[%\\;\x00-\x1f\x7f]")
"""What servers read in different ways: left-over escapes, backslashes, path parameters, control characters."""


@dataclass(frozen=True, slots=True)
class Target:
    """The model and, when the path names one, the version."""

    model: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """A path that the model server might read in another way than we do: never let through."""

    reason: str


Reading = Target | Ambiguous | None
"""``None``: no template fits."""


def read_targets(tail: str, forwarded: Sequence[str]) -> tuple[Reading, ...]:
    """Return what is asked about.

    The path after the gate's prefix decides alone when there is one. Otherwise every forwarded path counts, because a
    client behind the gateway may have added one of them: the caller lets traffic through only if all may pass.

    Parameters
    ----------
    tail
        The rest of the gate's own path, percent-decoded.
    forwarded
        Values of the headers with the original URI, as they came.
    """
    if tail:
        return (parse_path(tail),)
    return tuple(parse_path(_path_of(uri)) for uri in forwarded) or (None,)


def parse_path(path: str) -> Reading:
    """Return what a decoded path is about."""
    parts = [part for part in path.split("/") if part]
    if "." in parts or ".." in parts:
        return Ambiguous("the path has '.' or '..' segments")
    if UNCLEAR.search(path):
        return Ambiguous("the path has characters that servers read in different ways")
    model, version = _fit(parts)
    if model is None:
        return None
    return Target(_before_verb(model), None if version is None else _before_verb(version))


def _fit(parts: list[str]) -> tuple[str | None, str | None]:
    """Return model and version by the first template that fits."""
    model: str | None = None
    version: str | None = None
    match parts:
        case ["v1" | "v2", "models", name, "versions", number, *_]:
            model, version = name, number
        case ["v1" | "v2", "models", name, *_]:
            model = name
        case ["v1" | "v2", *_]:
            pass
        case [name, number, *_]:
            model, version = name, number
        case [name]:
            model = name
        case _:
            pass
    return model, version


def _before_verb(segment: str) -> str:
    """``fraud:predict`` is about ``fraud``."""
    return segment.partition(":")[0]


def _path_of(uri: str) -> str:
    """Return the decoded path of a URI or of a path with a query."""
    head = uri.partition("#")[0].partition("?")[0]
    scheme, found, rest = head.partition("://")
    if found and "/" not in scheme:
        head = rest.partition("/")[2]
    return unquote(head, errors="replace")

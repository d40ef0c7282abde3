"""What the columns of a reference file mean, and whether they fit the schema."""

from collections.abc import Iterable, Sequence

from service.domain.errors import Place, Unprocessable
from service.domain.schema import ERROR, LATENCY, PREDICTION, PROBABILITY_PREFIX, Schema
from service.ingest.layout import Layout

NAMED_MAX = 20
"""Columns that one message names."""
FINGERPRINT = "fingerprint"
_EVENT_FIELDS = frozenset({"event_id", "principal", "segment", "attributions", FINGERPRINT, "embedding"})
_EVENT_PREFIXES = ("segment.", "attributions.")


def feature_of(column: str) -> str:
    """Return the feature that a column of a file holds, if it is one."""
    return column.removeprefix("features.")


def is_segment(column: str, layout: Layout) -> bool:
    """Tell whether a column holds the one segment that is kept."""
    return layout.segment is not None and column == f"segment.{layout.segment}"


def is_print(column: str, layout: Layout) -> bool:
    """Tell whether a column holds fingerprints: unless the schema has a feature of that name."""
    return column == FINGERPRINT and all(feature.name != FINGERPRINT for feature in layout.schema.features)


def is_optional(column: str) -> bool:
    """Tell whether a column is what an event may carry besides features."""
    return column in {PREDICTION, LATENCY, ERROR, "timestamp"} or column.startswith(PROBABILITY_PREFIX)


def check_features(names: Sequence[str], layout: Layout) -> None:
    """Refuse a file that lacks features of the schema.

    Raises
    ------
    Unprocessable
        Naming what is only in the schema and what is only in the file.
    """
    there = {feature_of(name) for name in names}
    if layout.lone_embedding is not None and "embedding" in names:
        there.add(layout.lone_embedding)
    missing = [name for name in layout.stored if name not in there]
    if not missing:
        return
    detail = f"in the schema but not in the file: {_named(missing)}"
    extra = extra_columns(names, layout.schema)
    if extra:
        detail += f"; in the file but not in the schema: {_named(extra)}"
    places = [Place(f"features.{name}", "is in the schema but not in the file") for name in missing]
    places += [Place(name, "is in the file but not in the schema") for name in extra]
    raise Unprocessable(f"the columns do not match the schema: {detail}", places=places[: layout.limits.errors_max])


def extra_columns(names: Iterable[str], schema: Schema) -> list[str]:
    """Return the columns of a file that mean nothing to the schema."""
    known = {feature.name for feature in schema.features}
    return [
        name
        for name in names
        if feature_of(name) not in known
        and not is_optional(name)
        and name not in _EVENT_FIELDS
        and not name.startswith(_EVENT_PREFIXES)
    ]


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMED_MAX])
    return shown if len(names) <= NAMED_MAX else f"{shown} and {len(names) - NAMED_MAX} more"

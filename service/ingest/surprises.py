"""Parts of an event that telemetry knows and one schema gives no meaning: they are ignored, and named.

An embedding where the schema has none to take it, the probability of a class that it does not name, the attribution of
a feature that it does not have. Keys of ``segment`` are free and kept, so none of them is a surprise.
"""

from collections.abc import Iterable

from service.domain.schema import PROBABILITY_PREFIX
from service.ingest.layout import Layout

EMBEDDING = "embedding"
ATTRIBUTION_PREFIX = "attributions."


def surprises(layout: Layout, *, embedding: bool, classes: Iterable[str], attributed: Iterable[str]) -> tuple[str, ...]:
    """Return what of a request has no meaning, by dotted names in the order of the alphabet.

    Parameters
    ----------
    layout
        Of the schema.
    embedding
        Whether an event has an embedding of its own, outside its features.
    classes
        Whose probabilities came.
    attributed
        Features whose attributions came.
    """
    found = [EMBEDDING] if embedding and layout.lone_embedding is None else []
    if layout.classes is not None:
        found += [PROBABILITY_PREFIX + name for name in set(classes).difference(layout.classes)]
    found += [ATTRIBUTION_PREFIX + name for name in set(attributed).difference(layout.stored, layout.dropped)]
    return tuple(sorted(found)) if found else ()

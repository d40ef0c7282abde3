"""Registering what is registered already: the same again, or a conflict that says what differs."""

from service.domain.differences import differences
from service.domain.errors import Conflict, Place
from service.domain.ids import Actor
from service.domain.records import Version
from service.domain.schema import Schema

PLACES_MAX = 100


def unchanged(known: Version, schema: Schema, deployed_by: Actor | None) -> Version:
    """Return a known version, or raise Conflict naming what differs from it."""
    differs = []
    if known.schema.prediction != schema.prediction:
        differs.append("prediction")
    before, after = ({f.name: f for f in s.features} for s in (known.schema, schema))
    differs += [f"features.{name}" for name in sorted(before.keys() | after) if before.get(name) != after.get(name)]
    if not differs and known.schema != schema:
        differs.append("the order of the features")
    if deployed_by is not None and deployed_by != known.deployed_by:
        differs.append("deployed_by")
    if differs:
        shown = ", ".join(differs[:20])
        places = differences(known.schema, schema)
        if "deployed_by" in differs:
            places.append(Place("deployed_by", f"is '{deployed_by}', but the version has '{known.deployed_by}'"))
        detail = f"version '{known.model}/{known.version}' exists and differs in: {shown}"
        raise Conflict(detail, places=places[:PLACES_MAX])
    return known

"""A schema as a client writes it, checked whole: every bad place is named at once."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from service.domain.errors import Place, Unprocessable
from service.domain.schema import (
    RESERVED_NAMES,
    RESERVED_PREFIXES,
    Classification,
    Feature,
    FeatureKind,
    Prediction,
    PredictionKind,
    Schema,
    Treatment,
)
from service.ingest.limits import Limits
from service.ingest.values import storable, text

NAME_CHARACTERS_MAX = 256
ALLOWED_TREATMENTS: Mapping[FeatureKind, tuple[Treatment, ...]] = {
    # A hash of a number is a category that nothing can be learnt from; of an embedding neither.
    FeatureKind.NUMERIC: (Treatment.KEEP, Treatment.BUCKET, Treatment.DROP),
    FeatureKind.CATEGORICAL: (Treatment.KEEP, Treatment.HASH, Treatment.BUCKET, Treatment.DROP),
    FeatureKind.EMBEDDING: (Treatment.KEEP, Treatment.DROP),
}
_FORBIDDEN = frozenset('"\\')
_E = TypeVar("_E", bound=StrEnum)


def parse_schema(value: object, limits: Limits) -> Schema:
    """Return the schema that a decoded JSON object describes.

    Raises
    ------
    Unprocessable
        With every bad place.
    """
    reader = _Reader(limits)
    schema = reader.schema(value)
    if reader.places:
        raise Unprocessable("the schema is not valid", places=reader.places[: limits.errors_max])
    return schema


def bad_schema(value: object, limits: Limits) -> list[Place]:
    """Return what is wrong with a schema, if anything."""
    reader = _Reader(limits)
    reader.schema(value)
    return reader.places[: limits.errors_max]


class _Reader:
    """Reads on after a bad place, so that one answer names them all."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.places: list[Place] = []

    def schema(self, value: object) -> Schema:
        fields = self._object("schema", value, {"features", "prediction"})
        features: tuple[Feature, ...] = ()
        if isinstance(fields.get("features"), list) and fields["features"]:
            features = self._features(fields["features"])
        elif isinstance(value, dict):
            self._bad("schema.features", "must be a list of at least one feature")
        prediction = Prediction(kind=PredictionKind.CLASS)
        if "prediction" in fields:
            prediction = self._prediction(fields["prediction"])
        elif isinstance(value, dict):
            self._bad("schema.prediction", "is missing")
        columns = len(features) + len(prediction.classes or ())
        if columns > self._limits.columns_max:
            self._bad("schema", f"{columns} features and classes; limit columns_max: {self._limits.columns_max}")
        return Schema(features=features, prediction=prediction)

    def _features(self, values: list[object]) -> tuple[Feature, ...]:
        if len(values) > self._limits.columns_max:
            self._bad("schema.features", f"{len(values)} features; limit columns_max: {self._limits.columns_max}")
            return ()
        features = tuple(self._feature(f"schema.features[{i}]", value) for i, value in enumerate(values))
        first: dict[str, int] = {}
        for i, feature in enumerate(features):
            if feature.name and first.setdefault(feature.name, i) != i:
                here, there = (f"schema.features[{place}].name" for place in (i, first[feature.name]))
                self._bad(here, f"{feature.name!r} is the name of feature {first[feature.name]}")
                self._bad(there, f"{feature.name!r} is the name of feature {i} too")
        return features

    def _feature(self, at: str, value: object) -> Feature:
        known = {"name", "kind", "dimension", "classification", "treatment"}
        fields = self._object(at, value, known)
        if not isinstance(value, dict):
            return Feature(name="", kind=FeatureKind.NUMERIC)
        feature = Feature(
            name=self._name(f"{at}.name", fields.get("name")),
            kind=self._choice(f"{at}.kind", FeatureKind, fields.get("kind")) or FeatureKind.NUMERIC,
            dimension=fields.get("dimension"),
            classification=self._choice(
                f"{at}.classification", Classification, fields.get("classification", "internal")
            )
            or Classification.INTERNAL,
            treatment=self._choice(f"{at}.treatment", Treatment, fields.get("treatment", "keep")) or Treatment.KEEP,
        )
        if isinstance(fields.get("kind"), str) and fields["kind"] in set(FeatureKind):
            self._dimension(at, feature)
            self._treatment(at, feature)
        return feature

    def _name(self, at: str, value: object) -> str:
        if not isinstance(value, str) or not value:
            self._bad(at, "must be text that is not empty")
            return ""
        if len(value) > NAME_CHARACTERS_MAX:
            self._bad(at, f"has {len(value)} characters; at most {NAME_CHARACTERS_MAX}")
        elif not storable(value) or not value.isprintable() or not _FORBIDDEN.isdisjoint(value):
            self._bad(at, "has a quote, a backslash or a character that cannot be printed")
        elif value in RESERVED_NAMES:
            self._bad(at, f"{value!r} is reserved for what every event may carry")
        elif value.startswith(RESERVED_PREFIXES):
            prefix = next(prefix for prefix in RESERVED_PREFIXES if value.startswith(prefix))
            self._bad(at, f"{value!r} starts with {prefix!r}, which is reserved")
        return value

    def _dimension(self, at: str, feature: Feature) -> None:
        dimension: object = feature.dimension
        place = f"{at}.dimension"
        if feature.kind is not FeatureKind.EMBEDDING:
            if dimension is not None:
                self._bad(place, f"only an embedding has a dimension, but {at}.kind is '{feature.kind}'")
                self._bad(f"{at}.kind", f"is '{feature.kind}', but {place} says that it is an embedding")
            return
        most = self._limits.embedding_dimension_max
        if dimension is None:
            self._bad(place, "is missing: an embedding needs its dimension")
        elif type(dimension) is not int or not 1 <= dimension <= most:
            self._bad(place, f"must be an integer from 1 to {most} (limit embedding_dimension_max)")

    def _treatment(self, at: str, feature: Feature) -> None:
        allowed = ALLOWED_TREATMENTS[feature.kind]
        place, treatment = f"{at}.treatment", feature.treatment
        if treatment not in allowed:
            self._bad(place, f"{treatment} is not possible for a feature of kind {feature.kind}; {_one_of(allowed)}")
            self._bad(f"{at}.kind", f"is '{feature.kind}', but {place} is '{treatment}'")
        elif feature.classification is Classification.RESTRICTED and treatment is Treatment.KEEP:
            others = [treatment for treatment in allowed if treatment is not Treatment.KEEP]
            self._bad(place, f"a restricted feature may not be stored as it is; {_one_of(others)}")
            self._bad(f"{at}.classification", f"is 'restricted', but {place} is 'keep', which is the default")

    def _prediction(self, value: object) -> Prediction:
        at = "schema.prediction"
        fields = self._object(at, value, {"kind", "classes"})
        if not isinstance(value, dict):
            return Prediction(kind=PredictionKind.CLASS)
        kind = self._choice(f"{at}.kind", PredictionKind, fields.get("kind"))
        classes = fields.get("classes")
        if classes is None:
            return Prediction(kind=kind or PredictionKind.CLASS)
        if kind is PredictionKind.NUMBER:
            self._bad(f"{at}.classes", f"only a prediction of kind class has classes, but {at}.kind is 'number'")
            self._bad(f"{at}.kind", f"is 'number', but {at}.classes names classes")
        if not isinstance(classes, list) or not classes:
            self._bad(f"{at}.classes", "must be a list of at least one class")
            return Prediction(kind=PredictionKind.CLASS)
        names = [self._class(f"{at}.classes[{i}]", each) for i, each in enumerate(classes)]
        for i, name in enumerate(names):
            if name is not None and names.index(name) != i:
                self._bad(f"{at}.classes[{i}]", f"{name!r} is there twice")
                self._bad(f"{at}.classes[{names.index(name)}]", f"{name!r} is there twice, also at {at}.classes[{i}]")
        return Prediction(kind=PredictionKind.CLASS, classes=tuple(name for name in names if name is not None))

    def _class(self, at: str, value: object) -> str | None:
        name = None if value is None else text(value)
        if not name:
            self._bad(at, "must be text that is not empty, or a number")
        elif len(name) > NAME_CHARACTERS_MAX:
            self._bad(at, f"has {len(name)} characters; at most {NAME_CHARACTERS_MAX}")
        return name

    def _object(self, at: str, value: object, known: set[str]) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            self._bad(at, "must be an object")
            return {}
        for key in sorted(map(str, value.keys() - known)):
            self._bad(f"{at}.{_printable(key)}", f"is not known; {_one_of(sorted(known))}")
        return value

    def _choice(self, at: str, choices: type[_E], value: object) -> _E | None:
        for choice in choices:
            if choice == value:
                return choice
        self._bad(at, "is missing" if value is None else _one_of(list(choices)))
        return None

    def _bad(self, at: str, reason: str) -> None:
        self.places.append(Place(at, reason))


def _one_of(choices: Sequence[str]) -> str:
    return f"must be one of {', '.join(map(str, choices))}"


def _printable(name: str) -> str:
    return name[:64] if name.isprintable() else ascii(name[:64])

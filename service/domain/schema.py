"""What a model version's telemetry looks like: its features, its prediction, and how each may be stored."""

from enum import StrEnum

import msgspec


class FeatureKind(StrEnum):
    """How a feature's values are counted."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    EMBEDDING = "embedding"


class Classification(StrEnum):
    """How sensitive a feature's values are."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential"
    RESTRICTED = "restricted"


class Treatment(StrEnum):
    """What happens to a feature's values before anything is stored."""

    KEEP = "keep"
    HASH = "hash"
    BUCKET = "bucket"
    DROP = "drop"


class PredictionKind(StrEnum):
    """What the model answers."""

    CLASS = "class"
    NUMBER = "number"


class Feature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input of the model."""

    name: str
    kind: FeatureKind
    dimension: int | None = None
    classification: Classification = Classification.INTERNAL
    treatment: Treatment = Treatment.KEEP


class Prediction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The model's answer."""

    kind: PredictionKind
    classes: tuple[str, ...] | None = None


class Schema(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a version may send. Order is the order of declaration and never changes for a version."""

    features: tuple[Feature, ...]
    prediction: Prediction

    def of_kind(self, kind: FeatureKind) -> tuple[Feature, ...]:
        """Return the stored features of one kind: those whose treatment is not ``drop``."""
        return tuple(f for f in self.features if f.kind is kind and f.treatment is not Treatment.DROP)


PREDICTION = "prediction"
LATENCY = "latency_ms"
ERROR = "error"
NO_ERROR = "no error"
"""The label of events that name none, in the column of errors."""
SOME_ERROR = "error"
"""The label of those that do not say which kind it was."""
PROBABILITY_PREFIX = "probabilities."
SCORE_PREFIX = "score."
PERFORMANCE_PREFIX = "performance."
"""Of the columns that labels make of answers."""
UNKNOWN_FIELDS = "features.unknown_fields"
"""Column of a frame that says which fields no schema knows its events had. No feature can have this name."""
UNKNOWN_SEPARATOR = ", "
"""Between the fields of one request in that column."""
RESERVED_NAMES = frozenset({PREDICTION, LATENCY, ERROR, "event_id", "timestamp", "principal"})
RESERVED_PREFIXES = (PROBABILITY_PREFIX, SCORE_PREFIX, PERFORMANCE_PREFIX, "features.", "segment.", "attributions.")

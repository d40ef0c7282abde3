"""What a schema makes of a batch: which columns there are, in which order."""

from service.domain.schema import FeatureKind, PredictionKind, Schema
from service.ingest.limits import Limits


class Layout:
    """The columns of one schema, worked out once.

    Attributes
    ----------
    numeric, categorical : tuple of str
        Stored features, in the order of the schema.
    embeddings : dict of str to int
        Stored embeddings and their dimension.
    stored : tuple of str
        All of these.
    dropped : tuple of str
        Features that may come but are never stored.
    lone_embedding : str or None
        The embedding that an event's own ``embedding`` means: there is one only when the schema has exactly one.
    classes : tuple of str or None
        Of the prediction, when the schema names them.
    segment : str or None
        The key of ``segment`` that is kept of reference data: the one that a policy divides the traffic by.
    beside : str or None
        The feature that an event of reference data may have beside its features: the column of labels.
    """

    def __init__(self, schema: Schema, limits: Limits, segment: str | None = None, beside: str | None = None) -> None:
        self.schema = schema
        self.limits = limits
        self.segment = segment
        self.beside = beside
        self.numeric = tuple(feature.name for feature in schema.of_kind(FeatureKind.NUMERIC))
        self.categorical = tuple(feature.name for feature in schema.of_kind(FeatureKind.CATEGORICAL))
        self.embeddings = {feature.name: feature.dimension or 0 for feature in schema.of_kind(FeatureKind.EMBEDDING)}
        self.stored = (*self.numeric, *self.categorical, *self.embeddings)
        self.dropped = tuple(feature.name for feature in schema.features if feature.name not in self.stored)
        embeddings = [feature.name for feature in schema.features if feature.kind is FeatureKind.EMBEDDING]
        self.lone_embedding = embeddings[0] if len(embeddings) == 1 else None
        self.classes = schema.prediction.classes
        self.number_predicted = schema.prediction.kind is PredictionKind.NUMBER
        self.width = len(schema.features) + sum(self.embeddings.values())
        """Cells of one row, as far as the schema says."""
        self.rows_max = min(limits.rows_max, max(1, limits.cells_max // max(1, self.width)))
        """Rows of one batch: fewer for a schema so wide that empty events would fill the memory."""

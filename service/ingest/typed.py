"""The fast way in: msgspec structs compiled from the schema, so that no value is touched by Python code.

It takes clean bodies only. Whatever it does not accept, be it one mistyped value, comes back as ``None`` and is read
again by ``lenient``, which knows why.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain
from operator import itemgetter
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import astuple

from service.ingest.layout import Layout
from service.ingest.lists import Lists, class_names, segment_names
from service.ingest.steps import Steps, run
from service.ingest.surprises import surprises
from service.ingest.values import Values, sent

Number = float | None
EVENT_FIELDS = (
    "features",
    "event_id",
    "timestamp",
    "principal",
    "prediction",
    "probabilities",
    "latency_ms",
    "segment",
    "attributions",
    "embedding",
    "fingerprint",
    "error",
)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*?)`(?: - at `\$[^`]*`)?\Z", re.DOTALL)
"""What the decoder says of it."""
Kinds = Mapping[str, Any]
"""A type for each field of an event but ``features``."""


class TypedDecoder:
    """JSON rows, columns and lines of one layout, typed.

    Parameters
    ----------
    layout : Layout
        The columns.
    exact : bool
        Refuse fields that the schema does not know. An exact decoder reads nothing deeper than the types go, so it
        needs no look at the depth of the body first; the other one does.
    """

    def __init__(self, layout: Layout, *, exact: bool) -> None:
        self._layout = layout
        self._exact = exact
        kinds = self._kinds()
        row_features = self._features(lambda kind: kind)
        rows = self._struct("Event", row_features, kinds)
        most = Meta(max_length=layout.rows_max)
        column_features = self._features(lambda kind: Annotated[list[kind], most])  # type: ignore[valid-type]
        columns = self._struct("Columns", column_features, self._column_kinds(kinds, most))
        body = msgspec.defstruct(
            "Body",
            [("events", Annotated[list[rows], most] | UnsetType, UNSET), ("columns", columns | UnsetType, UNSET)],  # type: ignore[valid-type]
            forbid_unknown_fields=exact,
        )
        self._blank = row_features()
        self._body: msgspec.json.Decoder[Any] = msgspec.json.Decoder(body)
        self._line: msgspec.json.Decoder[Any] = msgspec.json.Decoder(rows)

    def parse(self, body: bytes) -> "Parsed | None":
        """Return what a JSON body holds, or ``None`` if it is not as clean as the types."""
        try:
            decoded = self._body.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if (decoded.events is UNSET) == (decoded.columns is UNSET):
            return None
        return Parsed(decoded.events, None) if decoded.columns is UNSET else Parsed((), decoded.columns)

    def parse_lines(self, body: bytes) -> "Parsed | None":
        """Return what an NDJSON body holds, or ``None`` if it is not as clean as the types."""
        try:
            events = self._line.decode_lines(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        lines = body.count(b"\n") + (not body.endswith(b"\n"))
        # Two events on a line, or one over two, or blank lines: the lenient reader goes line by line.
        if len(events) != lines or len(events) > self._layout.rows_max:
            return None
        return Parsed(events, None)

    def unknown(self, body: bytes, *, lines: bool) -> str | None:
        """Return the first field that the schema does not know, of a body that is clean but for such fields."""
        try:
            self._line.decode_lines(body) if lines else self._body.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            found = _UNKNOWN.match(str(error))
            return None if found is None else found[1]
        return None

    def lists(self, parsed: "Parsed") -> Lists | None:
        """Return the batch, or ``None`` if its envelope is not clean."""
        return run(self.listing(parsed))

    def listing(self, parsed: "Parsed") -> Steps[Lists | None]:
        """Do the same step by step."""
        if parsed.columns is not None:
            return self._columns(parsed.columns)
        return (yield from self._rows(parsed.events))

    def _kinds(self) -> Kinds:
        limits = self._layout.limits
        # A character is at most four bytes, so no string of these lengths can pass the limit, which is in bytes.
        characters = limits.string_bytes_max // 4
        string = Annotated[str, Meta(max_length=characters)]
        name = Annotated[str, Meta(min_length=1, max_length=characters)]
        scalar = string | int | float | bool | None
        return {
            "event_id": name | None,
            "timestamp": Annotated[datetime, Meta(tz=True)] | None,
            "principal": name | None,
            "prediction": Number if self._layout.number_predicted else scalar,
            "probabilities": dict[name, Number] | None,
            "latency_ms": Number,
            "segment": dict[name, scalar] | None,
            "attributions": dict[string, Number] | None,
            "embedding": Annotated[list[float], Meta(max_length=limits.embedding_dimension_max)] | None,
            "fingerprint": Annotated[list[int], Meta(max_length=64)] | string | None,
            "error": scalar,
            "scalar": scalar,
        }

    def _column_kinds(self, kinds: Kinds, most: Meta) -> Kinds:
        columns: dict[str, Any] = {
            field: Annotated[list[kind], most] | None  # type: ignore[valid-type]
            for field, kind in kinds.items()
        }
        numbers, scalars = Annotated[list[Number], most], columns["scalar"]
        columns.update(
            probabilities=dict[str, numbers] | None,  # type: ignore[valid-type]
            segment=dict[str, scalars] | None,  # type: ignore[valid-type]
            attributions=dict[str, numbers] | None,  # type: ignore[valid-type]
        )
        return columns

    def _features(self, wrap: Any) -> type[Struct]:
        layout, kinds = self._layout, self._kinds()
        typed = [
            *[(name, Number) for name in layout.numeric],
            *[(name, kinds["scalar"]) for name in layout.categorical],
            *[(name, kinds["embedding"]) for name in layout.embeddings],
            *[(name, kinds["scalar"] | kinds["embedding"]) for name in layout.dropped],
        ]
        # Fields have safe names of their own; a feature may be called anything.
        return msgspec.defstruct(
            "Features",
            [(f"f{i}", wrap(kind) | None, None) for i, (_, kind) in enumerate(typed)],
            rename={f"f{i}": name for i, (name, _) in enumerate(typed)},
            gc=False,
            forbid_unknown_fields=self._exact,
        )

    def _struct(self, name: str, features: type[Struct], kinds: Kinds) -> type[Struct]:
        first: tuple[Any, ...] = ("features", features)
        if self._layout.lone_embedding is not None:
            first = ("features", features | UnsetType, UNSET)
        rest = [(field, kinds[field], None) for field in EVENT_FIELDS[1:]]
        return msgspec.defstruct(name, [first, *rest], gc=False, forbid_unknown_fields=self._exact)

    def _rows(self, events: Sequence[Struct]) -> Steps[Lists | None]:
        if not events:
            return None
        layout = self._layout
        columns: dict[str, Any] = dict(zip(EVENT_FIELDS, zip(*map(astuple, events), strict=True), strict=True))
        structs, embedding = columns["features"], columns["embedding"]
        if layout.lone_embedding is not None:
            if any(one is UNSET and vector is None for one, vector in zip(structs, embedding, strict=True)):
                return None
            structs = [self._blank if one is UNSET else one for one in structs]
        yield
        features = list(zip(*map(astuple, structs), strict=True))
        yield
        probabilities, segments, attributions = columns["probabilities"], columns["segment"], columns["attributions"]
        classes, attributed = _keys(probabilities), _keys(attributions)
        keyed = Keyed(
            _by_name(probabilities, class_names(layout, classes)),
            _by_name(segments, segment_names(_keys(segments))),
            _by_name(attributions, [name for name in layout.stored if name in attributed]),
            surprises(layout, embedding=sent(embedding), classes=classes, attributed=attributed),
        )
        return self._lists(len(events), features, columns, keyed)

    def _columns(self, columns: Struct) -> Lists | None:
        fields = dict(zip(EVENT_FIELDS, astuple(columns), strict=True))
        structs = fields["features"]
        if structs is UNSET and fields["embedding"] is None:
            return None
        features = astuple(self._blank if structs is UNSET else structs)
        probabilities, segments = fields["probabilities"] or {}, fields["segment"] or {}
        attributions = fields["attributions"] or {}
        plain = [values for values in fields.values() if isinstance(values, list)]
        known = [values for values in (*features, *plain) if values is not None]
        lengths = set(map(len, chain(known, probabilities.values(), segments.values(), attributions.values())))
        if len(lengths) != 1 or lengths == {0}:
            return None
        rows = lengths.pop()
        absent = (None,) * rows
        keyed = Keyed(
            {name: probabilities.get(name, ()) for name in class_names(self._layout, probabilities)},
            {name: segments[name] for name in segment_names(segments)},
            attributions,
            surprises(
                self._layout,
                embedding=sent(fields["embedding"] or ()),
                classes=probabilities,
                attributed=attributions,
            ),
        )
        filled = {field: absent if values is None else values for field, values in fields.items()}
        return self._lists(rows, [absent if values is None else values for values in features], filled, keyed)

    def _lists(self, rows: int, features: Sequence[Values], columns: Mapping[str, Any], keyed: "Keyed") -> Lists:
        layout = self._layout
        numbers, labels = len(layout.numeric), len(layout.numeric) + len(layout.categorical)
        embeddings = dict(zip(layout.embeddings, features[labels:], strict=False))
        lone, vectors = layout.lone_embedding, columns["embedding"]
        if lone in embeddings and sent(vectors):
            inner = embeddings[lone]
            embeddings[lone] = [two if one is None else one for one, two in zip(vectors, inner, strict=True)]
        return Lists(
            rows=rows,
            numeric=features[:numbers],
            categorical=features[numbers:labels],
            embeddings=embeddings,
            event_ids=columns["event_id"],
            timestamps=columns["timestamp"],
            principals=columns["principal"],
            predictions=columns["prediction"],
            probabilities=keyed.probabilities,
            latencies=columns["latency_ms"],
            segments=keyed.segments,
            attributions=keyed.attributions,
            fingerprints=columns["fingerprint"],
            errors=columns["error"],
            unknown=keyed.unknown,
        )


class Parsed(NamedTuple):
    """A body as structs: its events, or its columns."""

    events: Sequence[Struct]
    columns: Struct | None


class Keyed(NamedTuple):
    """Columns that have a name of their own each."""

    probabilities: Mapping[str, Values]
    segments: Mapping[str, Values]
    attributions: Mapping[str, Values]
    unknown: Sequence[str]
    """Of these and of the embedding, names that the schema gives no meaning."""


def _keys(objects: Sequence[Mapping[str, object] | None]) -> set[str]:
    if not sent(objects):
        return set()
    try:
        return set[str]().union(*objects)  # type: ignore[arg-type]  # mostly each event has an object
    except TypeError:
        return set[str]().union(*filter(None, objects))


def _by_name(objects: Sequence[Mapping[str, object] | None], names: Sequence[str]) -> Mapping[str, Values]:
    if not sent(objects):
        return {}
    try:
        # Mostly each event has an object, and each object all the names.
        return {name: list(map(itemgetter(name), objects)) for name in names}  # type: ignore[arg-type]  # as above
    except (KeyError, TypeError):
        pass
    return {name: [None if one is None else one.get(name) for one in objects] for name in names}

"""Columnar JSON, leniently: the envelope names every column that does not fit; values only count."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import compress
from typing import Any

from service.domain.errors import Place, Unprocessable
from service.ingest.envelope import (
    Refusals,
    bad_segment,
    bad_text,
    check_rows,
    check_text,
    check_time,
    type_name,
)
from service.ingest.layout import Layout
from service.ingest.lists import Lists, class_names, segment_names
from service.ingest.unknown import unknown_in_columns
from service.ingest.values import Values

_PLAIN = ("event_id", "timestamp", "principal", "prediction", "latency_ms", "embedding", "fingerprint", "error")
_KEYED = ("probabilities", "segment", "attributions")


class Columns:
    """The columns of one body, being read."""

    def __init__(self, columns: object, layout: Layout) -> None:
        self._columns: Mapping[str, Any] = columns if isinstance(columns, dict) else {}
        self._layout = layout
        self._places: list[Place] = []
        self._lengths: dict[str, int] = {}
        self._keep: list[bool] = []
        if not isinstance(columns, dict):
            self._bad("columns", f"must be an object, not {type_name(columns)}")

    def read(self) -> tuple[Lists, Refusals]:
        """Return the rows whose envelope is good, and those refused.

        Raises
        ------
        Unprocessable
            Naming every column that is no list or has another length than the others; or if no row is acceptable.
        TooLarge
            Over a limit.
        """
        features: Mapping[str, Values | None] = self._features() if not self._places else {}
        plain = {name: self._list(f"columns.{name}", self._columns.get(name)) for name in _PLAIN}
        keyed = {name: self._keyed(name) for name in _KEYED}
        self._check_lengths()
        if self._places:
            raise Unprocessable("the columns do not fit together", places=self._places)
        rows = next(iter(self._lengths.values()))
        check_rows(rows, self._layout)
        refused, times = self._check_rows(rows, plain, keyed["segment"])
        self._keep = [row not in refused.rows for row in range(rows)]
        if not any(self._keep):
            raise Unprocessable("no event is acceptable", places=refused.places)
        return self._lists(features, plain, keyed, list(compress(times, self._keep))), refused

    def _lists(
        self,
        features: Mapping[str, Values | None],
        plain: Mapping[str, Values | None],
        keyed: Mapping[str, Mapping[str, Values]],
        times: Sequence[datetime | None],
    ) -> Lists:
        layout, kept = self._layout, self._kept
        embeddings = {name: kept(features.get(name)) for name in layout.embeddings}
        lone = layout.lone_embedding
        if lone in embeddings:
            own, inner = kept(plain["embedding"]), embeddings[lone]
            embeddings[lone] = [two if one is None else one for one, two in zip(own, inner, strict=True)]
        probabilities, attributions = keyed["probabilities"], keyed["attributions"]
        return Lists(
            rows=len(times),
            numeric=[kept(features.get(name)) for name in layout.numeric],
            categorical=[kept(features.get(name)) for name in layout.categorical],
            embeddings=embeddings,
            event_ids=kept(plain["event_id"]),  # type: ignore[arg-type]  # text or None: the others were refused
            timestamps=times,
            principals=kept(plain["principal"]),  # type: ignore[arg-type]  # as above
            predictions=kept(plain["prediction"]),
            probabilities={name: kept(probabilities.get(name)) for name in class_names(layout, probabilities)},
            latencies=kept(plain["latency_ms"]),
            segments={name: kept(keyed["segment"][name]) for name in segment_names(keyed["segment"])},
            attributions={name: kept(values) for name, values in attributions.items() if name in layout.stored},
            fingerprints=kept(plain["fingerprint"]),
            errors=kept(plain["error"]),
            unknown=unknown_in_columns(self._columns, layout),
        )

    def _kept(self, values: Values | None) -> Values:
        return (None,) * sum(self._keep) if values is None else list(compress(values, self._keep))

    def _bad(self, at: str, reason: str) -> None:
        if len(self._places) < self._layout.limits.errors_max:
            self._places.append(Place(at, reason))

    def _list(self, at: str, values: object) -> Values | None:
        if values is None:
            return None
        if not isinstance(values, list):
            self._bad(at, f"must be a list, not {type_name(values)}")
            return None
        self._lengths[at] = len(values)
        return values

    def _features(self) -> Mapping[str, Values | None]:
        layout, features = self._layout, self._columns.get("features")
        if isinstance(features, dict):
            known = [name for name in layout.stored if name in features]
            return {name: self._list(f"columns.features.{name}", features[name]) for name in known}
        alone = layout.lone_embedding is not None and isinstance(self._columns.get("embedding"), list)
        if "features" in self._columns or not alone:
            got = f"must be an object, not {type_name(features)}" if "features" in self._columns else "is missing"
            self._bad("columns.features", got)
        return {}

    def _keyed(self, name: str) -> Mapping[str, Values]:
        objects = self._columns.get(name)
        if objects is None:
            return {}
        if not isinstance(objects, dict):
            self._bad(f"columns.{name}", f"must be an object of lists, not {type_name(objects)}")
            return {}
        lists = {}
        for key, values in objects.items():
            if bad_text(key, self._layout.limits):
                self._bad(f"columns.{name}", "has a name that " + str(bad_text(key, self._layout.limits)))
            else:
                lists[key] = self._list(f"columns.{name}.{key}", values)
        return {key: values for key, values in lists.items() if values is not None}

    def _check_lengths(self) -> None:
        if not self._lengths:
            if not self._places:
                self._bad("columns", "has no column with rows")
            return
        usual = Counter(self._lengths.values()).most_common(1)[0][0]
        for at, length in self._lengths.items():
            if length != usual:
                self._bad(at, f"has {length} values where others have {usual}")

    def _check_rows(
        self, rows: int, plain: Mapping[str, Values | None], segments: Mapping[str, Values]
    ) -> tuple[Refusals, list[datetime | None]]:
        limits = self._layout.limits
        refused = Refusals(limits.errors_max)
        for name in ("event_id", "principal"):
            for row, value in enumerate(plain[name] or ()):
                check_text(row, f"columns.{name}[{row}]", value, limits, refused)
        for key, values in segments.items():
            for row, value in enumerate(values):
                reason = bad_segment(value, limits)
                if reason:
                    refused.add(row, f"columns.segment.{key}[{row}]", reason)
        times = plain["timestamp"] or (None,) * rows
        return refused, [
            check_time(row, f"columns.timestamp[{row}]", value, refused) for row, value in enumerate(times)
        ]

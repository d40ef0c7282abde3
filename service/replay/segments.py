"""Segments of a file: which column tells them, and what is normal in each of them."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from detectors.baseline import ROWS_MIN, Baseline, compile_baseline
from detectors.columns import Codes
from detectors.errors import BaselineError
from detectors.evidence import EvidenceEngine, EvidenceOptions
from service.detect.references import References, from_bytes
from service.detect.splitting import places_of
from service.domain.policy import SEGMENT_PREFIX, SEGMENTS_MAX, Segments
from service.frames import Coded
from service.replay.divided import Divided
from service.replay.reference import columns_of, load
from service.replay.sources import Format, ReplayError, Source, read_bytes
from service.replay.ticks import labels_of, values_of
from service.replay.times import times_of

SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """What was asked for: by a policy, or by ``--segments``."""

    column: str
    values: tuple[str, ...] | None
    """``None``: the most frequent ones of the reference that have enough rows."""
    share: float = SHARE
    required: bool = False
    """Whether files without the column are refused, instead of a warning."""


def division_of(text: str) -> Division:
    """Read ``COLUMN`` or ``COLUMN=a,b``; a name with a comma goes in double quotes.

    Raises
    ------
    ReplayError
        When a value is empty, stands twice, or there are too many.
    """
    column, equals, rest = text.partition("=")
    values = tuple(value.strip() for value in next(csv.reader([rest], skipinitialspace=True), [])) if equals else None
    if not column.strip() or (values is not None and not all(values or ("",))):
        raise ReplayError(f"--segments {text!r}: COLUMN or COLUMN=a,b is needed")
    if values is not None and len(set(values)) < len(values):
        twice = next(value for value in values if values.count(value) > 1)
        raise ReplayError(f"--segments {text!r}: {twice!r} stands twice")
    if values is not None and len(values) > SEGMENTS_MAX:
        raise ReplayError(f"--segments {text!r}: {len(values)} values; at most {SEGMENTS_MAX}")
    return Division(column=column.strip(), values=values, required=True)


def of_policy(segments: Segments | None) -> Division | None:
    """Return what a policy declares."""
    if segments is None:
        return None
    return Division(column=segments.column, values=segments.values, share=segments.share)


class Segmenter:
    """Divides what is watched, each division once.

    Parameters
    ----------
    reference : Source
        Where the reference rows are, or a saved baseline.
    source : Source
        The file to replay.
    whole : Baseline
        Of all rows, without columns that are not watched.
    time : str or None
        A column of times: reference rows are put into their order.
    """

    def __init__(self, reference: Source, source: Source, whole: Baseline, time: str | None) -> None:
        self._reference = reference
        self._source = source
        self.whole = whole
        self._time = time
        self._made: dict[Division | None, Divided] = {None: Divided(whole=whole)}
        self.warnings: list[str] = []

    def divided(self, division: Division | None) -> Divided:
        """Return the baselines of a division.

        Raises
        ------
        ReplayError
            When a file has no such column.
        """
        if division not in self._made:
            self._made[division] = self._divide(division) if division is not None else self._made[None]
        return self._made[division]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that tell the segments of all divisions so far."""
        return tuple(dict.fromkeys(own.column for own in self._made.values() if own.column))

    def _divide(self, division: Division) -> Divided:
        try:
            return self._found(division)
        except ReplayError as error:
            if division.required:
                raise
            self.warnings.append(f"{error}; segments have no effect here")
            return Divided(whole=self.whole)

    def _found(self, division: Division) -> Divided:
        column = self._column(division.column)
        if self._reference.format is Format.BASELINE:
            found = self._saved(division, from_bytes(read_bytes(self._reference)))
        else:
            found = self._compiled(division, column)
        kept: dict[str, Baseline] = {}
        for value, part in found.items():
            lacking = part if isinstance(part, str) else EvidenceEngine(part, EvidenceOptions()).insufficient
            if lacking is not None:
                self.warnings.append(f"{_name(division, value)}: {lacking}; not watched by itself")
            elif not isinstance(part, str):
                kept[value] = part
        if not kept:
            raise ReplayError(f"segments: no value of {division.column!r} can be watched by itself")
        segments = Segments(column=division.column, values=tuple(kept), share=division.share)
        return Divided(whole=self.whole, segments=segments, column=column, parts=tuple(kept.values()))

    def _column(self, name: str) -> str:
        """Return what the file calls the column: a key of events' segments may stand there without its prefix."""
        have: list[str] = []
        for sought in ((), None):  # the first rows mostly tell; NDJSON may bring a field later
            have = columns_of(self._source, sought)
            for each in (name, name.removeprefix(SEGMENT_PREFIX)):
                if each in have:
                    return each
        raise ReplayError(f"segments: {self._source.path}: no column {name!r}; it has {', '.join(have[:8])}")

    def _saved(self, division: Division, references: References) -> dict[str, Baseline | str]:
        values = division.values
        if values is None:
            values = tuple(own.value for own in references.segments) if references.column == division.column else ()
        found: dict[str, Baseline | str] = {}
        for value in values:
            own = references.of(division.column, value)
            if own is None:
                found[value] = "the saved baseline has no reference of it"
            else:
                found[value] = own.lacking if own.baseline is None else own.baseline.only(self._plain())
        return found

    def _plain(self) -> list[str]:
        made = {name for space in self.whole.spaces for name in space.columns}
        return [name for name in self.whole.names if name not in made]

    def _compiled(self, division: Division, column: str) -> dict[str, Baseline | str]:
        names = [name for name in self._plain() if name != column]
        if not names:
            raise ReplayError(f"segments: nothing is watched but {column!r}, which tells them")
        wanted = dict.fromkeys([*names, column, *([self._time] if self._time is not None else [])])
        arrays = load(self._reference, list(wanted))
        if not len(arrays[column]) - arrays[column].null_count:
            raise ReplayError(f"segments: {self._reference.path}: column {column!r} is missing or empty")
        return self._parts(division, labels_of(arrays[column]), arrays, names)

    def _parts(
        self, division: Division, labels: Codes, arrays: Mapping[str, Any], names: list[str]
    ) -> dict[str, Baseline | str]:
        plain = self.whole.only(names)
        values = values_of(plain, arrays, len(labels.codes))
        times = None
        if self._time is not None and arrays[self._time].null_count < len(labels.codes):
            times = times_of(f"{self._reference.path}: column {self._time!r}", arrays[self._time], 0)
        told = division.values if division.values is not None else _frequent(labels)
        places = places_of(Coded(labels.labels, labels.codes), told)
        found: dict[str, Baseline | str] = {}
        for place, value in enumerate(told):
            rows = np.flatnonzero(places == place)
            if len(rows) < ROWS_MIN:
                found[value] = f"the reference has {len(rows)} rows of it; at least {ROWS_MIN} are needed"
                continue
            taken = [
                (c.spec, Codes(v.labels, v.codes[rows]) if isinstance(v := values[c.spec.name], Codes) else v[rows])
                for c in plain.columns
            ]
            try:
                found[value] = compile_baseline(taken, times=None if times is None else times[rows]).baseline
            except BaselineError as error:
                found[value] = str(error)
        return found


def _frequent(labels: Codes) -> tuple[str, ...]:
    """Return the labels with enough rows, the most frequent first."""
    number = np.bincount(labels.codes[labels.codes >= 0], minlength=len(labels.labels)).tolist()
    ranked = sorted(zip(labels.labels, number, strict=True), key=lambda each: (-each[1], each[0]))
    return tuple(label for label, rows in ranked if rows >= ROWS_MIN and label)[:SEGMENTS_MAX]


def _name(division: Division, value: str) -> str:
    return Segments(column=division.column, values=(value,)).name_of(value)

"""Single requests of one version: how odd each is by itself. Triage for people: nobody is accused by it."""

from dataclasses import dataclass
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.columns import Values
from detectors.requests import Batch, Judged, reasons
from service.detect.columns import columns_of
from service.detect.edits import Edit, Edits
from service.detect.engines import Engine
from service.detect.request_inputs import UNJUDGED, WRONG
from service.detect.request_measure import RequestMeasure
from service.domain.policy import Tuning
from service.domain.requests import (
    OVER,
    SUSPICIOUS,
    TENTHS,
    OddRequest,
    Requests,
    RequestsSeen,
    RuleKind,
    RuleSeen,
)
from service.frames import Frame, FrameError, decode_attributed, decode_frame
from service.ports import LogEntry

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
ENTRIES_PER_SECOND = 50
"""Each entry of the log costs a millisecond, whatever is in it; small requests share one."""
SHARE_OF_ONE = 5
"""One principal has at most so manieth part of the list, so that a flood of oddities does not hide others'."""
ID_MAX = 200
"""Characters of an event id that are kept."""
REASONS_MAX = 8
DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Looked:
    """Requests that were looked at; such as cannot be judged have neither batch nor ranks."""

    rows: NDArray[np.int64]
    edits: dict[int, list[Edit]]
    """By row of the frame."""
    batch: Batch | None = None
    judged: Judged | None = None
    wrong: NDArray[np.int8]
    """As ``Sieve`` has it; -1 too where the frame lacks inputs."""

    def alone(self, place: int) -> "Looked":
        """Return one of them by itself."""
        one = np.array([place])
        batch = None if self.batch is None else self.batch.taken(one)
        judged = None if self.judged is None else self.judged.taken(place)
        return Looked(rows=self.rows[one], edits=self.edits, batch=batch, judged=judged, wrong=self.wrong[one])


@dataclass(slots=True)
class Listed:
    """A request on the list; what is odd about it is put into words when somebody may read it."""

    seen: OddRequest
    origin: tuple[Looked, int] | None = None
    """Where it is from, as long as it may leave the list at once."""
    alone: Looked | None = None
    """The request by itself, until it has reasons."""

    def settle(self, ids: tuple[str | None, ...]) -> None:
        """Stay on the list: keep what reasons are made of, and the event's id."""
        if self.origin is None:
            return
        (looked, place), self.origin = self.origin, None
        row, self.alone = int(looked.rows[place]), looked.alone(place)
        event_id = ids[row] if row < len(ids) else None
        self.seen = msgspec.structs.replace(self.seen, event_id=event_id and event_id[:ID_MAX])

    @property
    def rank(self) -> tuple[bool, float, int, int]:
        """The oddest are highest; of equals the newest."""
        return self.seen.edited, self.seen.bet, self.seen.position, self.seen.row


class RequestWatch:
    """Looks at requests of one version, as many as there may be in a second, and lists the oddest ones."""

    def __init__(self, measure: RequestMeasure, chosen: Requests, baseline_id: str | None) -> None:
        self._measure, self._chosen = measure, chosen
        self._edits = Edits(measure.rules)
        self._wanted = tuple(dict.fromkeys((*measure.inputs.wanted, *self._edits.wanted)))
        self._second, self._taken, self._entries, self._now_us = -1, 0, 0, 0
        self._examined = self._unexamined = 0
        self._invalid: dict[str, int] = {}
        self._histogram = np.zeros(TENTHS, np.int64)
        self._over = np.zeros(len(OVER), np.int64)
        self._broken = np.zeros(len(measure.model.rules.constraints), np.int64)
        self._edited = np.zeros(len(self._edits.rules), np.int64)
        self._listed: list[Listed] = []
        self._baseline_id = baseline_id
        self._status: msgspec.Raw | None = None

    @classmethod
    def of(cls, engine: Engine | None, tuning: Tuning, baseline_id: str | None) -> Self | None:
        """Return who looks at requests under a baseline; ``None`` when nobody shall, or nothing measures them."""
        if engine is None or engine.requests is None or tuning.requests is None:
            return None
        return cls(engine.requests, tuning.requests, baseline_id)

    def take(self, entry: LogEntry) -> None:
        """Look at the requests of an entry."""
        if entry.arrival_us // SECOND_US != self._second:
            self._second, self._taken, self._entries = entry.arrival_us // SECOND_US, 0, 0
        self._now_us, self._status = entry.arrival_us, None
        left = self._chosen.requests_per_second - self._taken
        if left <= 0 or self._entries >= ENTRIES_PER_SECOND:
            self._unexamined += entry.rows
            return
        try:
            frame = decode_attributed(entry.body)
        except FrameError:
            # Who counts it says so.
            return
        # Evenly spaced over the entry, as the log alone must decide; who knows the limit can tell which are left out.
        rows = np.linspace(0, frame.rows - 1, min(frame.rows, left)).astype(np.int64)
        self._taken += len(rows)
        self._entries += 1
        self._unexamined += frame.rows - len(rows)
        self._look(frame, columns_of(frame, self._wanted), rows, entry)

    def _look(self, frame: Frame, columns: dict[str, Values], rows: NDArray[np.int64], entry: LogEntry) -> None:
        edits = {} if frame.principals is None else self._edits.see(frame.principals, columns, rows)
        for one in (edit.rule for row in edits.values() for edit in row):
            self._edited[one] += 1
        read = self._measure.inputs.read(frame, columns)
        if read is None:
            self._unexamined += len(rows)
            if edits:
                self._list(frame, Looked(rows=rows, edits=edits, wrong=np.full(len(rows), -1, np.int8)), entry)
            return
        wrong = read.wrong[rows]
        for place in np.unique(wrong[wrong >= 0]).tolist():
            self._invalid[WRONG[place]] = self._invalid.get(WRONG[place], 0) + int((wrong == place).sum())
        good = rows[wrong < 0]
        if len(good):
            batch = read.batch.taken(good)
            judged = self._measure.model.judge(batch)
            self._count(judged)
            looked = Looked(rows=good, edits=edits, batch=batch, judged=judged, wrong=wrong[wrong < 0])
            self._list(frame, looked, entry)
        # Who edits what never changes is told of, also where the rest of the request cannot be judged.
        if edits:
            self._list(frame, Looked(rows=rows[wrong >= 0], edits=edits, wrong=wrong[wrong >= 0]), entry)

    def _count(self, judged: Judged) -> None:
        self._examined += len(judged.scores)
        tenths = np.minimum((judged.scores * TENTHS).astype(np.int64), TENTHS - 1)
        self._histogram += np.bincount(tenths, minlength=TENTHS)
        self._over += (judged.scores[:, None] >= np.array(OVER)).sum(axis=0)
        self._broken += judged.broken.sum(axis=1)

    def _list(self, frame: Frame, looked: Looked, entry: LogEntry) -> None:
        """Put the oddest requests of an entry on the list."""
        edited = np.array([row in looked.edits for row in looked.rows.tolist()], np.bool_)
        judged = looked.judged
        scores, bets = (np.zeros(len(edited)),) * 2 if judged is None else (judged.scores, judged.bets)
        odd = np.flatnonzero((scores >= SUSPICIOUS) | edited)
        if not len(odd):
            return
        odd = odd[np.lexsort((bets[odd], edited[odd]))][::-1]
        for place in self._fair(frame, looked, odd.tolist()):
            self._listed.append(Listed(self._seen(frame, looked, place, entry), (looked, place)))
        self._shorten()
        # An id costs the decoding of all ids, and a copy of the request some memory: both only for those that stay.
        staying = [one for one in self._listed if one.origin is not None]
        ids = _ids(entry) if staying else ()
        for one in staying:
            one.settle(ids)

    def _fair(self, frame: Frame, looked: Looked, odd: list[int]) -> list[int]:
        """Return as many of an entry's odd requests as the list holds, of one principal no more than its part."""
        if frame.principals is None:
            return odd[: self._chosen.kept]
        chosen: list[int] = []
        counts: dict[int, int] = {}
        for place in odd:
            code = int(frame.principals.codes[looked.rows[place]])
            counts[code] = counts.get(code, 0) + 1
            if code < 0 or counts[code] <= self._most_of_one:
                chosen.append(place)
            if len(chosen) >= self._chosen.kept:
                break
        return chosen

    def _seen(self, frame: Frame, looked: Looked, place: int, entry: LogEntry) -> OddRequest:
        row = int(looked.rows[place])
        code = -1 if frame.principals is None else int(frame.principals.codes[row])
        judged = looked.judged
        ranks = () if judged is None else judged.ranks[:, place].tolist()
        return OddRequest(
            at_us=entry.arrival_us,
            position=entry.position,
            row=row,
            event_id=None,
            principal=None if frame.principals is None or code < 0 else frame.principals.labels[code],
            score=None if judged is None else round(float(judged.scores[place]), DIGITS),
            bet=0.0 if judged is None else round(float(judged.bets[place]), DIGITS),
            edited=row in looked.edits,
            parts={
                part.value: round(rank, DIGITS) for part, rank in zip(self._measure.model.parts, ranks, strict=False)
            },
            reasons=(),
        )

    @property
    def _most_of_one(self) -> int:
        return max(1, self._chosen.kept // SHARE_OF_ONE)

    def _shorten(self) -> None:
        """Forget what is too old, too much of one principal, or less odd than all others."""
        since_us = self._now_us - round(self._chosen.keep_hours * HOUR_US)
        kept: list[Listed] = []
        counts: dict[str, int] = {}
        for one in sorted(self._listed, key=lambda each: each.rank, reverse=True):
            who = one.seen.principal
            if one.seen.at_us < since_us or (who is not None and counts.get(who, 0) >= self._most_of_one):
                continue
            if who is not None:
                counts[who] = counts.get(who, 0) + 1
            kept.append(one)
        self._listed = kept[: self._chosen.kept]

    def status(self) -> msgspec.Raw:
        """Return what the status says of it, as JSON; written anew after an entry."""
        if self._status is None:
            self._shorten()
            for one in self._listed:
                self._explain(one)
            self._status = msgspec.Raw(msgspec.json.encode(self.seen()))
        return self._status

    def restore(self, status: str) -> None:
        """Go on with the counts and the list of a snapshot's status, where they are of the same baseline and rules."""
        try:
            told = msgspec.json.decode(status, type=_Status).requests
        except msgspec.MsgspecError:
            # Of another release: the list begins anew, and evidence does not depend on it.
            return
        if told is not None:
            self._adopt(told)

    def carry_on(self, before: "RequestWatch") -> None:
        """Go on with the counts and the list of another era, where it was under the same baseline and rules."""
        before.status()
        self._adopt(before.seen())

    def _adopt(self, told: RequestsSeen) -> None:
        if told.baseline_id != self._baseline_id:
            return
        names = [rule.rule for rule in self._rules()]
        if [rule.rule for rule in told.rules] != names or len(told.histogram) != TENTHS or len(told.over) != len(OVER):
            return
        self._examined, self._unexamined, self._invalid = told.examined, told.unexamined, dict(told.invalid)
        self._histogram, self._over = np.array(told.histogram, np.int64), np.array(told.over, np.int64)
        broken = np.array([rule.broken for rule in told.rules], np.int64)
        self._broken, self._edited = broken[: len(self._broken)], broken[len(self._broken) :]
        self._listed = [Listed(one) for one in told.oddest]
        self._now_us = max((one.at_us for one in told.oddest), default=0)

    def seen(self) -> RequestsSeen:
        """Return what was seen so far; those on the list since the last status have no reasons yet."""
        model = self._measure.model
        return RequestsSeen(
            baseline_id=self._baseline_id,
            parts=tuple(part.value for part in model.parts),
            reference_rows=model.rows,
            resolution=1.0 / (model.fusion.size + 1),
            examined=self._examined,
            unexamined=self._unexamined,
            invalid=dict(sorted(self._invalid.items())),
            histogram=tuple(self._histogram.tolist()),
            over=tuple(self._over.tolist()),
            rules=self._rules(),
            oddest=tuple(one.seen for one in self._listed),
        )

    def _rules(self) -> tuple[RuleSeen, ...]:
        model = self._measure.model
        counted = zip(model.rules.constraints, model.held_broken.tolist(), self._broken.tolist(), strict=True)
        found = [
            RuleSeen(
                rule=one.name,
                kind=RuleKind(one.kind.value),
                declared=one.declared,
                columns=one.columns,
                reference=round(held / model.fusion.size, DIGITS),
                broken=broken,
            )
            for one, held, broken in counted
        ]
        for rule, edited in zip(self._edits.rules, self._edited.tolist(), strict=True):
            name = f"{', '.join(rule.columns)} of one {rule.entity}"
            found.append(
                RuleSeen(rule=name, kind=rule.kind, declared=True, columns=rule.columns, reference=None, broken=edited)
            )
        return tuple(found)

    def _explain(self, one: Listed) -> None:
        """Put into words what is odd, without the values of columns that are not to be shown."""
        if one.alone is None:
            return
        alone, one.alone = one.alone, None
        shown = self._measure.shown
        words = [self._edit_words(edit) for edit in alone.edits.get(one.seen.row, [])]
        if alone.batch is None or alone.judged is None:
            words.append(UNJUDGED[int(alone.wrong[0])])
        else:
            found = reasons(self._measure.model, alone.batch, alone.judged, 0)
            words += [why.told if shown.issuperset(why.columns) else why.said for why in found]
        one.seen = msgspec.structs.replace(one.seen, reasons=tuple(words[:REASONS_MAX]))

    def _edit_words(self, edit: Edit) -> str:
        said = f"{edit.column} of one {self._edits.rules[edit.rule].entity} was changed by one principal"
        if edit.column not in self._measure.shown:
            return said
        return f"{said}: {edit.before[:60]!r} became {edit.now[:60]!r}"


class _Status(msgspec.Struct, frozen=True):
    """The part of a snapshot's status that is written here."""

    requests: RequestsSeen | None = None


def _ids(entry: LogEntry) -> tuple[str | None, ...]:
    """Return the event ids of an entry; nothing where it has none."""
    try:
        ids = decode_frame(entry.body).event_ids
    except FrameError:
        return ()
    return () if ids is None else tuple(ids)

"""Single principals of one version: their requests are looked at one by one, and what is found is told once."""

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.columns import SUM_OFF, Values
from detectors.errors import DetectorError, StateError
from detectors.principals.buckets import Buckets
from detectors.principals.membership import APART_IN_TABLES
from detectors.principals.monitor import Principal, Tier
from detectors.principals.packing import Packer
from service.detect.accomplices import findings_of
from service.detect.alone import margin_of
from service.detect.campaigns import BURST_US, Campaigns, Request
from service.detect.columns import columns_of
from service.detect.engines import Engine
from service.detect.flips import Flips
from service.detect.keeping import BYTES_MAX, FORMAT, Cadence, Kept, fitting, kept_from
from service.detect.persistence import Persistent
from service.detect.printed import MATCHED_MIN, Printed, Told, told_by
from service.detect.questions import membership
from service.detect.rations import Ration
from service.detect.reasons import reasons_of
from service.detect.yardsticks import Measure, usable
from service.domain.adversarial import Following
from service.domain.evaluation import UseFound
from service.domain.ids import Micros, Position, VersionId
from service.domain.policy import Tuning
from service.domain.principals import PRINCIPALS_MAX, PrincipalFinding, PrincipalTier
from service.frames import Coded, Frame, FrameError, decode_printed
from service.ports import LogEntry

SAME = 1e-3
"""Share of the typical distance at which an input is one that has been seen."""
TELLS = {
    Tier.PROBING: ("AML.T0040", "AML.T0043.001"),
    Tier.INTENT: ("AML.T0043.001",),
    Tier.EXTRACTION: ("AML.T0005.001", "AML.T0024.002"),
}
COUNTS = (
    "examined",
    "unexamined",
    "invalid",
    "invalid_answers",
    "forgotten",
    "prints",
    "unreadable_prints",
    "foreign_prints",
)
EVADED, VERIFIED = "AML.T0015", "AML.T0042"


@dataclass(slots=True)
class Followed:
    """One principal, as long as it is remembered."""

    principal: Principal
    since_us: Micros
    told: set[Tier] = field(default_factory=set)
    """What was told of; told again once evidence has fallen to nothing."""


class Principals:
    """Follows the principals of one version."""

    def __init__(self, version_id: VersionId, measure: Measure, following: Following) -> None:
        self._version_id = version_id
        self._measure, self._following = measure, following
        self._wanted = measure.wanted
        self._known: OrderedDict[str, Followed] = OrderedDict()
        self._flips = Flips(measure.yardstick.dimension)
        self._ration = Ration(following, measure.space.key)
        self.examined = self.unexamined = self.invalid = self.invalid_answers = self.forgotten = 0
        self.prints = self.unreadable_prints = self.foreign_prints = 0
        self.unkept = 0
        """Principals that begin anew when the worker starts: there was no room to keep them."""
        self._found: list[UseFound] = []
        self._campaigns = Campaigns(measure, following)
        self._persistent = Persistent(calibrated=measure.ranked)
        self._buckets = Buckets(measure.yardstick.population, measure.yardstick.dimension, measure.space.key)
        self._packer = Packer(measure.yardstick)
        self._limits = {tier: measure.thresholds.of(tier) for tier in Tier}
        self._tag = measure.space.tag if isinstance(measure.space, Printed) else 0
        self._began_us = Micros(0)
        self.cadence = Cadence()

    @classmethod
    def of(cls, version_id: VersionId, engine: Engine | None, tuning: Tuning) -> Self | None:
        """Return who follows principals under a baseline; ``None`` when nobody shall, or nothing measures them."""
        if engine is None or engine.measure is None or tuning.follow is None:
            return None
        return cls(version_id, engine.measure, tuning.follow)

    def take(self, entry: LogEntry) -> None:
        """Look at the requests of an entry, as many as there may be in a second."""
        before = self.examined
        self._take_entry(entry)
        self.cadence.took(entry.position, self.examined - before, entry.rows)

    def _take_entry(self, entry: LogEntry) -> None:
        self._began_us = self._began_us or entry.arrival_us
        if not self._ration.is_left(entry.arrival_us):
            self.unexamined += entry.rows
            self._ration.pass_over(entry.rows)
            return
        try:
            frame = decode_printed(entry.body)
        except FrameError:
            # Who counts it says so.
            return
        columns = columns_of(frame, self._wanted)
        if frame.principals is None or not all(name in columns for name in self._measure.needed):
            self.unexamined += frame.rows
            return
        self._take(frame, frame.principals, columns, entry)

    def _take(self, frame: Frame, principals: Coded, columns: Mapping[str, Values], entry: LogEntry) -> None:
        chosen, names = self._ration.choose(principals, entry.arrival_us)
        self.unexamined += frame.rows - len(chosen)
        if not len(chosen):
            return
        told = told_by(frame, self._tag_of) if frame.fingerprints else None
        points, probabilities, answered, good = self._answers(frame, columns, chosen, told)
        absent = self._count_prints(told, chosen)
        self.invalid += int((~good & ~absent).sum())
        self.invalid_answers += int((~answered & ~absent).sum())
        self.unexamined += int((~good & absent).sum())
        found: list[PrincipalFinding] = []
        for i in np.flatnonzero(good).tolist():
            hashes = self._hashes(points[i], told, int(chosen[i]))
            found += self._one(names[i], points[i], probabilities[i], hashes, entry.arrival_us)
        self.examined += int(good.sum())
        if found:
            self._found.append(_use(self._version_id, entry, found))

    @property
    def tag(self) -> int:
        """The tag of our salt; 0 while none has come."""
        return self._tag

    def take_found(self) -> list[UseFound]:
        """Return what was found since the last call."""
        found, self._found = self._found, []
        return found

    def status(self) -> dict[str, object]:
        """Return what the status says of it."""
        limits = self._measure.thresholds
        return {
            "followed": len(self._known),
            "forgotten": self.forgotten,
            "examined": self.examined,
            "unexamined": self.unexamined,
            "invalid": self.invalid,
            "invalid_answers": self.invalid_answers,
            "fingerprints": {
                "taken": self.prints,
                "unreadable": self.unreadable_prints,
                "foreign": self.foreign_prints,
            },
            "campaigns": len(self._campaigns.stories),
            "unkept": self.unkept,
            "thresholds": {tier.value: limits.of(tier) for tier in Tier},
            "calibrated": {tier.value: self._calibrated(tier) for tier in Tier},
            "calibration": self._measure.told(),
            "persistence": self._persistent.status() if self._measure.yardstick.bets is not None else {},
        }

    def due(self, last: Position) -> bytes | None:
        """Return what is to be kept, with the log read up to ``last``; ``None`` while it is not time."""
        if not self.cadence.due(last):
            return None
        content = self.kept(last)
        self.cadence.keep(last, len(content))
        return content

    def kept(self, last: Position) -> bytes:
        """Return all that must be known to go on bit for bit after ``last``, up to where the log is read."""
        pack = self._packer.pack
        stories, index, names = self._campaigns.kept(self._packer)
        known = [(name, _packed((f.since_us, sorted(f.told), pack(f.principal)))) for name, f in self._known.items()]
        known, self.unkept = fitting(known, BYTES_MAX - sum(len(content) for _, content in stories))
        kept = Kept(
            format=FORMAT,
            layout=self._packer.layout,
            position=last,
            began_us=self._began_us,
            tag=self._tag,
            ration=self._ration.turn,
            counts={name: getattr(self, name) for name in COUNTS} | {"betting": self._persistent.betting},
            flips=pack(self._flips.stored()),
            index=index,
            names=names,
            stories=stories,
            known=known,
        )
        return _packed(kept)

    def adopt(self, content: bytes) -> None:
        """Take back what was kept; entries after its position have to be taken again.

        Raises
        ------
        StateError
            When it is of another release, or no such thing: begin anew then.
        """
        kept, unpack = kept_from(content, self._packer.layout), self._packer.unpack
        known: OrderedDict[str, Followed] = OrderedDict()
        for name, packed in kept.known:
            since_us, told, principal = _unpacked(packed)
            known[name] = Followed(unpack(principal), Micros(since_us), {Tier(tier) for tier in told})
        self._campaigns.adopt(self._packer, kept.stories, kept.index, kept.names)
        self._flips.adopt(*unpack(kept.flips))
        self._known, self._tag, self._began_us = known, kept.tag, Micros(kept.began_us)
        self._ration.adopt(kept.ration)
        for name in COUNTS:
            setattr(self, name, kept.counts.get(name, 0))
        self._persistent.adopt(kept.counts.get("betting", 0), [(name, one.principal) for name, one in known.items()])
        self.cadence.keep(Position(kept.position), len(content))

    def _tag_of(self, tags: NDArray[np.int64]) -> int:
        """Return the tag of our salt: that of the reference, else the first one that came."""
        if not self._tag and len(tags):
            self._tag = int(tags[0])
        return self._tag

    def _count_prints(self, told: Told | None, chosen: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Count fingerprints; tell which of the chosen rows have none where that is all there is to compare."""
        needed = isinstance(self._measure.space, Printed)
        if told is None:
            return np.full(len(chosen), needed)
        valid, unreadable, foreign = told.valid[chosen], told.unreadable[chosen], told.foreign[chosen]
        self.prints += int(valid.sum())
        self.unreadable_prints += int(unreadable.sum())
        self.foreign_prints += int(foreign.sum())
        return ~(valid | unreadable | foreign) & needed

    def _answers(
        self, frame: Frame, columns: Mapping[str, Values], chosen: NDArray[np.int64], told: Told | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
        """Return points and probabilities of the chosen rows, which are an answer, and which are fit to be compared."""
        probabilities = self._measure.answers(columns, chosen)
        with np.errstate(invalid="ignore"):
            answered = np.abs(probabilities.sum(axis=1) - 1.0) <= SUM_OFF
        answered &= (probabilities >= 0.0).all(axis=1)
        try:
            if told is not None and isinstance(self._measure.space, Printed):
                points = told.points[chosen]
            else:
                points = self._measure.points(frame, columns)[chosen]
        except (DetectorError, KeyError):
            return np.zeros((len(chosen), 1), np.float32), probabilities, answered, np.zeros(len(chosen), np.bool_)
        return points, probabilities, answered, answered & usable(points)

    def _one(
        self,
        name: str,
        point: NDArray[np.float32],
        answer: NDArray[np.float64],
        hashes: NDArray[np.uint64],
        at_us: Micros,
    ) -> list[PrincipalFinding]:
        followed = self._of(name, at_us)
        label = int(answer.argmax())
        within = SAME * float(self._measure.yardstick.population.typical[label])
        finder = self._flips.finder(point, label, within)
        stories = followed.principal.persistence.stories
        reading = followed.principal.take(point, label, answer)
        over = followed.principal.persistence.stories > stories
        fresh = followed.since_us > max(at_us - BURST_US, self._began_us + BURST_US)
        together = self._together(
            Request(name, point, label, answer, hashes, at_us, fresh, followed.since_us), followed
        )
        found = together + (self._persistent.take(name, self.find, at_us) if over else [])
        if finder is not None and (reading.duplicate or finder != name):
            return found + self._came_again(name, followed, finder, at_us)
        for tier, evidence in reading.evidence.items() if not reading.duplicate else ():
            limit = self._measure.thresholds.of(tier)
            if evidence < limit:
                if evidence <= 0.0:
                    followed.told.discard(tier)
                continue
            flipped = tier is Tier.INTENT and self._remember_flip(name, followed, point, label)
            if tier not in followed.told or flipped:
                followed.told.add(tier)
                found.append(self._finding(name, followed, tier, at_us))
        return found + membership(name, followed.principal, followed.since_us, at_us)

    def _came_again(self, name: str, followed: Followed, finder: str, at_us: Micros) -> list[PrincipalFinding]:
        """Return the finding about an input that had flipped and came again.

        Whoever sends what somebody else has found is accused of it only with intent of its own. Anybody may send the
        ordinary input that an attacker has chosen to end at: then it is one more thing about that attacker.
        """
        if finder == name or Tier.INTENT in followed.told:
            return [self._finding(name, followed, Tier.INTENT, at_us, reused=True)]
        found = self._known.get(finder)
        if found is None:
            return []
        told = self._finding(finder, found, Tier.INTENT, at_us, reused=True)
        return [msgspec.structs.replace(told, members=(name,))]

    def _together(self, request: Request, followed: Followed) -> list[PrincipalFinding]:
        """Let a request bear on the campaign that it belongs to, whoever sent it."""
        seen = self._campaigns.take(request)
        if seen is None:
            return []
        if seen.flipped:
            self._flips.add(request.point, request.label, request.name)
        return findings_of(seen, request, self._version_id, followed.principal.queries, self._limits)

    def _hashes(self, point: NDArray[np.float32], told: Told | None, row: int) -> NDArray[np.uint64]:
        """Return what requests are matched by: the hashes of the point, and before them those of the fingerprint.

        Windows of a fingerprint tell copies that were cut or moved a little; small steps of every value change most of
        them, and few of those of the point.
        """
        near = self._buckets.of(point)
        if told is not None and told.valid[row] and np.count_nonzero(told.hashes[row]) >= MATCHED_MIN:
            return np.stack((told.hashes[row], near))
        return near[None]

    def _of(self, name: str, at_us: Micros) -> Followed:
        followed = self._known.get(name)
        if followed is None:
            followed = self._known[name] = Followed(Principal(self._measure.yardstick), at_us)
            followed.principal.membership.apart = 0.0 if self._measure.embedding else APART_IN_TABLES
            while len(self._known) > self._following.principals_max:
                self._persistent.forget(self._known.popitem(last=False)[0])
                self.forgotten += 1
        self._known.move_to_end(name)
        return followed

    def find(self, name: str) -> tuple[Principal, Micros] | None:
        """Return a principal that is remembered, and since when it is."""
        followed = self._known.get(name)
        return None if followed is None else (followed.principal, followed.since_us)

    def _remember_flip(self, name: str, followed: Followed, point: NDArray[np.float32], label: int) -> bool:
        """Remember an input by which intent got another label; tell whether it is the first of its principal."""
        worst = followed.principal.worst
        if worst is None or worst.lowest >= 0.0 or label == worst.label or not worst.flips:
            return False
        first = name not in self._flips.finders
        self._flips.add(point, label, name)
        return first

    def _calibrated(self, tier: Tier) -> bool:
        return tier is not Tier.INTENT or self._measure.checked

    def _finding(
        self, name: str, followed: Followed, tier: Tier, at_us: Micros, *, reused: bool = False
    ) -> PrincipalFinding:
        principal, limit = followed.principal, self._measure.thresholds.of(tier)
        evidence = limit if reused else principal.evidence[tier]
        worst = principal.worst
        flips = worst.flips if tier is Tier.INTENT and worst is not None else 0
        techniques = [*TELLS[tier], *([EVADED] if flips else []), *([VERIFIED] if reused else [])]
        others = sorted(self._flips.finders - {name}) if reused else []
        return PrincipalFinding(
            principal=name,
            tier=PrincipalTier(tier.value),
            techniques=tuple(techniques),
            log_evidence=math.log(max(evidence, 1e-9)) if tier is Tier.EXTRACTION else evidence,
            log_threshold=math.log(limit) if tier is Tier.EXTRACTION else limit,
            calibrated=self._calibrated(tier),
            queries=principal.queries,
            since_us=followed.since_us,
            until_us=at_us,
            best_margin=margin_of(principal),
            flips=flips,
            reused=reused,
            campaign=None,
            members=tuple(others[:PRINCIPALS_MAX]),
            fidelity=principal.extraction.fidelity(),
            reasons=reasons_of(principal, tier, reused=reused),
        )


_packed = msgspec.msgpack.encode


def _unpacked(packed: bytes) -> Any:
    try:
        return msgspec.msgpack.decode(packed)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StateError(f"not a principal: {error}") from error


def _use(version_id: VersionId, entry: LogEntry, found: list[PrincipalFinding]) -> UseFound:
    return UseFound(version_id=version_id, position=entry.position, at_us=entry.arrival_us, principals=tuple(found))

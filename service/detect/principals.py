"""Single principals of one version: their requests are looked at one by one, and what is found is told once."""

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from detectors.columns import Values
from detectors.errors import DetectorError
from detectors.principals.monitor import Principal, Tier
from service.detect.columns import columns_of
from service.detect.engines import Engine
from service.detect.yardsticks import Measure, usable
from service.domain.adversarial import Following
from service.domain.evaluation import UseFound
from service.domain.ids import Micros, VersionId
from service.domain.policy import Tuning
from service.domain.principals import PRINCIPALS_MAX, PrincipalFinding, PrincipalTier
from service.frames import MISSING, Coded, Frame, FrameError, decode_attributed
from service.ports import LogEntry

SECOND_US = 1_000_000
SUM_OFF = 0.02
"""Probabilities whose sum is further from one are no answer."""
FLIPPED_MAX = 256
"""Inputs whose label flipped that are remembered, to see them come again."""
SAME = 1e-3
"""Share of the typical distance at which an input is one that has been seen."""
TELLS = {
    Tier.PROBING: ("AML.T0040", "AML.T0043.001"),
    Tier.INTENT: ("AML.T0043.001",),
    Tier.EXTRACTION: ("AML.T0005.001", "AML.T0024.002"),
}
EVADED, VERIFIED = "AML.T0015", "AML.T0042"


@dataclass(slots=True)
class Followed:
    """One principal, as long as it is remembered."""

    principal: Principal
    since_us: Micros
    told: set[Tier] = field(default_factory=set)
    """What was told of; told again once evidence has fallen to nothing."""


class Flips:
    """The latest inputs whose label flipped among near-duplicates, and who found them; a look costs about 10 µs."""

    def __init__(self, dimension: int) -> None:
        self._points = np.zeros((FLIPPED_MAX, dimension), np.float32)
        self._labels = np.full(FLIPPED_MAX, -1)
        self._whose: list[str] = []
        self._next = 0

    @property
    def finders(self) -> set[str]:
        """Who found those that are remembered."""
        return set(self._whose)

    def add(self, point: NDArray[np.float32], label: int, principal: str) -> None:
        """Remember one; the oldest is forgotten."""
        self._points[self._next], self._labels[self._next] = point, label
        self._whose[self._next : self._next + 1] = [principal]
        self._next = (self._next + 1) % FLIPPED_MAX

    def finder(self, point: NDArray[np.float32], label: int, within: float) -> str | None:
        """Return who found an input that is the same; ``None`` when nobody did."""
        if not self._whose:
            return None
        away = self._points[: len(self._whose)] - point
        same = np.einsum("ij,ij->i", away, away) <= within * within
        found = np.flatnonzero(same & (self._labels[: len(self._whose)] == label))
        return self._whose[int(found[0])] if len(found) else None


class Principals:
    """Follows the principals of one version.

    What is known is memory of this process: it is not in snapshots, and begins anew when the worker starts.
    """

    def __init__(self, version_id: VersionId, measure: Measure, following: Following) -> None:
        self._version_id = version_id
        self._measure, self._following = measure, following
        self._wanted = measure.wanted
        self._known: OrderedDict[str, Followed] = OrderedDict()
        self._flips = Flips(measure.yardstick.dimension)
        self._second, self._taken = -1, 0
        self._taken_of: dict[str, int] = {}
        self.examined = self.unexamined = self.invalid = self.forgotten = 0
        self._found: list[UseFound] = []

    @classmethod
    def of(cls, version_id: VersionId, engine: Engine | None, tuning: Tuning) -> Self | None:
        """Return who follows principals under a baseline; ``None`` when nobody shall, or nothing measures them."""
        if engine is None or engine.measure is None or tuning.follow is None:
            return None
        return cls(version_id, engine.measure, tuning.follow)

    def take(self, entry: LogEntry) -> None:
        """Look at the requests of an entry, as many as there may be in a second."""
        if entry.arrival_us // SECOND_US != self._second:
            self._second, self._taken, self._taken_of = entry.arrival_us // SECOND_US, 0, {}
        if self._taken >= self._following.requests_per_second:
            self.unexamined += entry.rows
            return
        try:
            frame = decode_attributed(entry.body)
        except FrameError:
            # Who counts it says so.
            return
        columns = columns_of(frame, self._wanted)
        if frame.principals is None or not all(name in columns for name in self._measure.classes):
            self.unexamined += frame.rows
            return
        self._take(frame, frame.principals, columns, entry)

    def _take(self, frame: Frame, principals: Coded, columns: Mapping[str, Values], entry: LogEntry) -> None:
        chosen, names = self._chosen(principals)
        self.unexamined += frame.rows - len(chosen)
        if not len(chosen):
            return
        points, probabilities, good = self._answers(frame, columns, chosen)
        self.invalid += int(len(chosen) - good.sum())
        found: list[PrincipalFinding] = []
        for i in np.flatnonzero(good).tolist():
            found += self._one(names[i], points[i], probabilities[i], entry.arrival_us)
        self.examined += int(good.sum())
        if found:
            self._found.append(_use(self._version_id, entry, found))

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
            "thresholds": {tier.value: limits.of(tier) for tier in Tier},
        }

    def _chosen(self, principals: Coded) -> tuple[NDArray[np.int64], list[str]]:
        """Return the rows that may be looked at, in order, and whose they are."""
        most = self._following.requests_per_second
        own = max(1, round(most * self._following.share_of_one))
        rows, names = [], []
        for row, code in enumerate(principals.codes.tolist()):
            if self._taken >= most:
                break
            if code <= MISSING:
                continue
            name = principals.labels[code]
            taken = self._taken_of.get(name, 0)
            if taken >= own:
                continue
            self._taken_of[name] = taken + 1
            self._taken += 1
            rows.append(row)
            names.append(name)
        return np.array(rows, np.int64), names

    def _answers(
        self, frame: Frame, columns: Mapping[str, Values], chosen: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_]]:
        """Return points and probabilities of the chosen rows, and which of them are fit to be compared."""
        probabilities = np.stack(
            [np.asarray(columns[name], np.float64)[chosen] for name in self._measure.classes], axis=1
        )
        try:
            points = self._measure.points(frame, columns)[chosen]
        except (DetectorError, KeyError):
            return np.zeros((len(chosen), 1), np.float32), probabilities, np.zeros(len(chosen), np.bool_)
        with np.errstate(invalid="ignore"):
            good = np.abs(probabilities.sum(axis=1) - 1.0) <= SUM_OFF
        good &= usable(points) & (probabilities >= 0.0).all(axis=1)
        return points, probabilities, good

    def _one(
        self, name: str, point: NDArray[np.float32], answer: NDArray[np.float64], at_us: Micros
    ) -> list[PrincipalFinding]:
        followed = self._of(name, at_us)
        label = int(answer.argmax())
        within = SAME * float(self._measure.yardstick.population.typical[label])
        finder = self._flips.finder(point, label, within)
        reading = followed.principal.take(point, label, answer)
        if finder is not None and (reading.duplicate or finder != name):
            return [self._finding(name, followed, Tier.INTENT, at_us, reused=True)]
        found = []
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
        return found

    def _of(self, name: str, at_us: Micros) -> Followed:
        followed = self._known.get(name)
        if followed is None:
            followed = self._known[name] = Followed(Principal(self._measure.yardstick), at_us)
            while len(self._known) > self._following.principals_max:
                self._known.popitem(last=False)
                self.forgotten += 1
        self._known.move_to_end(name)
        return followed

    def _remember_flip(self, name: str, followed: Followed, point: NDArray[np.float32], label: int) -> bool:
        """Remember an input by which intent got another label; tell whether it is the first of its principal."""
        worst = followed.principal.worst
        if worst is None or worst.lowest >= 0.0 or label == worst.label or not worst.flips:
            return False
        first = name not in self._flips.finders
        self._flips.add(point, label, name)
        return first

    def _finding(
        self, name: str, followed: Followed, tier: Tier, at_us: Micros, *, reused: bool = False
    ) -> PrincipalFinding:
        principal, limit = followed.principal, self._measure.thresholds.of(tier)
        evidence = limit if reused else principal.evidence[tier]
        worst = principal.worst if tier is Tier.INTENT else None
        flips = 0 if worst is None else worst.flips
        techniques = [*TELLS[tier], *([EVADED] if flips else []), *([VERIFIED] if reused else [])]
        others = sorted(self._flips.finders - {name}) if reused else []
        return PrincipalFinding(
            principal=name,
            tier=PrincipalTier(tier.value),
            techniques=tuple(techniques),
            log_evidence=math.log(max(evidence, 1e-9)) if tier is Tier.EXTRACTION else evidence,
            log_threshold=math.log(limit) if tier is Tier.EXTRACTION else limit,
            calibrated=tier is not Tier.INTENT,
            queries=principal.queries,
            since_us=followed.since_us,
            until_us=at_us,
            best_margin=None if worst is None else math.tanh(worst.lowest / 2.0),
            flips=flips,
            reused=reused,
            campaign=None,
            members=tuple(others[:PRINCIPALS_MAX]),
            fidelity=principal.extraction.fidelity() if tier is Tier.EXTRACTION else None,
            reasons=_reasons(principal, tier, reused=reused),
        )


def _use(version_id: VersionId, entry: LogEntry, found: list[PrincipalFinding]) -> UseFound:
    return UseFound(version_id=version_id, position=entry.position, at_us=entry.arrival_us, principals=tuple(found))


def _reasons(principal: Principal, tier: Tier, *, reused: bool) -> tuple[str, ...]:
    """Say in plain words what was seen."""
    if reused:
        return ("an input whose label had flipped among near-duplicates came again",)
    if tier is Tier.PROBING:
        what = "lie close to each other, and what near-duplicates tell again and again is more like an attack than not"
        return (f"of {principal.queries} requests many {what}",)
    if tier is Tier.EXTRACTION:
        number, share = principal.extraction.distinct, principal.extraction.fidelity()
        worth = f"a copy trained on them would agree with the model on up to {share:.0%} of inputs"
        return (f"{number} requests are spread out, and distributed as no client's are; {worth}",)
    worst = principal.worst
    if worst is None:
        return ()
    fallen = f"the log-odds of its class fell by {worst.odds - worst.lowest:.1f}"
    story = f"{worst.size} near-duplicates of one request went the way of an attack: {fallen}"
    return (story, f"the label flipped in {worst.flips} of them") if worst.flips else (story,)

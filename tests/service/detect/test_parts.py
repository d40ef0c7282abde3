"""The seam for evidence beside that of all events together: inner parts divide what outer ones leave."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.errors import DetectorError, StateError
from detectors.evidence import Evidence, EvidenceEngine, PartEvidence
from service.detect.parts import Parts
from service.domain.ids import Micros
from service.domain.records import ColumnFinding
from tests.detectors.samples import baseline_of


def finding(name: str, segment: str | None = None) -> ColumnFinding:
    return ColumnFinding(
        name=name, group="feature", direction="up", evidence_log=0.0, since_us=Micros(0), effects={}, segment=segment
    )


class FakePart:
    """Two columns with fixed evidence."""

    def __init__(self, name: str, share: float, log_columns: tuple[float, float]) -> None:
        self.name = name
        self.share = share
        self.log_columns = np.array(log_columns)
        self.steps: list[int] = []
        self.settled = 0

    @property
    def log_share(self) -> float:
        return math.log(self.share) if self.share else -math.inf

    def evidence(self) -> PartEvidence:
        log_shares = np.log([0.5, 0.5])
        log_model = float(np.logaddexp(*(self.log_columns + log_shares)))
        return PartEvidence(
            log_share=self.log_share, log_model=log_model, log_columns=self.log_columns, log_shares=log_shares
        )

    def step(self, tick: int, season: int) -> None:
        assert season == 7
        self.steps.append(tick)

    def findings(self, places: NDArray[np.int64], tick_us: int) -> Sequence[ColumnFinding]:  # noqa: ARG002 - the seam's
        return [finding(f"{self.name}{place}", self.name) for place in places.tolist()]

    def settle(self) -> None:
        self.settled += 1

    def to_bytes(self) -> bytes:
        return bytes(self.steps)

    def restore(self, data: bytes) -> None:
        self.steps = list(data)


@pytest.fixture(scope="module")
def bets() -> EvidenceEngine:
    rng = np.random.default_rng(0)
    return EvidenceEngine(baseline_of({"a": rng.normal(size=500), "b": rng.normal(size=500)}))


def read(*columns: float) -> Evidence:
    logs = np.array(columns)
    return Evidence(log_model=float(np.logaddexp(*(logs + math.log(0.5)))), log_columns=logs, ticks=9)


def own(places: NDArray[np.int64]) -> list[ColumnFinding]:
    return [finding("ab"[place]) for place in places.tolist()]


def test_outer_parts_take_their_share_first_and_have_none_until_they_speak(bets: EvidenceEngine) -> None:
    whole, inner = read(2.0, 3.0), FakePart("eu", 0.5, (4.0, 1.0))
    outer = FakePart("rate", 0.0, (9.0, 9.0))
    alone, silent = Parts([inner]), Parts([inner], [outer])
    assert silent.log_model(bets, whole) == alone.log_model(bets, whole)
    assert Parts([], [outer]).log_model(bets, whole) == whole.log_model
    assert not Parts([], [outer])
    outer.share = 0.2
    assert Parts([], [outer])
    assert silent.log_inside(bets, whole) == alone.log_model(bets, whole) != silent.log_model(bets, whole)
    assert Parts([], [outer]).log_inside(bets, whole) == whole.log_model
    e_whole, e_inner, e_outer = (math.exp(log) for log in (whole.log_model, inner.evidence().log_model, 9.0))
    expected = 0.8 * 0.5 * e_whole + 0.8 * 0.5 * e_inner + 0.2 * e_outer
    assert math.exp(silent.log_model(bets, whole)) == pytest.approx(expected)
    assert math.exp(Parts([], [outer]).log_model(bets, whole)) == pytest.approx(0.8 * e_whole + 0.2 * e_outer)


def test_blame_is_told_by_whoever_it_belongs_to_strongest_first(bets: EvidenceEngine) -> None:
    outer = [FakePart("rate", 0.1, (1.0, 30.0)), FakePart("mute", 0.0, (50.0, 50.0))]
    parts = Parts([FakePart("eu", 0.5, (20.0, 1.0))], outer)
    found = parts.findings(bets, read(1.0, 25.0), math.log(1e5), own, 1)
    assert [each.name for each in found] == ["rate1", "b", "eu0"]
    assert [each.segment for each in found] == ["rate", None, "eu"]


def test_every_inner_part_steps_settles_and_is_kept_and_whoever_made_an_outer_one_sees_to_it() -> None:
    made = [FakePart("eu", 0.5, (0.0, 0.0)), FakePart("us", 0.2, (0.0, 0.0))]
    outer = FakePart("rate", 0.0, (0.0, 0.0))
    parts = Parts(made, [outer])
    parts.step(3, 7)
    parts.step(4, 7)
    parts.settle()
    assert [(part.steps, part.settled) for part in made] == [([3, 4], 1), ([3, 4], 1)]
    assert (outer.steps, outer.settled) == ([], 0)
    assert parts.stored() == [("eu", b"\x03\x04"), ("us", b"\x03\x04")]
    again = [FakePart("eu", 0.5, (0.0, 0.0)), FakePart("us", 0.2, (0.0, 0.0))]
    Parts(again).restore(parts.stored())
    assert [part.steps for part in again] == [[3, 4], [3, 4]]
    with pytest.raises(StateError, match="stored parts"):
        Parts(again[:1]).restore(parts.stored())


def test_parts_that_leave_nothing_are_refused() -> None:
    with pytest.raises(DetectorError, match="less than 1"):
        Parts([FakePart("eu", 0.5, (0.0, 0.0)), FakePart("us", 0.5, (0.0, 0.0))])

"""One suite that every detector passes: scores, requests, counting, evidence, effect sizes and intervals.

A detector is looked at as a function from a batch of events to something that can be compared bit for bit. What is
registered is in the suite by itself: to add a detector is to add it here. Those that remember what came before, such as
the traffic and principals, are in ``test_conformance_streams.py``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.baseline import Baseline, CompiledBaseline, add_spaces, compile_baseline
from detectors.binning import bin_rows, count
from detectors.columns import Codes, ColumnKind, ColumnSpec, Values
from detectors.effects import effect_sizes
from detectors.evidence import EvidenceEngine, EvidenceState, Together
from detectors.intervals import effect_intervals
from detectors.principals.fingerprint import Fingerprinter
from detectors.registry import FITTED, SCORES
from detectors.requests import Batch as Requests
from detectors.requests import Constraint, Kind, RequestModel
from detectors.sums import sums_of
from detectors.traffic.repeats import sampled_rows

ROWS, WIDE = 60, 40
Batch = NDArray[np.float64]
"""Events by numbers: the first ones are inputs, the last one is a label's code."""
INPUTS = 4
LABELS = ("a", "b", "c")
ODD = {
    "nan": np.nan,
    "plus infinity": np.inf,
    "minus infinity": -np.inf,
    "huge": 1.7e308,
    "tiny": 5e-324,
    "constant": 1.0,
}


def batch_of(seed: int, rows: int = ROWS) -> Batch:
    rng = np.random.default_rng(seed)
    causes = rng.normal(size=(rows, 2))
    tied = causes @ rng.normal(size=(2, WIDE)) + 0.3 * rng.normal(size=(rows, WIDE))
    return np.asarray(tied)


def columns_of(batch: Batch) -> dict[str, Values]:
    finite = np.nan_to_num(batch[:, -1], nan=-1.0, posinf=-1.0, neginf=-1.0)
    codes = np.clip(np.abs(finite), 0, len(LABELS) - 1).astype(np.int32)
    plain: dict[str, Values] = {f"x{j}": batch[:, j].copy() for j in range(INPUTS)}
    return plain | {"letter": Codes(LABELS, codes)}


@cache
def reference() -> Baseline:
    """Return a baseline with every kind of column, scores of both kinds of spaces among them."""
    batch = batch_of(0, 1000)
    columns = columns_of(batch)
    kinds = {n: ColumnKind.CATEGORICAL if isinstance(v, Codes) else ColumnKind.NUMERIC for n, v in columns.items()}
    specs = [(ColumnSpec(name=name, kind=kinds[name]), values) for name, values in columns.items()]
    compiled: CompiledBaseline = compile_baseline(specs)
    return add_spaces(compiled, specs, {"face": batch.astype(np.float32)}).baseline


@cache
def engine() -> EvidenceEngine:
    return EvidenceEngine(reference())


def scores_of(baseline: Baseline, batch: Batch) -> dict[str, NDArray[np.float64]]:
    with np.errstate(over="ignore"):
        vectors = batch.astype(np.float32)
    found: dict[str, NDArray[np.float64]] = {}
    for space in baseline.spaces:
        found |= space.scores_of_embedding(vectors) if space.name else space.scores(columns_of(batch))
    return found


def events_of(baseline: Baseline, batch: Batch) -> Mapping[str, Values]:
    return {**columns_of(batch), **scores_of(baseline, batch)}


def counted(baseline: Baseline, batch: Batch) -> NDArray[np.int64]:
    return count(baseline, events_of(baseline, batch))


def summed(baseline: Baseline, batch: Batch) -> NDArray[np.int64]:
    """Return what pairs of inputs and the embedding add up to, behind the bins."""
    with np.errstate(over="ignore"):
        vectors = batch.astype(np.float32)
    values: dict[str, Values] = {}
    for space in baseline.spaces:
        values |= space.values_of_embedding(vectors) if space.name else space.values(columns_of(batch))
    sums = sums_of(baseline, values)
    assert len(sums)
    return np.concatenate([counted(baseline, batch), sums])


def evidence_of(counts: NDArray[np.int64]) -> NDArray[Any]:
    state = engine().step(engine().start(), 0, counts)
    return np.frombuffer(engine().step(state, 1, counts).to_bytes(), np.uint8)


@cache
def engine_in_season() -> EvidenceEngine:
    """Return an engine of the plain columns, which come first, whose first one follows the hours."""
    columns = columns_of(batch_of(0, 1000))
    kinds = {n: ColumnKind.CATEGORICAL if isinstance(v, Codes) else ColumnKind.NUMERIC for n, v in columns.items()}
    specs = [(ColumnSpec(name=name, kind=kinds[name]), values) for name, values in columns.items()]
    rank = np.argsort(np.argsort(batch_of(0, 1000)[:, 0]))
    times = (24 * (np.arange(1000) % 20) + rank * 24 // 1000) * 3_600_000_000
    baseline = compile_baseline(specs, times=times).baseline
    assert baseline.names == reference().names[: len(baseline.names)]
    assert baseline.columns[0].season is not None
    return EvidenceEngine(baseline)


def evidence_in_season(counts: NDArray[np.int64]) -> NDArray[Any]:
    engine = engine_in_season()
    own = counts[: engine.baseline.total]
    state = engine.step(engine.start(), 0, own, 72)
    return np.frombuffer(engine.step(state, 1, own, 84).to_bytes(), np.uint8)


def repeats_of(batch: Batch) -> NDArray[Any]:
    """Return which events are in the sample of repeats."""
    found = np.zeros(len(batch), np.int64)
    found[sampled_rows(np.ascontiguousarray(batch.T))] = 1
    return found


@cache
def request_model() -> RequestModel:
    """Return what judges single requests: numbers, a label, an answer, and rules."""
    names = tuple(f"x{j}" for j in range(INPUTS)), ("letter",)
    declared = (Constraint(kind=Kind.RANGE, columns=("x0",), low=-2.0, high=2.0),)
    return RequestModel.fit(names, requests_of(batch_of(0, 1000)), declared)


def requests_of(batch: Batch) -> Requests:
    columns = columns_of(batch)
    letter = columns["letter"]
    assert isinstance(letter, Codes)
    numeric = np.array([columns[f"x{j}"] for j in range(INPUTS)])
    return Requests(numeric=numeric, categorical=(letter,), answers=letter, margins=np.abs(batch[:, INPUTS]))


def judged(batch: Batch) -> NDArray[np.float64]:
    """Return what is said of single requests: bets, scores, ranks and broken rules."""
    found = request_model().judge(requests_of(batch))
    return np.concatenate([found.bets[None], found.scores[None], found.ranks, found.broken])


FINGERPRINTER = Fingerprinter(b"sixteen secret bytes", WIDE)


def fingerprints(batch: Batch) -> NDArray[Any]:
    """Return fingerprints of inputs; a client gets an error for those that are not finite, so here they are 0."""
    return FINGERPRINTER.of(np.nan_to_num(np.clip(batch, -1e6, 1e6))).T


@cache
def together() -> Together:
    """Return an engine of all events and one of those with a label."""
    plain = engine_in_season().baseline.without_seasons()
    return Together(EvidenceEngine(plain), [(EvidenceEngine(plain), 0.5)])


def counted_apart(_: Baseline, batch: Batch) -> NDArray[np.int64]:
    """Return the counts of all events, and of the segment among them."""
    columns = columns_of(batch)
    letter = columns["letter"]
    assert isinstance(letter, Codes)
    own = columns_of(batch[letter.codes == 1])
    whole, part = together().engines
    return np.concatenate([count(whole.baseline, columns), count(part.baseline, own)])


def evidence_of_segments(counts: NDArray[np.int64]) -> NDArray[Any]:
    found = together().run(together().start(), np.arange(2), np.array([counts, counts]), None)
    states = b"".join(state.to_bytes() for state in found.states)
    return np.concatenate([np.frombuffer(states, np.uint8), np.frombuffer(found.log_model.tobytes(), np.uint8)])


def numbers_of(found: Any) -> NDArray[np.float64]:
    names = list(type(found).__dataclass_fields__)
    return np.concatenate([np.asarray(getattr(found, name), np.float64).ravel() for name in names])


@dataclass(frozen=True, slots=True)
class PerEvent:
    """Numbers for each event: those of a batch are those of its parts, one after the other."""

    name: str
    function: Callable[[Baseline, Batch], NDArray[Any]]

    def of(self, baseline: Baseline, parts: list[Batch]) -> NDArray[Any]:
        return np.concatenate([self.function(baseline, part) for part in parts], axis=-1)


@dataclass(frozen=True, slots=True)
class PerTick:
    """A function of counts: those of a tick are the sum over its parts."""

    name: str
    function: Callable[[Baseline, NDArray[np.int64]], NDArray[Any]]

    tick: Callable[[Baseline, Batch], NDArray[np.int64]] = counted

    def of(self, baseline: Baseline, parts: list[Batch]) -> NDArray[Any]:
        return self.function(baseline, np.sum([self.tick(baseline, part) for part in parts], axis=0, dtype=np.int64))


def plain(name: str) -> PerEvent:
    """Return a registered score of one event's own numbers."""
    score = SCORES[name]
    if score.needs == "probabilities":
        return PerEvent(name, lambda _, batch: score.function(np.abs(batch[:, :INPUTS])))
    return PerEvent(name, lambda _, batch: score.function(batch))


def fitted(name: str) -> PerEvent:
    """Return a registered score of spaces: all its columns, of all spaces."""

    def found(baseline: Baseline, batch: Batch) -> NDArray[np.float64]:
        numbers = scores_of(baseline, batch)
        own = [column for column in numbers if column.split(".")[1] == name]
        assert own, f"the suite's reference has no score {name}"
        return np.array([numbers[column] for column in own])

    return PerEvent(name, found)


DETECTORS: tuple[PerEvent | PerTick, ...] = (
    *map(plain, SCORES),
    *map(fitted, FITTED),
    PerEvent("bins", lambda baseline, batch: bin_rows(baseline, events_of(baseline, batch)).T),
    PerTick("counts", lambda _, counts: counts),
    PerTick("sums", lambda _, counts: counts, summed),
    PerTick("evidence", lambda _, counts: evidence_of(counts)),
    PerTick("evidence with sums", lambda _, counts: evidence_of(counts), summed),
    PerEvent("repeats", lambda _, batch: repeats_of(batch)),
    PerEvent("requests", lambda _, batch: judged(batch)),
    PerEvent("fingerprints", lambda _, batch: fingerprints(batch)),
    PerTick("evidence of segments", lambda _, counts: evidence_of_segments(counts), counted_apart),
    PerTick("evidence in season", lambda _, counts: evidence_in_season(counts)),
    PerTick("effects", lambda baseline, counts: numbers_of(effect_sizes(baseline, counts))),
    PerTick("intervals", lambda baseline, counts: numbers_of(_intervals(baseline, counts))),
)
every = pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)


def _intervals(baseline: Baseline, counts: NDArray[np.int64]) -> Any:
    return effect_intervals(baseline, counts, effect_sizes(baseline, counts))


def same(first: NDArray[Any], second: NDArray[Any]) -> bool:
    return first.dtype == second.dtype and first.tobytes() == second.tobytes()


@every
@given(seed=st.integers(1, 9), cuts=st.lists(st.integers(0, ROWS), max_size=5))
@settings(max_examples=15, deadline=None)
def test_a_split_batch_equals_the_whole(detector: PerEvent | PerTick, seed: int, cuts: list[int]) -> None:
    batch = batch_of(seed)
    parts = np.split(batch, sorted(cuts))
    assert same(detector.of(reference(), parts), detector.of(reference(), [batch]))


@every
@given(order=st.permutations(range(ROWS)))
@settings(max_examples=15, deadline=None)
def test_the_order_of_events_within_a_tick_changes_no_bit(detector: PerEvent | PerTick, order: list[int]) -> None:
    batch = batch_of(2)
    whole, turned = detector.of(reference(), [batch]), detector.of(reference(), [batch[order]])
    assert same(np.ascontiguousarray(whole[..., order]) if isinstance(detector, PerEvent) else whole, turned)


@every
def test_a_baseline_that_was_saved_and_loaded_changes_no_bit(detector: PerEvent | PerTick) -> None:
    again = Baseline.from_bytes(reference().to_bytes())
    assert same(detector.of(again, [batch_of(3)]), detector.of(reference(), [batch_of(3)]))


@every
def test_the_same_input_gives_the_same_output_and_is_left_alone(detector: PerEvent | PerTick) -> None:
    batch = batch_of(4)
    batch[3, 1], batch[5, 2] = np.nan, np.inf
    before = batch.copy()
    first = detector.of(reference(), [batch])
    assert batch.tobytes() == before.tobytes()
    assert same(first, detector.of(reference(), [before]))


@every
@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("where", ["one input", "one event", "all"])
def test_odd_numbers_keep_the_rule(detector: PerEvent | PerTick, value: float, where: str) -> None:
    """No exception and no warning; a score is never -inf, other events' scores stay as they were, and counts add up."""
    plain_batch, odd = batch_of(5), batch_of(5)
    odd[(slice(None) if where == "all" else 7), (1 if where == "one input" else slice(None))] = value
    found = detector.of(reference(), [odd])
    if isinstance(detector, PerEvent):
        others = np.delete(np.arange(ROWS), np.arange(ROWS) if where == "all" else 7)
        assert not np.isneginf(found.astype(np.float64)).any()
        assert same(
            np.ascontiguousarray(found[..., others]),
            np.ascontiguousarray(detector.of(reference(), [plain_batch])[..., others]),
        )
    elif detector.name == "counts":
        assert found.sum() == ROWS * len(reference().columns)


@every
def test_a_batch_without_events_is_taken(detector: PerEvent | PerTick) -> None:
    found = detector.of(reference(), [batch_of(6, 0)])
    if isinstance(detector, PerEvent):
        assert found.shape[-1] == 0
    assert same(detector.of(reference(), [batch_of(6), batch_of(6, 0)]), detector.of(reference(), [batch_of(6)]))


@given(cut=st.integers(0, 8), seed=st.integers(10, 19))
@settings(max_examples=15, deadline=None)
def test_a_snapshot_midway_changes_nothing_and_the_state_is_bounded(cut: int, seed: int) -> None:
    ticks = [counted(reference(), batch_of(seed + i, 20)) for i in range(8)]
    straight = restored = engine().start()
    sizes = {len(straight.to_bytes())}
    for tick, counts in enumerate(ticks):
        straight = engine().step(straight, tick, counts)
        if tick == cut:
            restored = EvidenceState.from_bytes(engine(), restored.to_bytes())
        restored = engine().step(restored, tick, counts)
        sizes.add(len(straight.to_bytes()))
    assert straight.to_bytes() == restored.to_bytes()
    assert len(sizes) == 1


def test_the_reference_of_the_suite_has_every_kind_of_column() -> None:
    made = {name.split(".")[1] for name in reference().names if name.startswith("score.")}
    assert made == set(FITTED)
    assert {column.spec.kind for column in reference().columns} == set(ColumnKind)

"""The evidence engine: exact, replayable, safe with any numbers."""

import hashlib
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.binning import bin_rows, count
from detectors.errors import DetectorError, StateError
from detectors.evidence import EvidenceEngine, EvidenceOptions, EvidenceState
from detectors.evidence.bets import bets_of
from detectors.evidence.calibrate import null_of
from tests.detectors.samples import Columns, baseline_of, mixed, rows_of, tables

BASELINE = baseline_of(mixed(np.random.default_rng(11), 3000))
ENGINE = EvidenceEngine(BASELINE)


def ticks_of(columns: Columns, sizes: list[int]) -> NDArray[np.int64]:
    """Cut rows into ticks of the given sizes and count each."""
    bounds = np.cumsum([0, *sizes])
    return np.array([count(BASELINE, rows_of(columns, slice(a, b))) for a, b in pairwise(bounds)])


def stepped(counts: NDArray[np.int64], state: EvidenceState | None = None) -> EvidenceState:
    state = ENGINE.start() if state is None else state
    for row in counts:
        state = ENGINE.step(state, state.last_tick + 1, row)
    return state


def test_fixed_sums_equal_a_naive_loop_over_single_events_bit_for_bit() -> None:
    rng = np.random.default_rng(5)
    columns = mixed(rng, 60, shift=0.5)
    sizes = [1, 1, 7, 20, 31]
    state = stepped(ticks_of(columns, sizes))
    rows = bin_rows(BASELINE, columns)
    by_name: dict[tuple[int, str], list[float]] = {}
    for j, column in enumerate(BASELINE.columns):
        bets = bets_of(null_of(column, EvidenceOptions()))
        for s, name in enumerate(bets.names):
            total, at = -math.inf, 0
            for size in sizes:
                order = rng.permutation(np.arange(at, at + size))
                increment = 0.0
                for i in order:
                    increment += float(bets.logs[rows[i, j] - BASELINE.starts[j], s])
                total = float(np.logaddexp(total, 0.0)) + increment
                at += size
            by_name.setdefault((j, name), []).append(total)
    layout = ENGINE._layout
    for (j, name), expected in by_name.items():
        places = [k for k in range(len(layout.columns)) if layout.columns[k] == j and layout.names[k] == name]
        assert sorted(state.sums[places]) == sorted(expected), name


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=12), seed=st.integers(0, 1000))
def test_a_run_gives_the_same_bits_as_its_steps(sizes: list[int], seed: int) -> None:
    counts = ticks_of(mixed(np.random.default_rng(seed), sum(sizes), shift=0.3), sizes)
    run = ENGINE.run(ENGINE.start(), np.arange(len(counts)), counts, None)
    assert run.state.to_bytes() == stepped(counts).to_bytes()
    assert run.log_model[-1] == ENGINE.read(run.state).log_model
    assert run.alarm is None


@given(cut=st.integers(0, 12), seed=st.integers(0, 1000))
def test_saving_and_loading_midway_changes_nothing(cut: int, seed: int) -> None:
    counts = ticks_of(mixed(np.random.default_rng(seed), 60), [5] * 12)
    half = stepped(counts[:cut])
    again = EvidenceState.from_bytes(ENGINE, half.to_bytes())
    assert stepped(counts[cut:], again).to_bytes() == stepped(counts).to_bytes()


@given(order=st.permutations(range(30)))
def test_events_of_a_tick_give_the_same_bits_in_any_order_and_split(order: list[int]) -> None:
    columns = mixed(np.random.default_rng(8), 30)
    shuffled = rows_of(columns, np.array(order))
    parts = count(BASELINE, rows_of(shuffled, slice(0, 11))) + count(BASELINE, rows_of(shuffled, slice(11, None)))
    whole = count(BASELINE, columns)
    assert stepped(parts[None]).to_bytes() == stepped(whole[None]).to_bytes()


def test_a_step_changes_neither_the_state_nor_the_counts() -> None:
    counts = ticks_of(mixed(np.random.default_rng(1), 20), [10, 10])
    state = stepped(counts[:1])
    before, kept = state.to_bytes(), counts[1].copy()
    ENGINE.step(state, 7, counts[1])
    assert state.to_bytes() == before
    assert np.array_equal(counts[1], kept)
    with pytest.raises(ValueError, match="read-only"):
        state.sums[0] = 0.0


def test_before_the_first_tick_there_is_no_evidence() -> None:
    evidence = ENGINE.read(ENGINE.start())
    assert evidence.log_model == -math.inf
    assert (evidence.log_columns == -math.inf).all()
    assert evidence.ticks == 0


def test_the_models_evidence_is_the_mean_over_its_columns() -> None:
    state = stepped(ticks_of(mixed(np.random.default_rng(2), 40, shift=1.0), [10] * 4))
    evidence = ENGINE.read(state)
    assert evidence.log_model == pytest.approx(math.log(np.exp(evidence.log_columns).mean()))


@pytest.mark.parametrize("events", [10**6, 10**8, 2**40])
def test_ticks_of_any_size_keep_every_number_finite(events: int) -> None:
    state = ENGINE.start()
    for tick in range(3):
        for place in (0, 5, BASELINE.total - 1):
            counts = np.zeros(BASELINE.total, dtype=np.int64)
            counts[place] = events
            state = (
                ENGINE.step(state, 3 * tick + place % 3, counts) if state.last_tick < 3 * tick + place % 3 else state
            )
    evidence = ENGINE.read(state)
    assert np.isfinite([evidence.log_model, *evidence.log_columns]).all()
    assert evidence.log_model > 1000
    assert ENGINE.blame(state, math.log(1e5))


@given(reference=tables(), batch=tables())
def test_any_baseline_and_any_batch_give_finite_evidence(reference: Columns, batch: Columns) -> None:
    baseline = baseline_of(reference, bins=4, categories=3, blocks=3)
    engine = EvidenceEngine(baseline)
    state = engine.step(engine.start(), 0, count(baseline, batch))
    state = engine.step(state, 1, np.zeros(baseline.total, dtype=np.int64))
    assert np.isfinite(engine.read(state).log_columns).all()
    assert np.isfinite(state.peaks).all()


def test_the_state_does_not_grow() -> None:
    counts = ticks_of(mixed(np.random.default_rng(2), 400), [1] * 400)
    states = [stepped(counts[:1]), stepped(counts)]
    assert len(states[0].to_bytes()) == len(states[1].to_bytes())
    assert 0 < len(states[0].to_bytes()) - 24 * ENGINE.bets - 8 * ENGINE.cells < 200


def test_each_family_has_as_many_bets_as_the_page_says() -> None:
    numeric, letter = (bets_of(null_of(BASELINE.columns[i], EvidenceOptions())).names for i in (0, 3))
    first = [name.split()[0] for name in numeric]
    assert sum(word in {"mean", "spread", "tail", "skew"} for word in first) == 25
    assert sum(word in {"lowest", "highest", "outermost"} for word in first) == 18
    assert sum(name == "missing up" for name in numeric) == 5
    assert [sum(name == f"category 'a' {way}" for name in letter) for way in ("up", "down")] == [3, 3]


def test_a_run_stops_at_the_alarm_and_names_the_tick() -> None:
    columns = mixed(np.random.default_rng(3), 400, shift=1.5)
    counts = ticks_of(columns, [4] * 100)
    run = ENGINE.run(ENGINE.start(), np.arange(50, 150), counts, math.log(1e5))
    assert run.alarm is not None
    assert run.alarm == len(run.log_model) - 1 < 99
    assert run.log_model[-1] >= math.log(1e5)
    assert (run.log_model[:-1] < math.log(1e5)).all()
    assert run.state.last_tick == 50 + run.alarm
    assert (
        run.state.to_bytes()
        == ENGINE.run(ENGINE.start(), np.arange(50, 51 + run.alarm), counts[: run.alarm + 1], None).state.to_bytes()
    )


@pytest.mark.parametrize(
    ("shift", "more_c", "name", "direction"),
    [(0.8, 0.0, "normal", "mean up"), (-0.8, 0.0, "normal", "mean down"), (0.0, 0.28, "letter", "category 'c' up")],
)
def test_only_the_changed_column_is_blamed_with_its_direction_and_date(
    shift: float, more_c: float, name: str, direction: str
) -> None:
    rng = np.random.default_rng(21)
    before, after = mixed(rng, 3000), mixed(rng, 1000, shift=shift, more_c=more_c)
    counts = np.concatenate([ticks_of(before, [1] * 3000), ticks_of(after, [1] * 1000)])
    run = ENGINE.run(ENGINE.start(), np.arange(4000), counts, math.log(1e5))
    assert run.alarm is not None
    assert run.alarm >= 3000
    blames = ENGINE.blame(run.state, math.log(1e5))
    assert [blame.name for blame in blames] == [name]
    assert blames[0].direction == direction
    assert abs(blames[0].since_tick - 3000) <= 25


@pytest.mark.parametrize(
    ("damage", "direction"),
    [(np.nan, "missing up"), (np.inf, "invalid up"), (99.0, "above range up"), (-99.0, "below range up")],
)
def test_broken_values_are_named_for_what_they_are(damage: float, direction: str) -> None:
    rng = np.random.default_rng(9)
    columns = mixed(rng, 1000)
    columns["normal"] = np.where(rng.random(1000) < 0.04, damage, rng.normal(size=1000))
    run = ENGINE.run(ENGINE.start(), np.arange(1000), ticks_of(columns, [1] * 1000), math.log(1e5))
    assert run.alarm is not None
    assert [(b.name, b.direction) for b in ENGINE.blame(run.state, math.log(1e5))] == [("normal", direction)]


def test_a_spike_inside_the_range_is_found_by_the_learned_bet() -> None:
    rng = np.random.default_rng(13)
    columns = mixed(rng, 3000)
    columns["normal"] = np.where(rng.random(3000) < 0.15, 0.3, rng.normal(size=3000))
    run = ENGINE.run(ENGINE.start(), np.arange(3000), ticks_of(columns, [1] * 3000), math.log(1e5))
    assert run.alarm is not None
    assert [(b.name, b.direction) for b in ENGINE.blame(run.state, math.log(1e5))] == [("normal", "distribution")]


def test_evidence_of_a_fault_that_is_over_falls_slowly_and_is_gone_after_a_new_start() -> None:
    rng, threshold = np.random.default_rng(17), math.log(2.6e6)
    baseline = baseline_of({name: rng.normal(size=5000) for name in "abcde"})
    engine = EvidenceEngine(baseline, EvidenceOptions(minimum_effect=0.05))
    state = fresh = engine.start()
    for tick in range(2010):
        columns: Columns = {name: rng.normal(size=20) for name in "abcde"}
        if tick < 10:
            columns["a"] = np.full(20, np.nan)
        state = engine.step(state, tick, count(baseline, columns))
        fresh = fresh if tick < 10 else engine.step(fresh, tick, count(baseline, columns))
    assert engine.read(state).log_model > threshold > 2 * engine.read(fresh).log_model


def test_a_tick_that_does_not_come_later_is_refused() -> None:
    counts = np.zeros(BASELINE.total, dtype=np.int64)
    state = ENGINE.step(ENGINE.start(), 5, counts)
    for tick in (5, 4, -1):
        with pytest.raises(DetectorError, match=f"tick {tick} does not come after tick 5"):
            ENGINE.step(state, tick, counts)
    with pytest.raises(DetectorError, match="tick -1 does not come after tick -1"):
        ENGINE.step(ENGINE.start(), -1, counts)
    with pytest.raises(DetectorError, match="counts have shape"):
        ENGINE.step(state, 6, counts[:-1])


def test_a_state_of_another_baseline_or_other_options_is_refused() -> None:
    data = stepped(ticks_of(mixed(np.random.default_rng(2), 4), [4])).to_bytes()
    others = [
        EvidenceEngine(baseline_of(mixed(np.random.default_rng(12), 3000))),
        EvidenceEngine(BASELINE, EvidenceOptions(minimum_effect=0.1)),
    ]
    for other in others:
        with pytest.raises(StateError, match="another baseline"):
            EvidenceState.from_bytes(other, data)
        with pytest.raises(StateError, match="another baseline"):
            other.read(EvidenceState.from_bytes(ENGINE, data))


@given(at=st.integers(0, 10**6), value=st.integers(0, 255))
def test_a_damaged_state_is_refused(at: int, value: int) -> None:
    data = bytearray(ENGINE.start().to_bytes())
    place = at % len(data)
    if data[place] == value:
        return
    data[place] = value
    with pytest.raises(StateError):
        EvidenceState.from_bytes(ENGINE, bytes(data))


@given(data=st.binary(max_size=300))
def test_other_bytes_are_no_state(data: bytes) -> None:
    forged = b"LZEVID01" + data
    for candidate in (data, forged, forged + hashlib.sha256(forged).digest()):
        with pytest.raises(StateError):
            EvidenceState.from_bytes(ENGINE, candidate)

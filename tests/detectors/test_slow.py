"""A smooth course over the reference is tolerated where it went, and not paid for by the exponent; rough ones are."""

import json
import math
import struct
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import lfilter

from detectors.baseline import Baseline, compile_baseline
from detectors.baseline.directions import directions_of
from detectors.baseline.slow import PLACES, WAVES, slow_of, spread
from detectors.columns import Codes
from detectors.errors import BaselineError
from detectors.evidence import EvidenceEngine, EvidenceOptions
from detectors.evidence.bets import bets_of
from detectors.evidence.calibrate import null_of
from tests.detectors.samples import Columns, baseline_of, spec_of
from tests.detectors.seasonal import HOUR_US, ticks_of

REFERENCE = 4_000
BUDGET = 1e4


def wandering(rng: np.random.Generator, rows: int, relaxation: float) -> NDArray[np.float64]:
    """Return a level that wanders at random, with unit variance."""
    rho = math.exp(-1.0 / relaxation)
    noise = rng.normal(size=rows) * math.sqrt(1.0 - rho**2)
    values, _ = lfilter([1.0], [1.0, -rho], noise, zi=[rho * rng.normal()])
    return np.asarray(values)


def yearly(rng: np.random.Generator, rows: int, *, first: int = 0, by: float = 0.0) -> Columns:
    """Return a number and a label with one wave in the reference, and a number without; the level may be up."""
    wave = np.sin(2 * np.pi * (first + np.arange(rows)) / REFERENCE)
    dear = rng.random(rows) < 0.5 + 0.3 * wave
    return {
        "sold": wave + by + 0.7 * rng.normal(size=rows),
        "kind": Codes(("dear", "cheap"), np.where(dear, 0, 1).astype(np.int32)),
        "age": rng.normal(size=rows),
    }


@cache
def reference() -> Baseline:
    return baseline_of(yearly(np.random.default_rng(0), REFERENCE))


def without(baseline: Baseline) -> Baseline:
    """Return the baseline as it was before courses were known."""
    return replace(baseline, columns=tuple(replace(column, slow=None) for column in baseline.columns))


def alarm_of(baseline: Baseline, later: Columns) -> int | None:
    engine = EvidenceEngine(baseline)
    counts, _ = ticks_of(baseline, later, 0)
    return engine.run(engine.start(), np.arange(len(counts)), counts, math.log(BUDGET)).alarm


# -- which columns have one -------------------------------------------------------------------------------------------


def test_a_wave_of_one_cycle_is_a_course_and_it_is_the_right_one() -> None:
    sold, kind, age = reference().columns
    assert sold.slow is not None
    assert kind.slow is not None
    assert age.slow is None
    found = kind.slow.shares()[:, 0 if kind.bin_labels[0] == "dear" else 1]
    at = (np.arange(PLACES) + 0.5) / PLACES
    # The share at one place has a standard error of at most 0.03; the half waves miss a sine by at most 0.05.
    assert np.abs(found - 0.5 - 0.3 * np.sin(2 * np.pi * at)).max() < 0.2
    # Around it the rows are independent: inflation 1, with an error of 0.5 for the longest stretches.
    assert kind.inflation.max() > 50.0
    assert kind.slow.inflation.max() < 6.0


@pytest.mark.parametrize("part", [0.5, 1.0])
def test_a_level_that_wanders_at_random_is_too_rough_for_a_course(part: float) -> None:
    """Measured: 0 of 400. Were it one in a hundred, eight of 60 would have a probability of 3 * 10**-7."""
    taken = 0
    for seed in range(60):
        rng = np.random.default_rng([seed, 17])
        level = math.sqrt(part) * wandering(rng, 2_000, 250.0) + math.sqrt(1.0 - part) * rng.normal(size=2_000)
        taken += baseline_of({"x": level}).columns[0].slow is not None
    assert taken < 8


def test_neither_independent_rows_nor_rows_without_an_order_have_a_course() -> None:
    rng = np.random.default_rng(1)
    assert baseline_of({"x": rng.normal(size=REFERENCE)}).columns[0].slow is None
    columns = yearly(rng, REFERENCE)
    specs = [(spec_of(name, values), values) for name, values in columns.items()]
    assert all(column.slow is None for column in compile_baseline(specs, ordered=False).baseline.columns)


def test_the_inflation_around_a_course_equals_a_naive_one() -> None:
    rng = np.random.default_rng(2)
    rows = 512
    bins = (rng.random(rows) < 0.5 + 0.48 * np.sin(2 * np.pi * np.arange(rows) / rows)).astype(np.int64)
    direction = np.array([[-0.5, 0.5]])
    found = slow_of(direction, bins, (bins, 2), np.full((2, 6), 1e3))
    assert found is not None
    values = direction[0][bins]
    waves = np.cos(np.pi * (np.arange(rows)[:, None] + 0.5) / rows * np.arange(WAVES + 1))
    around = values - waves @ np.linalg.lstsq(waves, values, rcond=None)[0]
    own = np.linalg.qr(waves)[0]
    for scale in range(6):
        length = 2 ** (scale + 1)
        starts = np.arange(0, rows - length + 1, max(1, length // 4))
        seen = np.mean([around[at : at + length].sum() ** 2 for at in starts]) / (length * values.var())
        every = np.array([own[at : at + length].sum(axis=0) for at in range(rows - length + 1)])
        kept = 1.0 - np.mean((every**2).sum(axis=1)) / length
        assert found.inflation[0, scale] == pytest.approx(seen / kept, rel=0.01)


# -- what it means to bets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1])
def test_no_bet_wins_on_average_anywhere_on_the_course(place: int) -> None:
    column = reference().columns[place]
    assert column.slow is not None
    null = null_of(column, EvidenceOptions())
    bets = bets_of(null)
    went = column.slow.shares()
    assert ((went - null.probabilities) @ bets.directions.T <= bets.tolerances + 1e-12).all()
    assert (went @ np.exp(bets.logs) <= 1.0 + 1e-9).all()
    # And it went somewhere: with three standard errors of the mean of all rows alone it would win.
    _, error, natural, _ = null.parts(bets.directions[:1], bets.places[:1])
    assert natural[0] > 3.0 * error[0]


def test_the_tolerance_holds_three_errors_of_the_course_where_it_went_furthest() -> None:
    column = reference().columns[1]
    assert column.slow is not None
    null = null_of(column, EvidenceOptions())
    label = np.array([directions_of(column)[0].values])
    _, error, natural, _ = null.parts(label, np.array([0]))
    went = (column.slow.shares() - null.probabilities) @ label[0]
    assert natural[0] == pytest.approx((went + error[0] * np.sqrt(spread())).max())
    assert spread().mean() == pytest.approx(WAVES + 1, rel=1e-3)


def test_directions_that_nobody_knows_beforehand_go_by_the_rows_as_they_are() -> None:
    column = reference().columns[0]
    own, old = (null_of(c, EvidenceOptions()) for c in (column, replace(column, slow=None)))
    assert own.learned_effect == old.learned_effect
    assert (own.wander == old.wander).all()
    assert bets_of(own).learned_eta == bets_of(old).learned_eta
    assert bets_of(own).etas.min() > 10 * bets_of(old).etas.min()


def test_without_calibration_a_course_does_not_matter() -> None:
    column = reference().columns[0]
    own, old = (bets_of(null_of(c, EvidenceOptions(calibrate=False))) for c in (column, replace(column, slow=None)))
    assert (own.logs == old.logs).all()
    assert (own.etas == 1.0).all()


def test_a_level_above_all_that_the_reference_went_through_is_found() -> None:
    later = yearly(np.random.default_rng(3), REFERENCE, by=0.8)
    found = alarm_of(reference(), later)
    assert found is not None
    # It first is above the highest one of the reference after row 130, and is by 0.8 at row 1,000.
    assert 130 < found < 1_000
    before = alarm_of(without(reference()), later)
    assert before is None or before > 2 * found


def test_a_wave_that_goes_on_raises_no_alarm() -> None:
    """Allowed are 6 alarms; at least 20 would come with a probability below 5 * 10**-6 if the promise just held."""
    alarms = 0
    for seed in range(3):
        rng = np.random.default_rng([seed, 4])
        engine = EvidenceEngine(baseline_of(yearly(rng, REFERENCE)))
        counts, _ = ticks_of(engine.baseline, yearly(rng, 20_000, first=REFERENCE), 0)
        state, at = engine.start(), 0
        while at < len(counts):
            run = engine.run(state, np.arange(at, len(counts)), counts[at:], math.log(BUDGET))
            at += len(run.log_model)
            alarms += run.alarm is not None
            state = engine.start()
    assert alarms <= 6


def test_a_column_that_follows_the_hours_may_have_a_course_besides() -> None:
    rng = np.random.default_rng(5)
    rows = 24 * 200
    at = np.arange(rows)
    values = np.sin(2 * np.pi * at / 24) + np.sin(2 * np.pi * at / rows) + 0.6 * rng.normal(size=rows)
    compiled = compile_baseline([(spec_of("load", values), values)], times=at * HOUR_US).baseline
    season = compiled.columns[0].season
    assert season is not None
    assert season.slow is not None
    settled = compiled.settled.columns[0]
    assert settled.slow is season.slow
    later: Columns = {"load": values + 1.5}
    engine = EvidenceEngine(compiled)
    counts, seasons = ticks_of(compiled, later, 0)
    seasons = np.resize((at + 72) % 168, len(counts))
    run = engine.run(engine.start(), np.arange(len(counts)), counts, math.log(BUDGET), seasons)
    assert run.alarm is not None
    assert Baseline.from_bytes(compiled.to_bytes()).digest == compiled.digest


def test_an_explanation_says_that_there_is_a_course() -> None:
    found = EvidenceEngine(reference()).explain()
    assert "around a slow course over the reference; the learned bet pays for that too" in found[0].text
    told = next(d for d in found[0].directions if d.direction == "mean up")
    assert told.cause == "natural_variation"
    assert told.text.endswith("the reference itself went so far in its course, 3 standard errors of it included")
    assert "course" not in found[2].text


# -- bytes ------------------------------------------------------------------------------------------------------------

WAVE = np.sin(2 * np.pi * np.arange(1_500) / 1_500)
SMALL = baseline_of({"sold": WAVE + 0.5 * np.random.default_rng(0).normal(size=1_500)}, bins=4, blocks=4)


def test_a_course_makes_the_round_trip_and_others_keep_their_version() -> None:
    baseline = reference()
    again = Baseline.from_bytes(baseline.to_bytes())
    assert again.digest == baseline.digest
    assert b'"version":6' in baseline.to_bytes()
    assert b'"version":3' in without(baseline).to_bytes()
    slow = again.columns[0].slow
    assert slow is not None
    assert not slow.curve.flags.writeable
    engines = [EvidenceEngine(own) for own in (baseline, again)]
    counts, _ = ticks_of(baseline, yearly(np.random.default_rng(6), 50), 0)
    states = [engine.run(engine.start(), np.arange(50), counts, None).state for engine in engines]
    assert states[0].to_bytes() == states[1].to_bytes()


def rewritten(change: Callable[[dict[str, Any]], None]) -> bytes:
    data = SMALL.to_bytes()
    (length,) = struct.unpack_from("<I", data, 8)
    header = json.loads(data[12 : 12 + length])
    change(header)
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    return b"LZBASE01" + struct.pack("<I", len(text)) + text + data[12 + length :]


@pytest.mark.parametrize("value", [0, 5, True, "6", None, 10**12])
def test_a_header_that_lies_about_a_course_is_refused_with_the_place(value: object) -> None:
    assert SMALL.columns[0].slow is not None
    with pytest.raises(BaselineError, match=r"columns\[0\] 'sold': slow must be 6"):
        Baseline.from_bytes(rewritten(lambda header: header["columns"][0].update({"slow": value})))


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [("curve", math.nan, "coefficients"), ("curve", 5.0, "coefficients"), ("inflation", -1.0, "around a course")],
)
def test_numbers_of_a_course_that_cannot_be_are_refused(part: str, value: float, message: str) -> None:
    slow = SMALL.columns[0].slow
    assert slow is not None
    odd = replace(slow, **{part: np.full_like(getattr(slow, part), value)})
    lying = replace(SMALL, columns=(replace(SMALL.columns[0], slow=odd),))
    with pytest.raises(BaselineError, match=message):
        Baseline.from_bytes(lying.to_bytes())


@settings(max_examples=100)
@given(st.integers(0, len(SMALL.to_bytes()) - 1), st.integers(0, 255))
@example(at=len(SMALL.to_bytes()) - 1, value=255)
def test_a_changed_byte_is_refused_or_gives_a_sound_one(at: int, value: int) -> None:
    data = bytearray(SMALL.to_bytes())
    data[at] = value
    try:
        found = Baseline.from_bytes(bytes(data))
    except BaselineError:
        return
    with np.errstate(over="ignore"):
        assert np.isfinite(bets_of(null_of(found.columns[0], EvidenceOptions())).logs).all()

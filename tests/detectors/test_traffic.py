"""Traffic: honest for every distribution in the band, quiet on bursts, quick on what changed, and exact."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import gammaln

from detectors.errors import DetectorError, StateError
from detectors.traffic import RATE, TrafficMonitor, TrafficOptions, log_bets, usual_rate, usual_share
from detectors.traffic.bets import BETS, GROWTHS, LOG_CAP
from detectors.traffic.learn import per_event

HOUR = TrafficOptions(tick_us=1_000_000, learn_us=3_600_000_000)
A = 1e4
Traffic = Callable[[np.random.Generator, int], NDArray[np.int64]]


def negative_binomial(mean: float, dispersion: float) -> NDArray[np.float64]:
    """Return probabilities of 0, 1, 2, ... with all but 1e-12 of the mass."""
    size = 1.0 / dispersion
    counts = np.arange(int(mean + 60 * math.sqrt(mean + dispersion * mean**2)) + 60)
    logs = gammaln(counts + size) - gammaln(size) - gammaln(counts + 1.0)
    logs += size * np.log(size / (size + mean)) + counts * np.log(mean / (size + mean))
    return np.asarray(np.exp(logs))


def mean_bets(chances: NDArray[np.float64], expected: float, ratio: float, dispersion: float) -> NDArray[np.float64]:
    counts = np.arange(len(chances), dtype=np.float64)
    return np.asarray(chances @ np.exp(log_bets(counts, np.full(len(counts), expected), ratio, dispersion)))


@given(
    expected=st.floats(0.05, 200.0),
    ratio=st.floats(1.05, 5.0),
    dispersion=st.floats(0.01, 5.0),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=150, deadline=None)
def test_no_bet_wins_under_any_distribution_in_the_band(
    expected: float, ratio: float, dispersion: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    upper = negative_binomial(expected * ratio, dispersion)
    lower = negative_binomial(expected / ratio, dispersion)
    assert mean_bets(upper, expected, ratio, dispersion)[:BETS].max() <= 1.0 + 1e-9
    assert mean_bets(lower, expected, ratio, dispersion)[BETS:].max() <= 1.0 + 1e-9
    # Any other distribution in the band: its cumulative chances lie between those of the two edges.
    high, low = np.cumsum(upper), np.ones(len(upper))
    low[: len(lower)] = np.cumsum(lower)
    for _ in range(4):
        mix = np.sort(rng.random(len(high))) if rng.random() < 0.5 else np.full(len(high), rng.random())
        between = np.maximum.accumulate(high + mix * (low - high))
        chances = np.diff(between, prepend=0.0)
        assert mean_bets(chances, expected, ratio, dispersion).max() <= 1.0 + 1e-9


def test_a_bet_beyond_the_band_wins() -> None:
    beyond = negative_binomial(100 * 1.5 * GROWTHS[1], 0.05)
    assert mean_bets(beyond, 100, 1.5, 0.05)[1] > 2.0
    below = negative_binomial(100 / 1.5 / GROWTHS[1], 0.05)
    assert mean_bets(below, 100, 1.5, 0.05)[BETS + 1] > 2.0


def test_one_burst_pays_no_more_than_the_cap() -> None:
    assert log_bets(np.array([1e12]), np.array([1.0]), 1.5, 0.1).max() == LOG_CAP


@given(chance=st.floats(0.0, 0.99), trials=st.integers(1, 60))
@settings(max_examples=100, deadline=None)
def test_a_share_is_never_larger_than_the_count_that_stands_for_it(chance: float, trials: int) -> None:
    """Binomial against Poisson: its cumulative chances lie above everywhere."""
    counts = np.arange(trials + 1)
    logs = gammaln(trials + 1.0) - gammaln(counts + 1.0) - gammaln(trials - counts + 1.0)
    binomial = np.exp(logs) * chance**counts * (1.0 - chance) ** (trials - counts)
    mean = trials * per_event(chance)
    poisson = np.exp(counts * np.log(mean) - mean - gammaln(counts + 1.0)) if mean else (counts == 0).astype(float)
    assert np.all(np.cumsum(binomial) >= np.cumsum(poisson) - 1e-9)


def steady(rng: np.random.Generator, ticks: int) -> NDArray[np.int64]:
    return rng.poisson(20, ticks)


def sparse(rng: np.random.Generator, ticks: int) -> NDArray[np.int64]:
    return rng.poisson(0.2, ticks)


def bursts(rng: np.random.Generator, ticks: int) -> NDArray[np.int64]:
    """One tick in a hundred brings a batch of 200 on average."""
    return np.asarray(rng.poisson(1, ticks) + (rng.random(ticks) < 0.01) * rng.geometric(1 / 200, ticks))


def waves(rng: np.random.Generator, ticks: int) -> NDArray[np.int64]:
    """The rate wanders: an autoregression of its logarithm with coefficient 0.9, deviation 0.5."""
    level, steps = 0.0, np.empty(ticks)
    for i, noise in enumerate(rng.normal(size=ticks) * 0.5 * math.sqrt(1 - 0.9**2)):
        level = 0.9 * level + noise
        steps[i] = level
    return rng.poisson(20 * np.exp(steps))


def run(monitor: TrafficMonitor, counts: Sequence[int], first: int = 0) -> list[float]:
    """Feed ticks that have events; return the evidence after each tick."""
    seen = []
    for tick, count in enumerate(counts, first):
        if count:
            monitor.step(tick, [int(count)])
        seen.append(monitor.log_model)
    return seen


@pytest.mark.parametrize("traffic", [steady, sparse, bursts, waves])
def test_usual_traffic_keeps_the_promise(traffic: Traffic) -> None:
    """Fixed seeds: nothing here is left to chance. 60,000 ticks allow six alarms at A = 10^4; none is raised."""
    alarms = 0
    for seed in range(4):
        monitor = TrafficMonitor(HOUR)
        counts = traffic(np.random.default_rng(seed), 18_602)
        for tick, count in enumerate(counts.tolist()):
            if count:
                monitor.step(tick, [count])
            if monitor.log_model >= math.log(A):
                alarms += 1
                monitor.pause()
        assert monitor.learnt
        assert monitor.usual[0] is not None
    assert alarms == 0


@pytest.mark.parametrize(("factor", "within"), [(2.0, 60), (4.0, 20), (0.5, 180), (0.25, 30)])
def test_a_steady_rate_that_changes_is_found(factor: float, within: int) -> None:
    """At A = 2.6 million, 30 days of seconds. Fixed seeds."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        monitor = TrafficMonitor(HOUR)
        seen = run(monitor, np.concatenate([rng.poisson(20, 4_000), rng.poisson(20 * factor, 400)]).tolist())
        late = next(i for i, log in enumerate(seen) if log >= math.log(2.6e6)) - 4_000
        assert 0 < late <= within
        (moved,) = monitor.moved()
        assert (moved.name, moved.direction) == (RATE, "up" if factor > 1 else "down")
        assert abs(moved.since_tick - 4_000) <= 8
        assert moved.times == pytest.approx(factor, rel=0.15)


def test_a_wandering_rate_that_doubles_is_found_too_only_later() -> None:
    rng = np.random.default_rng(1)
    counts = np.concatenate([waves(rng, 4_000), 2 * waves(rng, 4_000)])
    seen = run(TrafficMonitor(HOUR), counts.tolist())
    assert max(seen[:4_000]) < math.log(A)
    late = next(i for i, log in enumerate(seen) if log >= math.log(A)) - 4_000
    assert 60 < late < 3_600


def test_hours_of_the_day_are_learnt_from_a_week() -> None:
    rng = np.random.default_rng(0)
    week = TrafficOptions(tick_us=300_000_000, learn_us=7 * 86_400_000_000)
    hour = np.arange(288 * 14) % 288 / 12
    usual = 50 * np.exp(1.2 * np.sin(2 * np.pi * hour / 24))
    monitor = TrafficMonitor(week)
    seen = run(monitor, rng.poisson(usual).tolist())
    (found,) = monitor.usual
    assert found is not None
    assert len(found.level) == 24
    assert found.ratio == 1.5
    assert max(seen) < math.log(A)
    # Noon's traffic at midnight is no more than what noon has, and yet news.
    night = run(monitor, rng.poisson(usual[:72] * 3).tolist(), first=288 * 14)
    assert max(night) > math.log(A)


def test_what_is_learnt_never_follows_the_traffic() -> None:
    rng = np.random.default_rng(3)
    monitor = TrafficMonitor(HOUR)
    run(monitor, rng.poisson(20, 3_700).tolist())
    before = monitor.usual
    run(monitor, rng.poisson(90, 9_000).tolist(), first=3_700)
    assert monitor.usual == before


def test_too_few_events_teach_nothing_and_learning_begins_anew() -> None:
    monitor = TrafficMonitor(HOUR)
    run(monitor, [int(tick % 60 == 0) for tick in range(7_000)])
    assert not monitor.learnt
    assert monitor.log_model == -math.inf
    run(monitor, np.random.default_rng(0).poisson(5, 8_000).tolist(), first=7_000)
    assert monitor.learnt


def test_a_rate_without_any_rule_is_not_watched() -> None:
    """Each stretch has ten times the traffic of the one before: nothing in it says what is usual."""
    counts = np.repeat(10.0 ** np.arange(6), 100).astype(np.int64)
    assert usual_rate(counts, np.arange(600) * 1_000_000, 1.5) is None


def test_silence_is_no_rate_and_ends_with_nothing() -> None:
    monitor = TrafficMonitor(HOUR)
    rng = np.random.default_rng(5)
    run(monitor, np.concatenate([rng.poisson(20, 4_000), rng.poisson(60, 300)]).tolist())
    assert monitor.log_model > math.log(A)
    assert monitor.quiet_us == 300_000_000
    monitor.step(4_300 + 301, [5])
    assert monitor.log_model == -math.inf
    # The rest of that second is no whole beat, and is not held against anyone.
    seen = run(monitor, rng.poisson(20, 2_000).tolist(), first=4_602)
    assert max(seen) < math.log(A)


def test_the_beat_in_which_events_come_again_is_not_whole_and_does_not_count() -> None:
    options = TrafficOptions(tick_us=1_000_000, learn_us=600 * 30 * 1_000_000, quiet_us=60_000_000)
    assert options.beat_ticks == 10
    monitor = TrafficMonitor(options)
    rng = np.random.default_rng(0)
    run(monitor, rng.poisson(20, 18_200).tolist())
    assert monitor.learnt
    monitor.step(18_309, [20])
    monitor.step(18_310, [20])
    assert monitor.log_model == -math.inf
    run(monitor, rng.poisson(20, 15).tolist(), first=18_311)
    assert monitor.log_model > -math.inf


def test_a_pause_that_is_no_silence_counts_as_few_events() -> None:
    monitor = TrafficMonitor(HOUR)
    rng = np.random.default_rng(6)
    run(monitor, rng.poisson(20, 4_000).tolist())
    monitor.step(4_200, [20])
    monitor.step(4_202, [20])
    assert monitor.log_model > math.log(2.6e6)
    assert monitor.moved()[0].direction == "down"


@given(
    cuts=st.lists(st.integers(1, 1_499), min_size=1, max_size=4, unique=True),
    seed=st.integers(0, 100),
    pauses=st.booleans(),
)
@settings(max_examples=15, deadline=None)
def test_a_state_that_is_written_and_read_goes_on_bit_for_bit(cuts: list[int], seed: int, *, pauses: bool) -> None:
    options = TrafficOptions(tick_us=1_000_000, learn_us=300_000_000, shares=("odd",))
    rng = np.random.default_rng(seed)
    counts = rng.poisson(3, 1_500)
    if pauses:
        counts[600:1_000] = 0
    odd = rng.binomial(counts, 0.1)
    whole, cut = TrafficMonitor(options), TrafficMonitor(options)
    for tick, (count, hits) in enumerate(zip(counts.tolist(), odd.tolist(), strict=True)):
        if tick in cuts:
            cut = TrafficMonitor.from_bytes(options, cut.to_bytes())
        if count:
            whole.step(tick, [count, count, hits])
            cut.step(tick, [count, count, hits])
    assert cut.to_bytes() == whole.to_bytes()
    assert cut.log_model == whole.log_model


def test_a_share_that_grows_is_found_and_a_usual_one_is_not() -> None:
    options = TrafficOptions(tick_us=1_000_000, learn_us=3_600_000_000, shares=("odd", "rare"))
    rng = np.random.default_rng(7)
    monitor = TrafficMonitor(options)
    seen = []
    for tick in range(6_000):
        count = int(rng.poisson(20))
        odd = int(rng.binomial(count, 0.05 if tick < 5_000 else 0.25))
        if count:
            monitor.step(tick, [count, count, odd, count, 0])
        seen.append(monitor.log_model)
    assert max(seen[:5_000]) < math.log(A)
    late = next(i for i, log in enumerate(seen) if log >= math.log(2.6e6)) - 5_000
    assert 0 < late <= 60
    moved = {one.name: one for one in monitor.moved()}
    assert moved["odd"].log_evidence > math.log(2.6e6) > max(moved[RATE].log_evidence, moved["rare"].log_evidence)


def test_a_share_that_never_was_is_found_once_it_is_more_than_the_minimum() -> None:
    options = TrafficOptions(tick_us=1_000_000, learn_us=3_600_000_000, shares=("odd",), minimum_share=0.01)
    for share, found in ((0.005, False), (0.05, True)):
        rng = np.random.default_rng(8)
        monitor = TrafficMonitor(options)
        for tick in range(5_000):
            monitor.step(tick, [50, 50, 0 if tick < 4_000 else int(rng.binomial(50, share))])
        assert (monitor.log_model > math.log(2.6e6)) is found


def test_a_share_of_half_a_percent_that_becomes_three_is_found_within_some_thousand_events() -> None:
    """At 26 million: 30 days of seconds, of which the traffic has a tenth. Fixed seeds."""
    options = TrafficOptions(tick_us=1_000_000, learn_us=3_600_000_000, shares=("unknown", "absent", "errors"))
    late = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        monitor = TrafficMonitor(options)
        for tick in range(5_600):
            count = int(rng.poisson(20))
            errors = int(rng.binomial(count, 0.005 if tick < 4_600 else 0.03))
            if count:
                monitor.step(tick, [count, count, 0, count, 0, count, errors])
            if tick < 4_600:
                assert monitor.log_model < math.log(A)
            elif monitor.log_model >= math.log(2.6e7):
                late.append(tick - 4_600)
                break
        assert [moved.name for moved in monitor.moved() if moved.log_evidence > math.log(A)] == ["errors"]
    assert len(late) == 5
    assert 200 < np.median(late) < 350


def test_shares_come_in_lumps_without_an_alarm() -> None:
    """A whole batch is odd or not: one in twenty, of fifty events. Fixed seed."""
    rng = np.random.default_rng(9)
    events = np.full(3_000, 50)
    hits = 50 * (rng.random(3_000) < 0.05)
    found = usual_share(hits[:1_500], events[:1_500], 1.5, 0.01)
    assert found is not None
    assert found.dispersion > 1.0
    logs = log_bets(hits[1_500:].astype(float), found.level[0] * events[1_500:], found.ratio, found.dispersion)
    sums = np.full(BETS, -np.inf)
    for row in logs[:, :BETS]:
        sums = np.logaddexp(sums, 0.0) + row
    assert sums.max() < math.log(A)


def test_what_does_not_belong_is_refused() -> None:
    monitor = TrafficMonitor(HOUR)
    monitor.step(5, [1])
    with pytest.raises(DetectorError, match="tick 5 with 1 numbers after tick 5"):
        monitor.step(5, [1])
    with pytest.raises(DetectorError, match="1 wanted"):
        monitor.step(6, [1, 2])
    written = monitor.to_bytes()
    with pytest.raises(StateError, match="damaged"):
        TrafficMonitor.from_bytes(HOUR, written[:-1] + bytes([written[-1] ^ 1]))
    with pytest.raises(StateError, match="damaged"):
        TrafficMonitor.from_bytes(HOUR, b"")
    with pytest.raises(StateError, match="other options"):
        TrafficMonitor.from_bytes(TrafficOptions(tick_us=1, learn_us=1), written)
    for name, value in (("tick_us", 0), ("learn_us", -1), ("minimum_ratio", 1.0), ("minimum_share", 1.0)):
        said: dict[str, Any] = {name: value}
        with pytest.raises(DetectorError, match=name):
            replace(HOUR, **said)


def test_how_long_silence_is_may_change_without_learning_anew() -> None:
    monitor = TrafficMonitor(HOUR)
    run(monitor, np.random.default_rng(0).poisson(20, 3_700).tolist())
    other = TrafficOptions(tick_us=HOUR.tick_us, learn_us=HOUR.learn_us, quiet_us=60_000_000)
    after = TrafficMonitor(other)
    after.carry_on(monitor)
    assert after.usual == monitor.usual
    assert after.quiet_us == 60_000_000
    anew = TrafficMonitor(TrafficOptions(tick_us=1_000_000, learn_us=7_200_000_000))
    anew.carry_on(monitor)
    assert not anew.learnt


@pytest.mark.parametrize("days", [1 / 24, 1, 7, 30, 60])
@pytest.mark.parametrize("tick_us", [50_000, 1_000_000, 60_000_000, 3_600_000_000])
def test_a_learning_span_fits_a_snapshot(days: float, tick_us: int) -> None:
    options = TrafficOptions(tick_us=tick_us, learn_us=round(days * 86_400e6), shares=("a", "b", "c", "d"))
    assert 40 <= options.learn_beats <= 2_880
    monitor = TrafficMonitor(options)
    for beat in range(options.learn_beats - 2):
        monitor.step(beat * options.beat_ticks, [60_000] * 9)
    assert not monitor.learnt
    assert len(monitor.to_bytes()) < 60_000

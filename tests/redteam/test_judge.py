"""Judging a monitor, against values worked out by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from redteam.judge import (
    LEVEL,
    Verdict,
    attack_result,
    attack_results,
    benign_results,
    clopper_pearson,
    delay,
    judge,
    quantile,
    timely_rate,
    verdict_of,
)
from redteam.session import Kind, Session


def _session(values: list[float], **changes: object) -> Session:
    session = Session(
        workload="square",
        kind=Kind.ATTACK,
        victim="toy",
        seed=3,
        source=7,
        inputs=np.array(values, dtype=np.float32)[:, None],
        probabilities=np.full((len(values), 2), 0.5, dtype=np.float32),
        seconds=10.0 + 0.5 * np.arange(len(values), dtype=np.float64),
        accounts=np.zeros(len(values), dtype=np.int32),
    )
    return replace(session, **changes)  # type: ignore[arg-type]  # the fields vary


def _verdict(
    alarm: int | None,
    success: int | None = None,
    *,
    source: int = 0,
    kind: Kind = Kind.ATTACK,
    workload: str = "square",
) -> Verdict:
    return Verdict(
        workload=workload,
        kind=kind,
        victim="toy",
        seed=0,
        source=source,
        requests=100,
        success=success,
        alarm=alarm,
        queries=None if alarm is None else alarm + 1,
        seconds=None if alarm is None else float(alarm),
        damage=math.inf if alarm is None else 1.0 + alarm,
    )


def test_a_retry_is_not_a_query_and_time_runs_from_the_first_request() -> None:
    distance = np.array([np.inf, 3.0, 3.0, 2.0, 1.0], dtype=np.float32)
    session = _session([1.0, 2.0, 2.0, 1.0, 5.0], distance=distance, success=4)
    verdict = verdict_of(session, 3)
    assert (verdict.queries, verdict.seconds, verdict.damage, verdict.timely) == (2, 1.5, 2.0, True)
    assert (verdict.workload, verdict.victim, verdict.seed, verdict.source, verdict.requests) == (
        "square",
        "toy",
        3,
        7,
        5,
    )


def test_without_an_alarm_the_damage_is_that_of_the_end() -> None:
    distance = np.array([np.inf, 3.0], dtype=np.float32)
    verdict = verdict_of(_session([1.0, 2.0], distance=distance, success=1), None)
    assert (verdict.queries, verdict.seconds, verdict.damage, verdict.timely) == (None, None, 3.0, False)
    assert verdict_of(_session([1.0]), 0).damage == math.inf
    assert verdict_of(_session([]), None).damage == math.inf


@pytest.mark.parametrize(("alarm", "success", "timely"), [(3, 4, True), (4, 4, False), (5, 4, False), (3, None, False)])
def test_in_time_is_strictly_before_the_success(alarm: int, success: int | None, *, timely: bool) -> None:
    assert _verdict(alarm, success).timely is timely


@pytest.mark.parametrize("alarm", [-1, 2])
def test_an_alarm_outside_the_session_is_refused(alarm: int) -> None:
    with pytest.raises(ValueError, match="a session of 2 requests has no alarm at request"):
        verdict_of(_session([1.0, 2.0]), alarm)


def test_a_session_that_broke_off_is_not_shown_to_the_monitor() -> None:
    shown = []

    def first_alarm(session: Session) -> int | None:
        shown.append(session)
        return 0

    whole, broken = _session([1.0, 2.0]), _session([1.0], error="the victim is gone")
    verdicts = judge([whole, broken], first_alarm)
    assert len(shown) == 1
    assert [v.alarm for v in verdicts] == [0, None]
    result = attack_result(verdicts)
    assert (result.sessions, result.errors, result.seen.hits) == (1, 1, 1)


def test_the_exact_interval_is_the_published_one() -> None:
    # No alarm in 299 sessions bounds the rate by 1.23 % two-sided: 1 - 0.025^(1/299).
    assert clopper_pearson(0, 299) == pytest.approx((0.0, 1.0 - 0.025 ** (1.0 / 299.0)))
    assert clopper_pearson(5, 5) == pytest.approx((0.025**0.2, 1.0))
    assert clopper_pearson(4, 20) == pytest.approx((0.0573, 0.4366), abs=1e-4)
    assert clopper_pearson(0, 0) == (0.0, 1.0)
    for hits, trials in ((-1, 3), (4, 3)):
        with pytest.raises(ValueError, match="is not a share"):
            clopper_pearson(hits, trials)


@given(trials=st.integers(1, 300), data=st.data())
def test_the_exact_interval_leaves_half_of_the_doubt_on_either_side(trials: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, trials))
    low, high = clopper_pearson(hits, trials)
    tail = (1.0 - LEVEL) / 2.0
    assert 0.0 <= low <= hits / trials <= high <= 1.0
    assert hits == 0 or binom.sf(hits - 1, trials, low) == pytest.approx(tail, rel=1e-6)
    assert hits == trials or binom.cdf(hits, trials, high) == pytest.approx(tail, rel=1e-6)


def test_the_timely_rate_is_over_successful_attacks_only() -> None:
    verdicts = [
        _verdict(3, 10, source=0),
        _verdict(10, 10, source=1),
        _verdict(None, 10, source=2),
        _verdict(3, None, source=3),
        _verdict(3, 9, source=4, kind=Kind.EQUIVALENT),
        _verdict(0, 10, source=5),
    ]
    rate = timely_rate(verdicts)
    assert (rate.hits, rate.trials, rate.ratio) == (2, 4, 0.5)
    assert rate == timely_rate(verdicts)
    assert 0.0 <= rate.interval.low < 0.5 < rate.interval.high <= 1.0


def test_the_bootstrap_draws_inputs_and_not_sessions() -> None:
    # Two inputs, 50 attacks each, all seen on one and none on the other: a draw has both with probability 1/2, else
    # twice the same, so the bounds are 0 and 1; sessions drawn one by one would give 0.4 to 0.6.
    verdicts = [_verdict(1 if source else None, 10, source=source) for source in (0, 1) for _ in range(50)]
    assert timely_rate(verdicts).interval == (0.0, 1.0)
    # 400 inputs with one attack each: the interval is that of a share, 0.25 +- 1.96 * sqrt(0.25 * 0.75 / 400) = 0.0424.
    many = [_verdict(None if source % 4 else 1, 10, source=source) for source in range(400)]
    assert timely_rate(many).interval == pytest.approx((0.25 - 0.0424, 0.25 + 0.0424), abs=0.008)


def test_agreement_of_all_sessions_is_not_certainty() -> None:
    verdicts = [_verdict(1, 10, source=source) for source in range(5) for _ in range(20)]
    assert timely_rate(verdicts).interval == pytest.approx((0.025**0.2, 1.0))
    missed = [replace(verdict, alarm=None) for verdict in verdicts]
    assert timely_rate(missed).interval == pytest.approx((0.0, 1.0 - 0.025**0.2))
    nothing = timely_rate([])
    assert (nothing.trials, nothing.interval) == (0, (0.0, 1.0))
    assert math.isnan(nothing.ratio)


def test_quantiles_are_values_that_occur() -> None:
    assert quantile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.0
    assert quantile([4.0, 1.0, 3.0, 2.0], 0.51) == 3.0
    assert quantile([5.0], 0.0) == quantile([5.0], 1.0) == 5.0
    assert quantile([], 0.5) == math.inf


def test_delays_of_all_sessions_count_a_missing_alarm_as_infinite() -> None:
    verdicts = [_verdict(alarm) for alarm in (9, 19, 29, 39, None, None, None, None, None)]
    late = delay([*verdicts, _verdict(0, kind=Kind.ORDINARY)])
    assert (late.median, late.p90, late.median_all, late.p90_all) == (20.0, 40.0, math.inf, math.inf)
    assert delay(verdicts[:5]).median_all == 30.0


def test_attacks_are_summed_up() -> None:
    verdicts = [_verdict(3, 10), _verdict(12, 10), _verdict(None, 10), _verdict(None), _verdict(5)]
    result = attack_result(verdicts)
    assert (result.sessions, result.errors) == (5, 0)
    assert (result.seen.hits, result.seen.trials) == (3, 5)
    assert (result.timely.hits, result.timely.trials) == (1, 3)
    assert (result.undetected.hits, result.undetected.trials) == (1, 5)
    assert (result.too_late.hits, result.too_late.trials) == (1, 5)
    assert (result.delay.median, result.damage) == (6.0, 13.0)
    assert result.undetected.interval == clopper_pearson(1, 5)


def test_every_attack_and_every_workload_has_its_own_line() -> None:
    verdicts = [
        _verdict(1, 5, workload="square"),
        _verdict(None, 5, workload="hopskipjump"),
        _verdict(None, kind=Kind.ORDINARY, workload="iid"),
        _verdict(7, kind=Kind.ORDINARY, workload="iid"),
        _verdict(3, kind=Kind.EQUIVALENT, workload="counterfactual"),
        replace(_verdict(None, kind=Kind.ORDINARY, workload="iid"), error="gone"),
    ]
    attacks = attack_results(verdicts)
    assert [(name, result.timely.ratio) for name, result in attacks.items()] == [("square", 1.0), ("hopskipjump", 0.0)]
    benign = benign_results(verdicts)
    assert list(benign) == ["iid", "counterfactual"]
    iid = benign["iid"]
    assert (iid.kind, iid.errors, iid.alarmed.hits, iid.alarmed.trials) == (Kind.ORDINARY, 1, 1, 2)
    assert iid.alarmed.interval == clopper_pearson(1, 2)
    assert (iid.requests, iid.per_million) == (200, 5_000.0)

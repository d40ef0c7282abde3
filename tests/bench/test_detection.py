"""The detection benchmark: bounds by hand, streams as described, and a page with everything on it."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bench.detection import __main__ as program
from bench.detection import bounds, engine, nulls, real, report, speed, streams
from bench.detection.cases import COLUMNS, Case, cases
from bench.detection.data import RealStream, table_of
from bench.detection.joint import split
from bench.detection.peers import windows
from bench.detection.results import DelayCell, NullCell, PeerDelay, Results, SpeedCell
from bench.report import END, update_page
from detectors.columns import Codes


def test_divergences_have_their_values_by_hand() -> None:
    assert bounds.normal_mean(0.5) == 0.125
    assert bounds.normal_scale(2.0) == pytest.approx(1.5 - math.log(2))
    assert bounds.correlation(0.6) == pytest.approx(-0.5 * math.log(0.64))
    matrix = np.full((5, 5), 0.6) + 0.4 * np.eye(5)
    assert bounds.correlation(0.6, 5) == pytest.approx(-0.5 * math.log(np.linalg.det(matrix)))
    missing = bounds.shares(np.array([0.03, 0.97]), np.array([0.01, 0.99]))
    assert missing == pytest.approx(0.03 * math.log(3) + 0.97 * math.log(97 / 99))
    assert bounds.shares(np.array([1.0, 0.0]), np.array([0.5, 0.5])) == pytest.approx(math.log(2))


def test_the_divergence_of_heavy_tails_is_less_when_nobody_knows_the_tails() -> None:
    # Entropy of Student's t3: 2 (psi(2) - psi(1.5)) + log(sqrt(3) pi / 2); scaled to unit variance: less log(3) / 2.
    entropy = 2 * (0.4227843 - 0.0364900) + math.log(math.sqrt(3) * math.pi / 2) - math.log(3) / 2
    exact = math.log(2 * math.pi * math.e) / 2 - entropy
    assert bounds.student_exact(3) == pytest.approx(exact, abs=1e-6)
    known = [bounds.student_known(3, rows) for rows in (1_000, 20_000, 10**12)]
    assert known == sorted(known)
    assert known[-1] < exact
    assert known[1] == pytest.approx(0.1111, abs=1e-4)


def test_lordens_bound_is_the_logarithm_over_the_divergence() -> None:
    assert bounds.lorden(1e4, 0.5) == pytest.approx(18.42, abs=0.01)
    assert bounds.lorden(math.e, 0.25) == pytest.approx(4.0)


def test_an_autoregressive_stream_has_the_variance_and_memory_that_it_should() -> None:
    values = streams.autoregressive(np.random.default_rng(0), 200_000, 0.8)
    assert values.std() == pytest.approx(1.0, abs=0.03)
    assert np.corrcoef(values[:-1], values[1:])[0, 1] == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("kind", ["independent", "AR(1) 0.8", "sessions", "daily season"])
def test_the_same_seed_gives_the_same_stream(kind: str) -> None:
    first, again = (streams.null_table(kind, 6, np.random.default_rng(3), 500) for _ in range(2))
    assert list(first) == ["x0", "x1", "x2", "x3", "c4", "x5"]
    for name, values in first.items():
        other = again[name]
        if isinstance(values, Codes) and isinstance(other, Codes):
            assert values.codes.max() == 4
            np.testing.assert_array_equal(values.codes, other.codes)
        else:
            np.testing.assert_array_equal(np.asarray(values), np.asarray(other))


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_a_case_has_twenty_columns_and_shows_the_change_in_the_first(case: Case) -> None:
    table = case.table(np.random.default_rng(1), 50, 70)
    assert len(split(table)[0]) == COLUMNS
    assert case.changed == next(iter(table))
    assert {len(v.codes if isinstance(v, Codes) else v) for v in table.values()} == {120}
    assert case.kl > 0


def test_both_marginals_of_the_correlated_pair_stay_as_they_were() -> None:
    case = next(case for case in cases() if case.name.startswith("correlation"))
    table = case.table(np.random.default_rng(1), 0, 100_000)
    pair = [np.asarray(table[name], dtype=np.float64) for name in ("x0", "x1")]
    assert [float(v.std()) for v in pair] == pytest.approx([1.0, 1.0], abs=0.02)
    assert np.mean(pair[0] * pair[1]) == pytest.approx(0.6, abs=0.02)


def test_one_pass_finds_the_first_alarm_of_every_promise() -> None:
    rng = np.random.default_rng(5)
    detector = engine.engine_of({"x": rng.normal(size=2_000)})
    stream: streams.Table = {"x": np.concatenate([rng.normal(size=300), rng.normal(size=300) + 2])}
    found = engine.first_alarms(detector, stream, (1e3, 1e6, 1e300))
    assert found[0] == engine.alarms(detector, stream, 1e3)[0]
    assert found[1] == engine.alarms(detector, stream, 1e6)[0]
    assert 300 <= found[0] < found[1] < 340
    assert found[2] is None


def test_poisson_limits_are_the_exact_ones() -> None:
    assert report.poisson_limits(0) == pytest.approx((0.0, -math.log(0.025)))
    assert report.poisson_limits(10) == pytest.approx((4.795, 18.390), abs=1e-3)


def test_a_median_counts_late_runs_as_the_latest() -> None:
    assert report.median([3, 1, 2], 0) == 2.0
    assert report.median([1, 2, 3, 4], 0) == 2.5
    assert report.median([5], 2) == math.inf
    assert math.isnan(report.median([], 0))
    assert report.geometric_mean([1.0, 4.0]) == pytest.approx(2.0)


def test_a_promise_is_missed_only_when_chance_is_no_excuse() -> None:
    def row(alarms: int) -> str:
        cell = NullCell("s", 20, 1000, 1e4, 100_000, alarms, 0.0)
        return report.null_row(cell)[-1]

    assert row(0) == row(10) == row(17) == "10,000, met"
    assert row(30) == "10,000, **missed**"


def test_windows_are_whole_and_share_nothing() -> None:
    parts = windows(np.arange(25.0), 10)
    assert [part.tolist() for part in parts if not isinstance(part, Codes)] == [
        list(range(10)),
        list(range(10, 20)),
    ]


def test_alarms_that_soon_follow_one_another_are_one_page_whoever_raises_them() -> None:
    assert real.pages([]) == 0
    assert real.pages([0]) == 1
    assert real.pages([5, 1_005, 2_006, 2_007]) == 2
    calm = RealStream(name="s", table={"x": np.zeros(4_000)}, reference=20, kind="none")
    cell = real.score(calm, "d", [3, 900, 2_500])
    assert (cell.false_alarms, cell.pages) == (3, 2)


def test_alarms_on_a_real_stream_are_judged_by_what_is_known_of_it() -> None:
    table: streams.Table = {"x": np.zeros(100)}
    known = RealStream(name="s", table=table, reference=20, kind="change", change=50)
    cell = real.score(known, "d", [5, 29, 30, 40])
    assert (cell.false_alarms, cell.quiet_rows, cell.delay, cell.later) == (2, 30, 1, 2)
    assert real.score(known, "d", [5]).delay is None
    marked = RealStream(name="s", table=table, reference=20, kind="windows", windows=((30, 39), (60, 69)))
    cell = real.score(marked, "d", [10, 12, 30])
    assert (cell.hits, cell.targets, cell.false_alarms, cell.quiet_rows) == (1, 2, 1, 60)
    calm = RealStream(name="s", table=table, reference=20, kind="none")
    assert real.score(calm, "d", [3, 3]).false_alarms == 1
    assert real.score(RealStream(name="s", table=table, reference=20, kind="unlabelled"), "d", [3]).later == 1


def test_ticks_of_several_rows_alarm_at_their_last_row() -> None:
    rng = np.random.default_rng(6)
    detector = engine.engine_of({"x": rng.normal(size=2_000)}, 10)
    stream: streams.Table = {"x": np.concatenate([rng.normal(size=200), rng.normal(size=205) + 2])}
    (first, names), *_ = engine.blamed_alarms(detector, stream, 1e3, 10)
    assert first % 10 == 9
    assert 200 < first < 240
    assert names == ("x",)


def test_a_change_that_lasts_is_told_from_one_that_comes_again() -> None:
    rng = np.random.default_rng(6)
    detector = engine.engine_of({"x": rng.normal(size=2_000)})
    moved = np.repeat([0.0, 3.0, 0.0, 3.0], [200, 50, 300, 10])
    found = engine.all_alarms(detector, {"x": rng.normal(size=560) + moved}, 1e3)
    first, *during = [alarm for alarm in found if alarm.row < 250]
    assert during
    assert (first.again, {alarm.again for alarm in during}) == (False, {True})
    assert not next(alarm for alarm in found if alarm.row >= 550).again


def test_columns_of_a_table_become_numbers_or_labels() -> None:
    table = pa.table({"n": [1, None, 3], "t": ["a", None, "b"], "b": [True, False, True]})
    found = table_of(table, "n", "t", "b")
    np.testing.assert_array_equal(np.asarray(found["n"]), [1.0, np.nan, 3.0])
    for name, labels, codes in (("t", ("a", "b"), [0, -1, 1]), ("b", ("true", "false"), [0, 1, 0])):
        values = found[name]
        assert isinstance(values, Codes)
        assert (values.labels, values.codes.tolist()) == (labels, codes)


def _results() -> Results:
    found = Results({"Python": "3"}, "test", {"river": "1"}, {"other": "not installed here"})
    found.delays = [
        DelayCell("one", 0.5, "exact", {"10000": [20, 22, 24]}, {"10000": 0}, {"10000": 0}, 100),
        DelayCell("two", 0.5, "by hand", {"10000": [60]}, {"10000": 1}, {"10000": 2}, 100),
    ]
    found.peer_delays = [
        PeerDelay("engine", "tuned", "one", [12], 0, 100),
        PeerDelay("river ADWIN", "tuned", "one", [10], 0, 100),
        PeerDelay("river ADWIN", "default", "one", [50], 0, 100),
    ]
    found.speed = [
        SpeedCell("engine", 10, 10_000, [1000.0], [100.0, 101.0], 5),
        SpeedCell("evidently DataDriftPreset", 10, 10_000, [20.0]),
    ]
    return found


def test_the_page_says_what_is_missed_and_where_a_peer_wins() -> None:
    text = report.render(_results())
    assert "| one | 0.5000 | 22 / 18 | **1.19** | 3 | 2.5, met |" in text
    assert "| two | 0.5000 | not in 100 / 18 | - | 1 + 2 late | 2.5, **missed** |" in text
    assert "* **river ADWIN is faster** at one: 10 rows against 12." in text
    assert "* two: by hand." in text
    assert "* other: not installed here." in text
    assert "| 10 | evidently DataDriftPreset | 20 | **50** | 100, **missed** |" in text


@pytest.mark.slow
def test_a_tiny_run_fills_the_page(tmp_path: Path) -> None:
    plan = program.Plan(
        name="tiny",
        nulls=(nulls.NullCase(stream="AR(1) 0.8", columns=5, reference=500, rows=400, seeds=2, peers=True),),
        runs=2,
        tuning=0.005,
        cases=("mean + 1 sd",),
        speed=speed.SpeedPlan(columns=(3,), repeats=1, rows=100_000, peer_columns=0),
        peers=("scipy",),
    )
    results = program.run(plan, program.PARTS, tmp_path / "absent", lambda _: None)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{program.BEGIN}\n\nold\n{END}\nafter\n")
    text = report.render(results)
    update_page(page, text, program.BEGIN)
    assert page.read_text() == f"before\n{program.BEGIN}\n\n{text}\n{END}\nafter\n"
    assert [line for line in text.splitlines() if line.startswith("### ")] == [
        "### 1. False alarms",
        "### 2. Delay",
        "### 3. Real streams",
        "### 4. Speed",
    ]
    assert "| AR(1) 0.8 | 5 | 500 | 800 |" in text
    assert "| mean + 1 sd | 0.5000 |" in text
    assert "scipy ks_2samp: tuned" in text
    assert "Skipped: the folder with the real data is not there" in text
    assert program.BEGIN in program.PAGE.read_text()

"""The benchmark of adversarial use: bounds by hand, ports as published, and a quick run that a blind monitor fails."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from bench.adversarial import __main__ as program
from bench.adversarial.__main__ import in_lines
from bench.adversarial.anew import costs_anew
from bench.adversarial.harness import first, judged, thresholds
from bench.adversarial.peers.blacklight import Blacklight, rolling
from bench.adversarial.peers.gwad import histograms
from bench.adversarial.peers.lfc import Lfc, ljung_box
from bench.adversarial.peers.neighbours import Neighbours
from bench.adversarial.peers.prada import Prada
from bench.adversarial.results import EVERY, ORDINARY, PRODUCT, Bars, Cost, Results
from bench.adversarial.sessions import CALIBRATE, CONFIRM, GROW, of_attack, of_workload, turns
from bench.adversarial.setting import Lenses, salt
from bench.adversarial.train import forest_of, write
from bench.adversarial.watch import Live, scores, watch
from bench.report import END
from detectors.principals.cluster import FEATURES
from detectors.principals.forest_data import DIGEST
from detectors.principals.grown import INTENT, grown
from detectors.principals.monitor import Tier
from detectors.principals.thresholds import EXTRACTION_LEAST, PROBING_LEAST
from redteam.attacks import ATTACKS, session_of
from redteam.benign import WORKLOADS
from redteam.judge import timely_rate, verdict_of
from redteam.victims import Victim, digits


@pytest.fixture(scope="module")
def victim() -> Victim:
    return digits()


@pytest.fixture(scope="module")
def bars() -> Bars:
    return msgspec.json.decode(program.THRESHOLDS.read_bytes(), type=Bars)


def test_the_forest_that_ships_is_the_one_that_thresholds_are_of(bars: Bars) -> None:
    assert grown().digest == DIGEST == bars.forest


def test_the_product_is_never_more_eager_than_the_thresholds_of_the_benchmark(bars: Bars) -> None:
    least = {"intent": INTENT, "probing": PROBING_LEAST, "extraction": EXTRACTION_LEAST}
    for values in bars.values.values():
        for tier, value in least.items():
            assert values[tier][ORDINARY] <= values[tier][EVERY] <= value <= values[tier][PRODUCT]


def test_the_thresholds_that_ship_are_the_ones_that_the_page_names(bars: Bars) -> None:
    assert f"`{bars.digest}`" in program.PAGE.read_text()


def test_attacks_by_labels_are_seen_in_time_and_benign_clients_left_alone(victim: Victim, bars: Bars) -> None:
    """With everything seeded, this run has one result: it changes only with what it tests."""
    lenses = Lenses(victim, CONFIRM.name)
    bar = bars.values["digits"]["intent"][EVERY]
    seen = []
    for name in ("boundary", "hopskipjump-l2", "signopt"):
        for session in of_attack(victim, ATTACKS[name], CONFIRM, 6):
            evidence = watch(session, lenses.of(session)).intent(grown())
            seen.append(verdict_of(session, first(evidence, bar)))
    found = timely_rate(seen)
    assert found.trials >= 8
    assert found.ratio >= 0.6
    wronged = [
        first(watch(session, lenses.of(session)).intent(grown()), bar) is not None
        for name in ("iid", "one_class", "lime", "noise", "random_walk")
        for session in of_workload(victim, WORKLOADS[name], CONFIRM, 2)
    ]
    assert sum(wronged) <= 1


def test_a_forest_from_the_library_says_what_the_library_does(tmp_path: Path) -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    rng = np.random.default_rng(0)
    stories = rng.standard_normal((3_000, len(FEATURES))).astype(np.float32)
    truth = stories[:, 0] * stories[:, 1] + stories[:, 2] > 0.3
    model = HistGradientBoostingClassifier(max_iter=30, max_depth=4, min_samples_leaf=20).fit(stories, truth)
    forest = forest_of(model)
    exact = model.decision_function(stories)
    assert np.abs(scores(forest, stories.astype(np.float64)) - exact).max() < 1e-5
    assert [forest.score(row) for row in stories[:50].astype(np.float64)] == pytest.approx(exact[:50], abs=1e-5)
    write(forest, "For a test.", tmp_path / "data.py")
    held: dict[str, str] = {}
    exec((tmp_path / "data.py").read_text(), held)
    assert held["DIGEST"] == forest.digest


def test_what_is_measured_in_parts_is_what_the_monitor_says_live(victim: Victim, bars: Bars) -> None:
    source = next(turns(list(range(100)), CONFIRM, 1))[0]
    lens = Lenses(victim, CONFIRM.name).at(CONFIRM.seed, source)
    told: list[bool] = []
    live = Live(lens, grown(), thresholds(bars.values["digits"]))

    def look(row: np.ndarray, answer: np.ndarray, seconds: float, account: int) -> bool:
        told.append(live(row, answer, seconds, account))
        return told[-1]

    session = session_of(ATTACKS["boundary"], victim, victim.confirmation, source, CONFIRM.seed, 200, watch=look)
    trace = watch(session, lens)
    own = thresholds(bars.values["digits"])
    tiers = (trace.probing >= own.probing, trace.extraction >= own.extraction)
    at = next(i for i, each in enumerate(told) if each)
    expected = min(
        each
        for each in (*(first(tier.astype(np.float64), 1.0) for tier in tiers), first(trace.intent(grown()), own.intent))
        if each is not None
    )
    assert at == expected


def test_parts_share_neither_sources_nor_salts() -> None:
    places = list(range(20))
    assert {s for s, _ in turns(places, GROW, 10)}.isdisjoint(s for s, _ in turns(places, CALIBRATE, 10))
    assert len({salt("digits", part.name, i) for part in (GROW, CALIBRATE, CONFIRM) for i in range(12)}) == 36
    assert list(turns([0, 1, 2, 3], CALIBRATE, 3)) == [(1, 2_000), (3, 2_000), (1, 2_001)]


def test_an_alarm_is_raised_by_evidence_that_reaches_the_threshold() -> None:
    assert first(np.array([0.0, 1.0, 2.0]), 1.0) == 1
    assert first(np.array([0.0, -np.inf]), 1.0) is None


def test_every_detector_is_judged_by_every_rule(victim: Victim) -> None:
    session = next(of_workload(victim, WORKLOADS["iid"], CONFIRM, 1))
    series = {
        str(tier): np.arange(len(session), dtype=np.float64)
        for tier in Tier
        if tier in {"probing", "intent", "extraction"}
    }
    own = {name: {"ordinary": 3.0, "every": 5.0} for name in series}
    found = {(s.detector, s.rule): s.verdict.alarm for s in judged(session, series, own)}
    assert found["intent", "ordinary"] == 3
    assert found["monitor", "every"] == 5


def test_blacklight_counts_the_hashes_that_two_requests_share() -> None:
    rng = np.random.default_rng(1)
    row = rng.random(200)
    other = row.copy()
    other[:2] = 1.0 - other[:2]
    peer = Blacklight(0.0, 1.0, 200, np.random.default_rng(2))
    assert peer.scores(np.array([row, rng.random(200), row]), np.zeros(0)).tolist() == [0.0, 0.0, 50.0]
    assert peer.scores(np.array([row, other]), np.zeros(0))[1] >= 40


def test_a_rolling_hash_depends_on_its_window_alone() -> None:
    levels = np.array([[1, 2, 3, 1, 2, 3, 4]], np.uint64)
    found = rolling(levels, 3)[0].tolist()
    assert found[0] == found[3]
    assert len(set(found)) == 4


def test_the_statistic_of_ljung_and_box_has_its_value_by_hand() -> None:
    from scipy.stats import chi2

    values = np.random.default_rng(3).random(40)
    centred = values - values.mean()
    lags = range(1, 9)
    rho = [float((centred[k:] * centred[:-k]).sum() / (centred**2).sum()) for k in lags]
    statistic = 40 * 42 * sum(r * r / (40 - k) for k, r in zip(lags, rho, strict=True))
    assert ljung_box(values)[-1] == pytest.approx(-np.log10(chi2.sf(statistic, 8)))
    assert np.isneginf(ljung_box(values)[:14]).all()


def test_lfc_finds_a_trend_among_near_duplicates_only() -> None:
    rng = np.random.default_rng(4)
    root = rng.random(64)
    falls = np.linspace(0.9, 0.1, 40)
    answers = np.stack([falls, 1.0 - falls], axis=1)
    peer = Lfc(0.0, 1.0, 64, np.random.default_rng(5))
    near = peer.scores(np.clip(root + 1e-4 * rng.standard_normal((40, 64)), 0, 1), answers)
    assert near[-1] > 3.0
    assert np.isneginf(peer.scores(rng.random((40, 64)), answers)).all()


def test_neighbours_are_told_of_from_the_51st_request_on() -> None:
    found = Neighbours().scores(np.arange(60.0)[:, None], np.zeros(0))
    assert np.isneginf(found[:50]).all()
    assert found[50] == pytest.approx(-25.5)


def test_prada_tells_two_kinds_of_distances_from_one() -> None:
    rng = np.random.default_rng(6)
    natural = rng.standard_normal((300, 20))
    answers = np.tile([0.6, 0.4], (300, 1))
    made = natural.copy()
    made[1::2] *= 0.05
    assert Prada().scores(made, answers)[-1] > Prada().scores(natural, answers)[-1] + 0.1


def test_gwad_counts_the_cosines_of_the_last_256_pairs_of_steps() -> None:
    there_and_back = np.tile([[0.0, 0.0], [1.0, 0.0]], (150, 1))
    found = histograms(there_and_back)
    assert len(found) == 300 - 257
    assert found[-1, 0] == pytest.approx(1.0)


def test_the_figures_are_written_with_a_line_for_each_record() -> None:
    figures = {"plan": "short", "rows": [{"a": 1}, {"a": [2, 3]}], "none": []}
    written = in_lines(figures)
    assert msgspec.json.decode(written) == figures
    assert b'\n{"a":1},\n{"a":[2,3]}\n' in written


def test_costs_that_are_measured_anew_take_the_place_of_those_of_before_and_nothing_else_changes() -> None:
    page, figures = program.PAGE.read_text(), msgspec.json.decode(program.DATA.read_bytes())
    told = Results({"commit": "abc"}, "full", costs=[Cost("monitor, all tiers", "digits", 400.0, 500.0, 99.0)])
    told.commits["cost digits"] = "abc"
    changed, found = costs_anew(page, figures, told)
    rows = [line for line in changed.splitlines() if line not in page.splitlines()]
    assert rows == [
        "| digits | at least 3,000 requests a second and core | **2,500** | 🟥 **missed** |",
        "| digits | monitor, all tiers | 400.0 | 500.0 | 99.0 |",
    ]
    assert changed[changed.index(END) :] == page[page.index(END) :]
    assert found["costs"] == told.costs
    assert found["commits"] == figures["commits"] | {"cost digits": "abc"}
    assert {name: one for name, one in found.items() if name not in {"costs", "commits"}} == {
        name: one for name, one in figures.items() if name not in {"costs", "commits"}
    }
    with pytest.raises(ValueError, match="0 rows for moon"):
        costs_anew(page, figures, Results({}, "full", costs=[told.costs[0]._replace(victim="moon")]))

"""Attacks without a single input: what they steal, learn, cost and move is measured, and is what they claim."""

import json
from pathlib import Path

import numpy as np
import pytest

from redteam.attacks import ATTACKS, Family, session_of, sources_of
from redteam.attacks.thief import Thief
from redteam.oracle import Oracle
from redteam.session import Kind, Session
from redteam.victims import Victim


def run(name: str, victim: Victim, queries_max: int | None = None, nth: int = 0) -> Session:
    source = sources_of(victim, victim.calibration)[nth]
    session = session_of(ATTACKS[name], victim, victim.calibration, source, 0, queries_max)
    assert session.error == ""
    return session


def test_every_technique_is_one_of_atlas(shared_data: Path) -> None:
    atlas = json.loads((shared_data / "atlas" / "atlas.json").read_text())
    known = {technique["id"] for technique in atlas["techniques"]}
    assert {id_ for attack in ATTACKS.values() for id_ in attack.techniques} <= known
    assert all(attack.techniques for attack in ATTACKS.values())


def test_every_attack_says_when_it_has_succeeded() -> None:
    for attack in ATTACKS.values():
        assert attack.family.evades == (attack.enough is None) == (attack.progress == ""), attack.name


def test_the_registry_names_each_attack_as_it_names_itself() -> None:
    assert len(ATTACKS) > 50
    assert {name: attack.name for name, attack in ATTACKS.items()} == {name: name for name in ATTACKS}


def test_a_thief_follows_its_own_slopes(victim: Victim) -> None:
    inputs = victim.calibration[0][:100]
    thief = Thief(victim.dimension, 10, np.random.default_rng(0)).fit(inputs, victim.predict(inputs))
    rows = inputs[:5]
    labels = thief.labels(rows)
    slopes = thief.slopes(rows, labels)

    def lead(moved: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> float:
        scores = thief.scores(moved)[0]
        return float(scores[labels[0]] - np.delete(scores, labels[0]).max())

    for column in (10, 20, 30, 43):
        step = np.zeros((1, victim.dimension))
        step[0, column] = 1e-6
        measured = (lead(rows[:1] + step) - lead(rows[:1] - step)) / 2e-6
        assert slopes[0, column] == pytest.approx(measured, rel=1e-4, abs=1e-6)


def test_what_is_stolen_is_judged_on_inputs_that_were_never_sent(victim: Victim) -> None:
    session = run("knockoff-own", victim)
    sent = {row.tobytes() for row in session.inputs}
    assert not any(row.astype(np.float32).tobytes() in sent for row in victim.reference[0])
    assert [asked for asked, _ in session.progress] == [25, 50, 100, 200, len(session)]
    fidelity = [value for _, value in session.progress]
    assert fidelity[-1] > 0.9
    assert fidelity[0] < fidelity[-1]
    assert session.success is not None
    first = next(asked for asked, value in session.progress if value >= 0.8)
    assert session.success == first - 1
    assert len(session) > first


def test_labels_alone_teach_less_than_probabilities(victim: Victim) -> None:
    soft = run("knockoff-own", victim, 100).progress[-1][1]
    hard = run("copycat-own", victim, 100).progress[-1][1]
    assert hard < soft


def test_steps_towards_the_boundary_teach_more_than_the_first_inputs(victim: Victim) -> None:
    session = run("jacobian", victim)
    assert session.progress[-1][1] > session.progress[0][1] + 0.1
    assert len(session) == ATTACKS["jacobian"].queries_max


def test_half_of_the_records_in_doubt_are_training_data(victim: Victim) -> None:
    session = run("membership-confidence", victim, 100)
    trained = {row.astype(np.float32).tobytes() for row in victim.fit[0]}
    assert [row.tobytes() in trained for row in session.inputs] == [True, False] * 50
    assert session.success == 99


def test_distances_to_the_boundary_take_hundreds_of_requests_a_record(victim: Victim) -> None:
    session = run("membership-boundary", victim)
    records = len(session.progress)
    assert records >= 5
    assert 100 < len(session) / records < 500
    assert session.success == session.progress[4][0] - 1


def test_sponges_take_longer_and_longer(victim: Victim) -> None:
    session = run("sponge", victim)
    assert session.latency_ms is not None
    assert len(session.latency_ms) == len(session)
    assert session.latency_ms[-16:].mean() > 2 * session.latency_ms[:16].mean()
    assert session.success is not None
    assert run("hopskipjump-l2", victim, 50).latency_ms is None


def test_flipped_labels_are_reported_and_bring_the_accuracy_down(victim: Victim) -> None:
    session = run("label-flips", victim)
    assert session.feedback is not None
    assert len(session.feedback) == len(session)
    assert np.mean(session.feedback == session.labels) < 0.6
    ordinary = {row.astype(np.float32).tobytes() for row in victim.calibration[0]}
    assert all(row.tobytes() in ordinary for row in session.inputs)
    assert session.success is not None


@pytest.mark.parametrize("nth", [0, 5])
def test_a_boiling_frog_moves_one_column_by_a_hundredth_of_its_spread_a_day(victim: Victim, nth: int) -> None:
    session = run("boiling-frog", victim, nth=nth)
    moved = np.array([value for _, value in session.progress])
    np.testing.assert_allclose(moved, 0.01 * np.arange(60), atol=0.002)
    assert np.diff(session.seconds[::100]) == pytest.approx(86_400, rel=0.01)
    inputs = victim.calibration[0]
    shift = np.abs(session.inputs[-1_000:].mean(axis=0) - session.inputs[:1_000].mean(axis=0))
    spread = inputs.std(axis=0)
    assert np.sum(shift > 0.2 * np.maximum(spread, 0.05)) == 1
    assert session.success == session.progress[np.flatnonzero(moved >= 0.5)[0]][0] - 1


def test_a_poisoned_baseline_is_moved_by_a_tenth_of_its_spread(victim: Victim) -> None:
    session = run("baseline-poison", victim)
    values = [value for _, value in session.progress]
    assert values[-1] > 0.1
    assert session.success is not None


def test_chaff_comes_from_many_accounts_and_stays_near_what_is_real(victim: Victim) -> None:
    session = run("chaff", victim)
    assert len(set(session.accounts)) == 20
    assert np.all(np.diff(np.flatnonzero(np.diff(session.accounts))) == 40)


def test_families_cover_what_the_red_team_is_for() -> None:
    assert {attack.family for attack in ATTACKS.values()} == set(Family)


def test_an_oracle_remembers_marks_reports_and_times(victim: Victim) -> None:
    inputs = victim.calibration[0]
    oracle = Oracle(
        victim.predict, 100, enough=2.0, after=100, latency=lambda rows: np.arange(len(rows), dtype=np.float64)
    )
    oracle.mark(5.0)
    assert oracle.success is None
    oracle.ask(inputs[:3])
    np.testing.assert_array_equal(oracle.latencies, [0.0, 1.0, 2.0])
    oracle.report(np.array([7, 8]))
    oracle.mark(1.0)
    assert oracle.success is None
    oracle.mark(2.0)
    oracle.ask(inputs[3:5])
    oracle.mark(3.0)
    session = oracle.session(workload="x", kind=Kind.ATTACK, victim="digits", seed=0, source=-1)
    assert session.success == 2
    assert session.progress == ((0, 5.0), (3, 1.0), (3, 2.0), (5, 3.0))
    np.testing.assert_array_equal(session.latency_ms, [0, 1, 2, 0, 1])
    np.testing.assert_array_equal(session.feedback, [-1, 7, 8, -1, -1])


def test_splits_are_disjoint_and_the_fast_answers_are_the_classifiers_own(victims: list[Victim]) -> None:
    for victim in victims:
        parts = (victim.fit, victim.reference, victim.calibration, victim.confirmation)
        counts = [len({row.tobytes() for row in part[0]}) for part in parts]
        assert len({row.tobytes() for part in parts for row in part[0]}) == sum(counts)
    plain, table = victims[0], victims[-1]
    for victim in (plain, table):
        rows = victim.confirmation[0]
        np.testing.assert_allclose(victim.predict(rows), victim.classifier.predict_proba(rows), atol=1e-12)
        assert np.mean(victim.predict(rows).argmax(axis=1) == victim.confirmation[1]) > 0.92


def test_a_white_box_attack_on_a_table_needs_one_request(victims: list[Victim]) -> None:
    table = victims[-1]
    assert ATTACKS["lowprofool"].fits(table)
    assert not ATTACKS["lowprofool"].fits(victims[0])
    done = 0
    for source in sources_of(table, table.calibration)[:10]:
        session = session_of(ATTACKS["lowprofool"], table, table.calibration, source, 0)
        assert len(session) <= 4
        done += session.success is not None
    assert done >= 7

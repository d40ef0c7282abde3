"""Benign workloads: reproducible, within bounds, and each one what it says it is."""

import numpy as np
import pytest

from redteam.benign import WORKLOADS, Shape, Workload, session_of, shape_of, workloads_for
from redteam.session import Kind, Session
from redteam.victims import Victim
from tests.redteam.toys import Rows, shape_name, toy_victim, victims


def _cases() -> list[tuple[Workload, Victim]]:
    return [(workload, victim) for victim in victims() for workload in workloads_for(victim)]


def _name(value: object) -> str:
    return value.name if isinstance(value, Workload) else shape_name(value)


def _session(
    name: str, victim: Victim | None = None, *, source: int = 4, seed: int = 1, length: int | None = None
) -> Session:
    return session_of(WORKLOADS[name], victim or victims()[0], "calibration", source, seed, length)


def _same(one: Session, other: Session) -> bool:
    return all(
        np.array_equal(getattr(one, part), getattr(other, part))
        for part in ("inputs", "probabilities", "seconds", "accounts")
    )


def test_the_registry_names_every_workload_that_is_asked_for() -> None:
    kinds = {name: workload.kind for name, workload in WORKLOADS.items()}
    assert all(workload.name == name and workload.title for name, workload in WORKLOADS.items())
    assert {name for name, kind in kinds.items() if kind is Kind.ORDINARY} == {
        "iid", "retries", "one_class", "bursty", "drifting", "weekly_mix", "low_confidence",
    }  # fmt: skip
    assert {name for name, kind in kinds.items() if kind is Kind.EQUIVALENT} == {"boundary_probe", "counterfactual"}
    assert {name for name, kind in kinds.items() if kind is Kind.EXPLANATION} >= {
        "lime", "kernelshap", "kernelshap_paired", "occlusion", "rise", "noise", "sweep", "video", "grid_search",
        "restoration", "confidence_boost", "random_walk",
    }  # fmt: skip
    assert Kind.ATTACK not in kinds.values()


def test_workloads_are_chosen_by_shape_and_kind() -> None:
    image, table = victims()[0], victims()[2]
    assert (shape_of(image), shape_of(table)) == (Shape.IMAGE, Shape.TABLE)
    assert {w.name for w in WORKLOADS.values()} - {w.name for w in workloads_for(image)} == {"one_at_a_time"}
    assert {w.name for w in WORKLOADS.values()} - {w.name for w in workloads_for(table)} == {
        "rise", "sweep", "blur_sweep", "video",
    }  # fmt: skip
    assert {w.name for w in workloads_for(table, Kind.EQUIVALENT)} == {"boundary_probe", "counterfactual"}


@pytest.mark.parametrize(("workload", "victim"), _cases(), ids=_name)
def test_a_session_is_whole_and_reproducible(workload: Workload, victim: Victim) -> None:
    length = 120
    session = session_of(workload, victim, "calibration", 4, 1, length)
    assert (session.workload, session.kind, session.victim) == (workload.name, workload.kind, victim.name)
    assert (session.seed, session.source, session.success, session.error) == (1, 4, None, "")
    assert session.inputs.shape == (len(session), victim.dimension)
    assert session.probabilities.shape == (len(session), victim.classes)
    assert session.seconds.shape == session.accounts.shape == (len(session),)
    short = {"occlusion", "restoration", "confidence_boost", "boundary_probe", "counterfactual", "sensitivity"}
    whole = workload.name not in short
    # Finite differences of a table are two requests for each of its columns.
    least = 0.1 if workload.name == "sensitivity" else 0.5
    assert len(session) == length if whole else length * least < len(session) <= length
    assert np.isfinite(session.inputs).all()
    assert session.inputs.min() >= np.float32(victim.low)
    assert session.inputs.max() <= np.float32(victim.high)
    assert (np.diff(session.seconds) >= 0.0).all()
    assert np.allclose(session.probabilities.sum(axis=1), 1.0, atol=1e-5)
    assert (session.accounts == 0).all()
    assert _same(session, session_of(workload, victim, "calibration", 4, 1, length))


@pytest.mark.parametrize(("workload", "victim"), _cases()[:: len(victims())], ids=_name)
def test_one_request_is_a_session_too(workload: Workload, victim: Victim) -> None:
    assert len(session_of(workload, victim, "calibration", 0, 0, 1)) == 1


@pytest.mark.parametrize("name", ["iid", "lime", "kernelshap", "rise", "noise", "video", "restoration", "random_walk"])
def test_the_dice_depend_on_seed_source_and_workload(name: str) -> None:
    one = _session(name, length=60)
    assert not _same(one, _session(name, length=60, seed=2))
    assert not _same(one, _session(name, length=60, source=5))


def test_two_workloads_with_one_client_throw_other_dice() -> None:
    assert not np.array_equal(_session("iid").inputs, _session("bursty").inputs)


def test_a_session_takes_its_inputs_from_the_split_that_is_named() -> None:
    session = session_of(WORKLOADS["iid"], victims()[0], "confirmation", 3, 1, 50)
    assert np.array_equal(session.inputs[0], victims()[0].confirmation[0][3].astype(np.float32))


def test_lengths_are_the_workloads_own_unless_given() -> None:
    expected = {
        "iid": 600,
        "lime": 1_000,
        "kernelshap": 500,
        "rise": 1_000,
        "noise": 1_024,
        "sweep": 1_024,
        "video": 600,
    }
    assert {name: len(_session(name)) for name in expected} == expected
    # A start, then rounds of eight pairs and a candidate.
    assert len(_session("confidence_boost")) == 1 + 60 * 17
    # Patches of two to four pixels on a side of eight, and the image itself.
    assert len(_session("occlusion")) == 1 + 49 + 36 + 25
    larger = _session("occlusion", toy_victim((28, 28), low=0.0, high=1.0, count=6))
    assert len(larger) == 842


@pytest.mark.parametrize("name", ["iid", "bursty", "one_class", "low_confidence", "weekly_mix"])
def test_no_input_comes_twice_though_the_split_is_short(name: str) -> None:
    for victim in (victims()[0], victims()[2]):
        session = _session(name, victim, length=150)
        assert len(np.unique(session.inputs, axis=0)) >= 0.99 * len(session)


def test_the_split_is_dealt_before_anything_new_is_made() -> None:
    inputs = victims()[0].calibration[0].astype(np.float32)
    dealt = _session("iid", length=100).inputs
    assert np.array_equal(np.unique(dealt[: len(inputs)], axis=0), np.unique(inputs, axis=0))
    assert not (dealt[len(inputs) :, None] == inputs).all(axis=2).any()


def test_what_is_made_anew_keeps_apart_as_inputs_do() -> None:
    # Digits of this toy are as far apart as noise: variants of one by a tenth of a pixel would be ten times closer.
    for victim in (victims()[1], victims()[2]):
        spread = victim.calibration[0].std(axis=0) if len(victim.shape) == 1 else 1.0
        inputs = victim.calibration[0] / spread
        dealt = np.asarray(_session("iid", victim, length=150).inputs, dtype=np.float64) / spread

        def nearest(rows: Rows, among: Rows) -> Rows:
            away = np.linalg.norm(rows[:, None] - among, axis=2)
            return np.asarray(np.where(away < 1e-5, np.inf, away).min(axis=1))

        assert np.quantile(nearest(dealt[len(inputs) :], dealt), 0.05) > 0.4 * np.quantile(
            nearest(inputs, inputs), 0.05
        )


def test_new_rows_of_a_table_have_values_of_the_table() -> None:
    victim = victims()[2]
    inputs = victim.calibration[0].astype(np.float32)
    made = _session("iid", victim, length=150).inputs[len(inputs) :]
    assert all(np.isin(made[:, column], inputs[:, column]).all() for column in range(victim.dimension))


def test_retries_are_exact_duplicates_of_the_request_before() -> None:
    session = _session("retries", length=90)
    same = (np.diff(session.inputs, axis=0) == 0.0).all(axis=1)
    assert same.sum() == 9
    assert len(np.unique(session.inputs, axis=0)) == 81


def test_a_client_with_one_class_sends_that_class() -> None:
    inputs, classes = victims()[0].calibration
    own = inputs[classes == classes[4]].astype(np.float32)
    session = _session("one_class", length=len(own))
    assert np.array_equal(np.unique(session.inputs, axis=0), np.unique(own, axis=0))


def test_a_client_with_hard_inputs_sends_the_lowest_margins() -> None:
    victim = victims()[0]
    ordered = np.sort(victim.predict(victim.calibration[0]), axis=1)
    margins = np.sort(ordered[:, -1] - ordered[:, -2])
    sent = np.sort(_session("low_confidence", length=19).probabilities[1:], axis=1)
    assert (sent[:, -1] - sent[:, -2]).max() <= margins[17] + 1e-6


def test_the_mix_of_classes_changes_from_week_to_week() -> None:
    # Sessions of 600 over six weeks; with three classes and Dirichlet(1/2), shares of two weeks as good as never agree.
    session = _session("weekly_mix")
    weeks = (session.seconds // (7 * 24 * 3_600)).astype(int)
    assert set(weeks) == set(range(6))
    shares = np.array(
        [np.bincount(session.labels[weeks == week], minlength=3) / (weeks == week).sum() for week in range(6)]
    )
    assert np.ptp(shares, axis=0).max() > 0.2


def test_bursts_are_close_and_far_apart() -> None:
    gaps = np.diff(_session("bursty").seconds)
    assert np.median(gaps) < 0.1
    assert gaps.max() > 60.0


@pytest.mark.parametrize("victim", victims()[:3], ids=_name)
def test_a_drift_grows(victim: Victim) -> None:
    # Fewer requests than the split has inputs: each is one of them, moved by what the drift has come to.
    session = _session("drifting", victim, length=60)
    pool = victim.calibration[0]
    away = np.linalg.norm(session.inputs[:, None].astype(np.float64) - pool, axis=2).min(axis=1)
    assert away[0] < 1e-6
    assert away[45:].mean() > 1.5 * away[:15].mean() > 0.0


def test_bad_arguments_are_refused() -> None:
    image, table = victims()[0], victims()[2]
    with pytest.raises(ValueError, match="rise does not apply to toy: it takes image"):
        session_of(WORKLOADS["rise"], table, "calibration", 0, 0)
    for source in (-1, 90):
        with pytest.raises(ValueError, match="has inputs 0 to 89"):
            session_of(WORKLOADS["iid"], image, "calibration", source, 0)
    with pytest.raises(ValueError, match="at least one request"):
        session_of(WORKLOADS["iid"], image, "calibration", 0, 0, 0)

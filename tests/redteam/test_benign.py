"""Benign workloads: reproducible, within bounds, and each one what it says it is."""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from redteam.benign import (
    WORKLOADS,
    Shape,
    Workload,
    explainers,
    optimisers,
    session_of,
    shape_of,
    tours,
    workloads_for,
)
from redteam.session import Kind, Session
from redteam.victims import Victim

Rows = NDArray[np.float64]


def _victim(shape: tuple[int, ...], *, low: float, high: float, count: int) -> Victim:
    """A victim whose classes are three centres, and whose probabilities fall with the distance from them."""
    rng = np.random.default_rng(5)
    dimension = int(np.prod(shape))
    centres = rng.uniform(low, high, size=(3, dimension))
    span = (high - low) * np.sqrt(dimension)

    def predict(inputs: Rows) -> Rows:
        away = np.linalg.norm(inputs[:, None] - centres, axis=2) / span
        scores = np.exp(-30.0 * away)
        return np.asarray(scores / scores.sum(axis=1, keepdims=True))

    classes = np.arange(count) % 3
    noise = 0.15 * (high - low) * rng.normal(size=(count, dimension))
    inputs = np.clip(centres[classes] + noise, low, high)
    split = (inputs, classes.astype(np.int64))
    return Victim(
        name="toy",
        predict=predict,
        shape=shape,
        classes=3,
        low=low,
        high=high,
        budget=1.0,
        fit=split,
        reference=split,
        calibration=split,
        confirmation=(inputs[::-1].copy(), classes[::-1].astype(np.int64)),
    )


@cache
def victims() -> tuple[Victim, ...]:
    """Return a small image, a larger one, a table, and an image with other bounds; a session is longer than a split."""
    return (
        _victim((8, 8), low=0.0, high=1.0, count=90),
        _victim((20, 20), low=0.0, high=1.0, count=90),
        _victim((12,), low=-2.0, high=3.0, count=60),
        _victim((9, 11), low=0.25, high=0.75, count=30),
    )


def _cases() -> list[tuple[Workload, Victim]]:
    return [(workload, victim) for victim in victims() for workload in workloads_for(victim)]


def _name(value: object) -> str:
    return (
        value.name
        if isinstance(value, Workload)
        else "x".join(map(str, value.shape))
        if isinstance(value, Victim)
        else ""
    )


def _session(
    name: str, victim: Victim | None = None, *, source: int = 4, seed: int = 1, length: int | None = None
) -> Session:
    return session_of(WORKLOADS[name], victim or victims()[0], "calibration", source, seed, length)


def _same(one: Session, other: Session) -> bool:
    return all(
        np.array_equal(getattr(one, part), getattr(other, part))
        for part in ("inputs", "probabilities", "seconds", "accounts")
    )


def _steps(session: Session) -> Rows:
    return np.asarray(np.linalg.norm(np.diff(session.inputs.astype(np.float64), axis=0), axis=1))


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
    whole = workload.name not in {"occlusion", "restoration", "confidence_boost", "boundary_probe", "counterfactual"}
    assert len(session) == length if whole else length * 0.5 < len(session) <= length
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
    larger = _session("occlusion", _victim((28, 28), low=0.0, high=1.0, count=6))
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


def test_superpixels_cover_the_image_in_about_the_number_asked_for() -> None:
    image = np.random.default_rng(0).random((28, 28))
    groups = explainers.segments(image)
    assert 30 <= groups.max() + 1 <= 50
    assert np.array_equal(np.unique(groups), np.arange(groups.max() + 1))
    blocks = explainers.segments(image[:8, :8])
    assert blocks.max() + 1 == 16
    assert (np.bincount(blocks.reshape(-1)) == 4).all()
    assert blocks[2, 5] == blocks[3, 4] == 6


def test_lime_keeps_a_superpixel_or_fills_it_with_its_mean() -> None:
    victim = victims()[0]
    image = victim.calibration[0][4]
    groups = explainers.segments(image.reshape(8, 8)).reshape(-1)
    means = np.array([image[groups == k].mean() for k in range(16)])[groups]
    sent = _session("lime").inputs
    kept, filled = np.isclose(sent, image, atol=1e-6), np.isclose(sent, means, atol=1e-6)
    assert (kept | filled).all()
    assert kept[0].all()
    # 16,000 fair coins: outside with probability under 1e-6 (five standard deviations).
    assert abs(kept[1:].mean() - 0.5) < 5 * 0.5 / np.sqrt(16_000)


def test_coalitions_begin_with_all_and_none_and_come_in_pairs() -> None:
    drawn = explainers.coalitions(np.random.default_rng(0), 16, 501, paired=False)
    assert drawn[0].all()
    assert not drawn[1].any()
    sizes = np.bincount(drawn[2:].sum(axis=1), minlength=17)
    assert sizes[0] == sizes[16] == 0
    # Shapley's kernel puts 14 % on a single player, and 3 % on eight of sixteen.
    assert sizes[1] > sizes[8] > 0
    pairs = explainers.coalitions(np.random.default_rng(0), 16, 501, paired=True)
    assert (pairs[2:-1:2] ^ pairs[3::2]).all()


def test_an_occlusion_covers_one_patch_with_the_mean() -> None:
    image = victims()[0].calibration[0][4].astype(np.float32).reshape(8, 8)
    sent = _session("occlusion").inputs.reshape(-1, 8, 8)
    changed = sent != image
    assert not changed[0].any()
    assert (changed[1:50].sum(axis=(1, 2)) == 4).all()
    assert changed[1, :2, :2].all()
    assert changed[49, 6:, 6:].all()
    assert np.allclose(sent[1:][changed[1:]], image.mean(), atol=1e-6)


@pytest.mark.parametrize("victim", [victims()[0], victims()[3]], ids=_name)
def test_masks_darken_and_never_brighten(victim: Victim) -> None:
    image = victim.calibration[0][4]
    sent = _session("rise", victim).inputs - victim.low
    assert np.allclose(sent[0], image - victim.low, atol=1e-6)
    assert (sent <= image - victim.low + 1e-6).all()
    share = sent[1:].sum() / ((len(sent) - 1) * (image - victim.low).sum())
    # 49,000 fair coins, smoothed: half of the light is left.
    assert abs(share - 0.5) < 0.03


def test_noise_has_the_size_that_is_stated() -> None:
    session = _session("noise", victims()[1])
    noise = session.inputs[1:] - victims()[1].calibration[0][4]
    inner = (session.inputs[1:] > 0.0) & (session.inputs[1:] < 1.0)
    middle = np.abs(victims()[1].calibration[0][4] - 0.5) < 0.1
    assert inner[:, middle].mean() > 0.99
    assert abs(noise[:, middle].std() - 0.1) < 0.005
    assert not (session.inputs[0] != victims()[1].calibration[0][4].astype(np.float32)).any()


def test_compression_changes_more_at_lower_quality() -> None:
    image = np.random.default_rng(0).random((28, 28))
    losses = [np.abs(tours.compressed(image, q) - image).mean() for q in (100.0, 95.0, 50.0, 20.0)]
    assert losses == sorted(losses)
    assert losses[0] < 0.005
    assert losses[-1] > 0.05


def test_a_sweep_brightens_step_by_step() -> None:
    session = _session("sweep", victims()[1])
    light = session.inputs.mean(axis=1).reshape(32, 32)
    assert (np.diff(light, axis=1) > 0.0).all()
    blurred = _session("blur_sweep", victims()[1]).inputs.reshape(32, 32, -1)
    contrast = blurred[:, 16].std(axis=1)
    assert (np.diff(contrast) <= 1e-6).all()
    assert contrast[-1] < 0.7 * contrast[0]


def test_a_film_moves_in_small_steps_between_classes() -> None:
    victim = victims()[1]
    session = _session("video", victim)
    inputs = victim.calibration[0]
    apart = np.median(np.linalg.norm(inputs[:30, None] - inputs[30:60], axis=2))
    assert np.median(_steps(session)) < 0.3 * apart
    assert len(np.unique(session.labels)) == 3
    assert len(np.unique(session.inputs, axis=0)) == len(session)


def test_a_grid_search_goes_through_the_image_as_it_is() -> None:
    # Angle 0 is the middle of 25; of the 24 scales none is exactly one, so the nearest two surround the image.
    image = victims()[1].calibration[0][4]
    away = np.linalg.norm(_session("grid_search", victims()[1]).inputs - image, axis=1).reshape(25, 24)
    assert np.unravel_index(away.argmin(), away.shape)[0] == 12
    assert away.argmin() % 24 in {11, 12}


def test_explainers_of_a_table_change_what_they_say() -> None:
    victim = victims()[2]
    inputs = victim.calibration[0].astype(np.float32)
    changed = {
        name: (_session(name, victim).inputs != inputs[4]).sum(axis=1)
        for name in ("grid_search", "one_at_a_time", "occlusion", "kernelshap", "lime", "noise")
    }
    assert changed["grid_search"].max() == 2
    assert changed["one_at_a_time"].max() == 1
    assert (changed["occlusion"] == [0] + [1] * 12 + [2] * 66).all()
    assert (changed["kernelshap"][:10] == 0).all()
    assert changed["lime"][0] == changed["noise"][0] == 0
    assert np.median(changed["lime"][1:]) >= 11
    drawn = _session("lime", victim).inputs
    assert all(np.isin(drawn[:, column], inputs[:, column]).all() for column in range(12))


def _best(values: NDArray[np.float32]) -> tuple[float, float]:
    """Return the value at the start, and the best one among the candidates that end the rounds."""
    return float(values[0]), float(values[17::17].max())


@pytest.mark.parametrize("victim", [victims()[0], victims()[2]], ids=_name)
def test_optimisers_reach_what_they_want(victim: Victim) -> None:
    boost = _session("confidence_boost", victim)
    start, best = _best(boost.probabilities[:, boost.labels[0]])
    assert best > start
    probe = _session("boundary_probe", victim)
    ordered = np.sort(probe.probabilities, axis=1)
    start, best = _best(ordered[:, -2] - ordered[:, -1])
    assert best > start
    flip = _session("counterfactual", victim)
    second = int(np.argsort(flip.probabilities[0])[-2])
    start, best = _best(flip.probabilities[:, second])
    assert best > start


@pytest.mark.parametrize("name", ["restoration", "confidence_boost", "random_walk", "boundary_probe", "counterfactual"])
def test_optimisers_stay_in_their_ball(name: str) -> None:
    for victim, share in ((victims()[1], optimisers.BALL_IMAGE), (victims()[2], optimisers.BALL_TABLE)):
        session = _session(name, victim)
        away = np.abs(session.inputs - session.inputs[0]).max()
        assert 0.0 < away <= share * (victim.high - victim.low) + 1e-5


def test_a_restoration_smooths() -> None:
    victim = victims()[1]
    session = _session("restoration", victim)
    rough = np.abs(np.diff(session.inputs.reshape(-1, 20, 20), axis=2)).mean(axis=(1, 2))
    assert rough[17::17][-1] < rough[0]


def test_bad_arguments_are_refused() -> None:
    image, table = victims()[0], victims()[2]
    with pytest.raises(ValueError, match="rise does not apply to toy: it takes image"):
        session_of(WORKLOADS["rise"], table, "calibration", 0, 0)
    for source in (-1, 90):
        with pytest.raises(ValueError, match="has inputs 0 to 89"):
            session_of(WORKLOADS["iid"], image, "calibration", source, 0)
    with pytest.raises(ValueError, match="at least one request"):
        session_of(WORKLOADS["iid"], image, "calibration", 0, 0, 0)

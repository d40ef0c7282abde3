"""Benign clients with many requests around one input send what their method prescribes."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from redteam.benign import WORKLOADS, explainers, optimisers, session_of, tours
from redteam.session import Session
from redteam.victims import Victim
from tests.redteam.toys import Rows, shape_name, victims


def _session(
    name: str, victim: Victim | None = None, *, source: int = 4, seed: int = 1, length: int | None = None
) -> Session:
    return session_of(WORKLOADS[name], victim or victims()[0], "calibration", source, seed, length)


def _steps(session: Session) -> Rows:
    return np.asarray(np.linalg.norm(np.diff(session.inputs.astype(np.float64), axis=0), axis=1))


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


@pytest.mark.parametrize("victim", [victims()[0], victims()[3]], ids=shape_name)
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


def test_finite_differences_change_one_value_at_a_time_and_nothing_twice() -> None:
    for victim in (victims()[0], victims()[2]):
        inputs = _session("sensitivity", victim).inputs.astype(np.float64)
        away = inputs - inputs[0]
        assert ((away != 0.0).sum(axis=1) == [0] + [1] * (len(inputs) - 1)).all()
        assert len(np.unique(inputs, axis=0)) == len(inputs)
        span = victim.high - victim.low
        assert any(np.abs(away).max() == pytest.approx(width * span, rel=1e-5) for width in explainers.WIDTHS)


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


@pytest.mark.parametrize("victim", [victims()[0], victims()[2]], ids=shape_name)
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


@pytest.mark.parametrize("name", ["confidence_boost", "boundary_probe"])
def test_every_round_starts_from_the_best_answer_so_far(name: str) -> None:
    # The pairs of a round lie around where it starts, so their mean tells, but for the few values cut at a bound.
    plain = victims()[1]
    start = plain.calibration[0][4]

    def predict(inputs: Rows) -> Rows:
        first = 1.0 / (1.0 + np.exp(-(inputs.sum(axis=1) - start.sum() + 2.0)))
        return np.stack([first, 1.0 - first], axis=1)

    session = _session(name, replace(plain, predict=predict, classes=2))
    label = session.labels[0]
    inner = np.abs(start - 0.5) < 0.2
    ordered = np.delete(session.probabilities, label, axis=1).max(axis=1)
    values = (
        session.probabilities[:, label] if name == "confidence_boost" else ordered - session.probabilities[:, label]
    )
    best, flipped = 0, 0
    for begin in range(1, 20 * 17, 17):
        centre = session.inputs[begin : begin + 16].mean(axis=0)
        assert np.median(np.abs(centre - session.inputs[best])[inner]) < 1e-5
        candidate = begin + 16
        flipped += bool(session.labels[candidate] != label)
        if values[candidate] > values[best] and (name == "confidence_boost" or session.labels[candidate] == label):
            best = candidate
    assert best > 0
    assert flipped > 0 or name == "confidence_boost"


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

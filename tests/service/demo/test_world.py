"""The demo's world: images, camera, and what is measured on its pictures."""

import numpy as np
import pytest

from service.demo.training import PICTURES_PER_IMAGE
from service.demo.world import CLASSES, FEATURES, SIDE, Camera, measure, split_digits

split = split_digits(7)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_three_sets_of_images_are_disjoint_and_complete() -> None:
    sets = [{image.tobytes() for image in part.images} for part in (split.training, split.baseline, split.live)]
    assert sum(len(part.labels) for part in (split.training, split.baseline, split.live)) == 1_797
    assert not sets[0] & sets[1]
    assert not sets[0] & sets[2]
    assert not sets[1] & sets[2]


def test_each_set_has_every_class_in_equal_share() -> None:
    for part in (split.training, split.baseline, split.live):
        counts = np.bincount(part.labels, minlength=len(CLASSES))
        assert counts.min() >= 57
        assert counts.max() - counts.min() <= 5


def test_no_two_pictures_of_one_image_are_alike() -> None:
    pictures = Camera().photograph(np.repeat(split.live.images[:1], 50, axis=0), rng())
    assert pictures.shape == (50, SIDE, SIDE)
    assert pictures.dtype == np.uint8
    assert len({picture.tobytes() for picture in pictures}) == 50


def test_the_same_seed_takes_the_same_pictures() -> None:
    first, second = (Camera(0.3).photograph(split.live.images[:20], rng(5)) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_worn_camera_is_less_sharp_and_has_more_grain() -> None:
    images = np.repeat(split.live.images, 3, axis=0)
    good, worn = (measure(Camera(wear).photograph(images, rng())) for wear in (0.0, 0.3))
    change = dict(zip(FEATURES, (worn.mean(axis=0) - good.mean(axis=0)) / good.std(axis=0), strict=True))
    assert change["sharpness"] < -1
    assert change["grain"] > 1
    assert abs(change["centre_x"]) < 0.2
    assert abs(change["brightness"]) < 0.2


def test_baseline_and_live_images_look_alike_through_the_same_camera() -> None:
    base, live = (
        measure(Camera().photograph(np.repeat(part.images, PICTURES_PER_IMAGE // 4, axis=0), rng(seed)))
        for seed, part in enumerate((split.baseline, split.live))
    )
    assert np.abs((live.mean(axis=0) - base.mean(axis=0)) / base.std(axis=0)).max() < 0.15


@pytest.mark.parametrize("fill", [0, 255])
def test_a_picture_of_nothing_has_finite_measures(fill: int) -> None:
    assert np.isfinite(measure(np.full((3, SIDE, SIDE), fill, np.uint8))).all()


def test_measures_of_a_bright_square_are_where_it_is() -> None:
    picture = np.zeros((1, SIDE, SIDE), np.uint8)
    picture[0, 2:6, 10:14] = 200
    found = dict(zip(FEATURES, measure(picture)[0].tolist(), strict=True))
    assert found["centre_x"] == pytest.approx(11.5, abs=0.01)
    assert found["centre_y"] == pytest.approx(3.5, abs=0.01)
    assert found["ink"] == pytest.approx(16 / 256)
    assert found["bright_level"] == pytest.approx(200 / 255, abs=1e-5)

"""What the reference taught about round events: it is kept exactly, and what cannot be is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest

from detectors.baseline import Baseline
from detectors.errors import BaselineError, DetectorError
from detectors.spaces.line import fit_line, parts_of
from tests.detectors.test_lines import line_of, wide


@pytest.mark.parametrize(
    "change",
    [
        {"radius": 0.0},
        {"radius": 2.0**11},
        {"square": math.nan},
        {"unrest": -1.0},
        {"centre": np.full(96, np.inf)},
        {"blocks": np.zeros((20, 95))},
        {"blocks": np.zeros((0, 96))},
        {"inflation": np.ones((0, 3))},
        {"rest": np.ones((8, 3))},
        {"tied_lines": np.zeros((8, 95))},
        {"tied_lines": np.full((8, 96), np.nan)},
        {"rows": 0},
        {"tied": -1},
        {"square": 0.0},
        {"square": 1e9},
        {"unrest": 6.0},
        {"centre": np.full(96, 1e4)},
        {"blocks": np.full((20, 96), 1e300)},
    ],
)
def test_a_line_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(DetectorError):
        replace(line_of(wide(), 1), **change)  # type: ignore[arg-type]  # the wrong values are the point


def test_tied_lines_and_ratios_that_no_reference_has_are_refused() -> None:
    line = line_of(wide(), 1)
    assert len(line.tied_lines) > 1
    once = np.vstack([line.tied_lines[:1], line.tied_lines[:-1]])
    for changed in (line.tied_lines * 3.0, line.tied_lines * 1e160, once):
        with pytest.raises(DetectorError, match="right angles"):
            replace(line, tied_lines=changed)
    for name in ("inflation", "rest"):
        for value in (-2.0, 1e160):
            with pytest.raises(DetectorError, match="not from 0 to"):
                replace(line, **{name: np.full_like(getattr(line, name), value)})


def test_a_line_of_another_space_is_refused() -> None:
    with pytest.raises(DetectorError, match="does not fit"):
        replace(wide().tilted[1], line=line_of(wide(), 0))


def test_an_artefact_keeps_its_lines_and_one_that_is_cut_short_is_refused() -> None:
    data = wide().to_bytes()
    again = Baseline.from_bytes(data)
    assert again.digest == wide().digest
    assert np.array_equal(line_of(again, 1).blocks, line_of(wide(), 1).blocks)
    with pytest.raises(BaselineError):
        Baseline.from_bytes(data[:-8])


def test_few_rows_or_rows_in_the_centre_have_no_line() -> None:
    few = np.ones((3, 99)), np.ones(99)
    assert fit_line(*few, few) is None
    still = np.zeros((3, 500)), np.zeros(500)
    assert fit_line(*still, still) is None


def test_no_event_is_lengthened_by_rounding() -> None:
    image = np.array([[255.0, -255.0]])
    assert parts_of(image, np.abs(image[0]) / 256.0, 8.0).tolist() == [[63.0, -63.0]]


@pytest.mark.parametrize("varying", [1, 2, 3])
def test_coordinates_of_which_few_vary_have_lines_at_right_angles(varying: int) -> None:
    """What is left when all that varies was taken away is rounding: it is no line."""
    rng = np.random.default_rng(varying)
    image = np.zeros((6, 2000))
    image[:varying] = np.rint(256.0 * rng.normal(size=(varying, 2000)))
    lengths = np.sqrt((image**2).sum(axis=0)) / 256.0
    line = fit_line(image, lengths, (image, lengths))
    assert line is not None
    assert len(line.tied_lines) <= varying

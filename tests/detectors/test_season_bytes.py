"""The bytes of a baseline with seasons: canonical, and safe to read from anybody."""

import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detectors.baseline import Baseline, compile_baseline
from detectors.columns import Codes
from detectors.errors import BaselineError
from detectors.evidence import EvidenceOptions
from detectors.evidence.options import ColumnOptions
from detectors.evidence.seasons import SeasonalColumn
from tests.detectors.samples import Columns, spec_of
from tests.detectors.seasonal import STEP_US, reference


def test_a_seasonal_artefact_makes_the_round_trip_and_others_keep_their_version() -> None:
    baseline = reference(weekly=True)
    again = Baseline.from_bytes(baseline.to_bytes())
    assert again.digest == baseline.digest
    assert b'"version":4' in baseline.to_bytes()
    assert b'"version":3' in baseline.without_seasons().to_bytes()
    assert Baseline.from_bytes(baseline.without_seasons().to_bytes()).seasonal == ()
    # Ten days with times, as compiled before there were seasons.
    number = np.arange(960)
    columns: Columns = {
        "c": Codes(("a", "b", "c"), (number**2 % 7 % 3).astype(np.int32)),
        "x": (number * 37 % 11).astype(np.float64),
    }
    specs = [(spec_of(name, values), values) for name, values in columns.items()]
    old = compile_baseline(specs, times=number * STEP_US).baseline
    assert old.digest == "5ce52a3c513a3280fe26738662aa4d6d5cbd3094e5dac683099b2fe83b56e662"


SEASONAL = reference().only(["load", "kind"]).to_bytes()
LIES = (
    ("slots", 23, "slots must be one of 24, 168"),
    ("slots", True, "slots must be one of 24, 168"),
    ("count_bytes", 3, "count_bytes must be 1, 2, 4 or 8"),
    ("block_bytes", None, "block_bytes must be 1, 2, 4 or 8"),
)


@pytest.mark.parametrize(("key", "value", "message"), LIES)
def test_a_header_that_lies_about_a_season_is_refused_with_the_place(key: str, value: object, message: str) -> None:
    with pytest.raises(BaselineError, match=f"columns.0. 'load': season: {message}"):
        Baseline.from_bytes(rewritten(lambda header: header["columns"][0]["season"].update({key: value})))


def test_a_season_that_is_no_object_is_refused() -> None:
    with pytest.raises(BaselineError, match="'load': season: not an object"):
        Baseline.from_bytes(rewritten(lambda header: header["columns"][0].update({"season": None})))


def rewritten(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return the artefact with another header."""
    (length,) = struct.unpack_from("<I", SEASONAL, 8)
    header = json.loads(SEASONAL[12 : 12 + length])
    change(header)
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    return SEASONAL[:8] + struct.pack("<I", len(text)) + text + SEASONAL[12 + length :]


def gain_at() -> int:
    """Return where the gain of the first column lies: it is the last of its arrays."""
    column = reference().columns[0]
    (length,) = struct.unpack_from("<I", SEASONAL, 8)
    alone = reference().only(["load"]).to_bytes()
    (own,) = struct.unpack_from("<I", alone, 8)
    assert column.season is not None
    assert np.frombuffer(alone[-8:], "<f8")[0] == column.season.gain
    return int(length) + len(alone) - int(own) - 8


def test_numbers_of_a_season_that_cannot_be_are_refused() -> None:
    at = gain_at()
    for value in (np.nan, 0.0, -1.0, np.inf):
        damaged = SEASONAL[:at] + np.array([value], "<f8").tobytes() + SEASONAL[at + 8 :]
        with pytest.raises(BaselineError, match="'load': season: gain must be a number above 0"):
            Baseline.from_bytes(damaged)
    for value in (np.nan, -1.0, 1e9):
        damaged = SEASONAL[: at - 8] + np.array([value], "<f8").tobytes() + SEASONAL[at:]
        with pytest.raises(BaselineError, match="'load': season: inflation must be numbers from 0"):
            Baseline.from_bytes(damaged)


@settings(max_examples=150)
@example(at=SEASONAL.index(b'"slots":24') + 8, value=ord("3"))
@example(at=SEASONAL.index(b'"season":{') + 9, value=ord("["))
@given(at=st.integers(0, 10**9), value=st.integers(0, 255))
def test_a_changed_byte_of_a_seasonal_artefact_is_refused_or_gives_a_sound_one(at: int, value: int) -> None:
    damaged = bytearray(SEASONAL)
    damaged[at % len(damaged)] = value
    try:
        baseline = Baseline.from_bytes(bytes(damaged))
    except BaselineError:
        return
    assert baseline.to_bytes() == bytes(damaged)
    for i in baseline.seasonal:
        bets = SeasonalColumn(baseline.columns[i], EvidenceOptions(), ColumnOptions(name="x")).at(5)
        assert bets is None or np.isfinite(bets.logs).all()

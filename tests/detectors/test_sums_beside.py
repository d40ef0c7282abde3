"""Bets on sums beside seasons and segments: they keep their places, their bits, and what they find.

Seeds are fixed.
"""

import json
import math
import struct
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.baseline import Baseline, add_spaces, compile_baseline
from detectors.columns import Values
from detectors.errors import BaselineError, DetectorError
from detectors.evidence import ColumnOptions, EvidenceEngine, EvidenceOptions, Together
from detectors.evidence.calibrate import CAUTION, CAUTION_SPECIAL
from detectors.evidence.seasons import SeasonalColumn
from detectors.sums import sums_of
from tests.detectors.samples import spec_of
from tests.detectors.seasonal import REFERENCE, seasonal_columns, swing, ticks_of, times

BUDGET = math.log(1e4)
PAIR = "correlation of a with b up"


def events(seed: int, rows: int, first: int = 0, tie: float = 0.0) -> dict[str, Values]:
    """Return a column that follows the hour, and four that do not; the first two of these may move together."""
    rng = np.random.default_rng(seed)
    a, b, c, d = rng.normal(size=(4, rows))
    load = 2.0 * swing(times(rows, first)) + rng.normal(size=rows)
    return {"load": load, "a": a, "b": tie * a + math.sqrt(1.0 - tie**2) * b, "c": c, "d": d}


@cache
def seasonal() -> Baseline:
    """Compile 40 days, with the scores of all inputs together."""
    columns = [(spec_of(name, values), values) for name, values in events(0, REFERENCE).items()]
    return add_spaces(compile_baseline(columns, times=times(REFERENCE)), columns, {}, times=times(REFERENCE)).baseline


@cache
def engine() -> EvidenceEngine:
    return EvidenceEngine(seasonal())


@cache
def part() -> EvidenceEngine:
    """Return an engine as segments have it: without scores of all inputs together."""
    columns = [(spec_of(name, values), values) for name, values in events(1, 2_000).items() if name in "ab"]
    return EvidenceEngine(compile_baseline(columns).baseline)


def in_season(seed: int, ticks: int, rows: int, tie: float = 0.0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return counts with the sums behind them, and the seasons, of ticks that follow the reference."""
    baseline = seasonal()
    values = events(seed, ticks * rows, REFERENCE, tie)
    for space in baseline.spaces:
        values |= space.values(values)
    counts, hours = ticks_of(baseline, values, REFERENCE, rows)
    bounds = range(0, ticks * rows + 1, rows)
    sums = [sums_of(baseline, {n: v[s:e] for n, v in values.items()}) for s, e in pairwise(bounds)]  # type: ignore[index]
    return np.concatenate([counts, np.array(sums)], axis=1), hours


def test_a_tick_has_its_bins_and_behind_them_its_sums() -> None:
    baseline = seasonal()
    assert baseline.seasonal == (0,)
    assert baseline.sums == 1 + 5 + 10 + 5
    assert baseline.width == baseline.total + baseline.sums
    assert part().baseline.width == part().baseline.total


def test_in_season_two_inputs_that_begin_to_move_together_are_named() -> None:
    counts, hours = in_season(3, 300, 4, tie=0.7)
    run = engine().run(engine().start(), np.arange(len(counts)), counts, BUDGET, hours)
    assert run.alarm is not None
    assert run.alarm < 60
    first = engine().blame(run.state, BUDGET)[0]
    assert (first.name, first.direction) == ("score.pairs", PAIR)
    # The evidence is that of the sums: without them the same ticks say much less.
    bins = engine().run(engine().start(), np.arange(len(counts)), counts[:, : seasonal().total], BUDGET, hours)
    assert bins.alarm is None or bins.alarm > 2 * run.alarm


def test_bets_on_sums_are_the_same_at_every_hour_and_steps_are_a_run() -> None:
    counts, hours = in_season(4, 40, 4, tie=0.5)
    assert len(np.unique(hours % 24)) > 20
    whole = engine().run(engine().start(), np.arange(40), counts, None, hours).state
    state = engine().start()
    for tick in range(40):
        state = engine().step(state, tick, counts[tick], int(hours[tick]))
    assert state.to_bytes() == whole.to_bytes()
    tilts = engine()._layout.tilts[0]
    other = engine().run(engine().start(), np.arange(40), counts, None, np.roll(hours, 11)).state
    assert other.sums[tilts.place].tobytes() == whole.sums[tilts.place].tobytes()
    assert other.sums[: tilts.place.start].tobytes() != whole.sums[: tilts.place.start].tobytes()


def test_an_artefact_with_seasons_and_sums_makes_the_round_trip() -> None:
    again = Baseline.from_bytes(seasonal().to_bytes())
    assert again.digest == seasonal().digest
    assert (again.seasonal, again.width) == (seasonal().seasonal, seasonal().width)
    assert EvidenceEngine(again).digest == engine().digest


def _header(data: bytes) -> dict[str, object]:
    (length,) = struct.unpack_from("<I", data, 8)
    found: dict[str, object] = json.loads(data[12 : 12 + length])
    return found


def test_an_artefact_has_the_first_version_that_holds_it() -> None:
    plain = seasonal().only(["load", "a"])
    straight = replace(seasonal(), spaces=tuple(replace(space, line=None) for space in seasonal().spaces))
    kinds = (plain.without_seasons(), plain, straight, seasonal())
    assert [_header(each.to_bytes())["version"] for each in kinds] == [3, 4, 5, 7]
    assert Baseline.from_bytes(straight.to_bytes()).digest == straight.digest
    for version in (3, 4):
        data = seasonal().to_bytes()
        header = json.dumps({**_header(data), "version": version}, sort_keys=True, separators=(",", ":")).encode()
        (length,) = struct.unpack_from("<I", data, 8)
        older = data[:8] + struct.pack("<I", len(header)) + header + data[12 + length :]
        with pytest.raises(BaselineError, match=f"version {version} had other scores of all inputs together"):
            Baseline.from_bytes(older)


def test_engines_together_find_their_bins_and_sums_side_by_side() -> None:
    counts, hours = in_season(5, 60, 4, tie=0.4)
    mine = np.random.default_rng(6).poisson(0.2, size=(60, part().baseline.total)).astype(np.int64)
    together = Together(engine(), [(part(), 0.5)])
    assert together.total == seasonal().width + part().baseline.total
    ticks = np.arange(60)
    found = together.run(together.start(), ticks, np.concatenate([counts, mine], axis=1), None, hours)
    alone = engine().run(engine().start(), ticks, counts, None, hours)
    some = mine.any(axis=1)
    other = part().run(part().start(), ticks[some], mine[some], None)
    assert [state.to_bytes() for state in found.states] == [alone.state.to_bytes(), other.state.to_bytes()]
    cut = together.run(together.start(), ticks[:23], np.concatenate([counts, mine], axis=1)[:23], None, hours[:23])
    more = together.run(cut.states, ticks[23:], np.concatenate([counts, mine], axis=1)[23:], None, hours[23:])
    assert [state.to_bytes() for state in more.states] == [state.to_bytes() for state in found.states]
    with pytest.raises(DetectorError, match="is needed"):
        together.run(
            together.start(), ticks, np.concatenate([counts[:, : seasonal().total], mine], axis=1), None, hours
        )


def test_values_that_need_not_occur_are_tolerated_as_little_at_an_hour_as_at_all_hours() -> None:
    for column in seasonal_columns():
        own = SeasonalColumn(column, EvidenceOptions(), ColumnOptions(name="")).at(3)
        assert own is not None
        caution = (own.null.variances - own.shares) * int(column.counts.sum())
        rare = {place for place, name in column.specials if name in {"missing", "invalid", "other", "unseen"}}
        assert len(rare) >= 2
        for place, found in enumerate(caution.tolist()):
            assert found == pytest.approx(CAUTION_SPECIAL if place in rare else CAUTION, abs=1e-6)

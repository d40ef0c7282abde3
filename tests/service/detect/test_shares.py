"""Class probabilities that do not add up to one are invalid, where those of the reference do."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.baseline import Baseline
from detectors.binning import count
from detectors.columns import SUM_OFF
from detectors.errors import BaselineError
from detectors.principals.monitor import Yardstick
from service.detect.columns import columns_of, names_of, odd
from service.detect.engines import Engine
from service.detect.moved import moved
from service.detect.reference import SHARES_LEAST, compile_reference
from service.detect.references import SHARES_MAGIC, from_bytes, to_bytes
from service.domain.states import State
from service.frames import Frame, encode_frame
from service.ports import EntryKind, NewEntry
from tests.service.worker.world import SCHEMA, SMALL_BUDGET, World, compiled, make_frame

ANSWERS = ("probabilities.ok", "probabilities.fraud", "score.margin", "score.entropy")


def answered(frame: Frame, probabilities: NDArray[np.float64], rows: slice = slice(None)) -> Frame:
    """Return a frame with other probabilities of ``ok`` and ``fraud`` in some of its rows, shape (2, rows)."""
    numeric = frame.numeric.copy()
    for name, values in zip(ANSWERS[:2], probabilities, strict=True):
        numeric[frame.numeric_names.index(name), rows] = values
    return replace(frame, numeric=numeric)


def halved(frame: Frame, rows: int) -> Frame:
    """Return a frame whose first rows have half the probabilities."""
    places = [frame.numeric_names.index(name) for name in ANSWERS[:2]]
    return answered(frame, frame.numeric[places, :rows] / 2, slice(rows))


def invalid(baseline: Baseline, frame: Frame, *, shares: bool = True) -> dict[str, int]:
    """Return of each column how many events are invalid."""
    counts = count(baseline, columns_of(frame, baseline.names, baseline.spaces, shares=shares))
    columns = zip(baseline.columns, baseline.slices, strict=True)
    return {column.spec.name: int(counts[place][column.bin_labels.index("invalid")]) for column, place in columns}


@given(st.lists(st.floats(-0.5, 1.5), min_size=2, max_size=6))
def test_shares_are_no_less_than_nothing_and_one_together(values: list[float]) -> None:
    off = abs(sum(values) - 1.0)
    if abs(off - SUM_OFF) > 1e-9:
        assert odd(np.array(values)[:, None]).tolist() == [off > SUM_OFF or min(values) < 0.0]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([0.3, 0.7], False),
        ([0.3, 0.71], False),
        ([0.3, 0.73], True),
        ([-0.1, 1.1], True),
        ([0.0, 0.0], True),
        ([np.inf, 0.5], True),
        ([np.inf, -np.inf], True),
        ([np.nan, 0.5], False),
        ([np.nan, -3.0], False),
    ],
)
def test_one_that_lacks_is_missing_and_not_odd(values: list[float], told: bool) -> None:
    assert odd(np.array(values)[:, None]).tolist() == [told]


@pytest.mark.parametrize("rows", [1, 2, 50])
def test_all_answers_of_an_odd_event_are_invalid_and_those_of_others_are_what_they_were(rows: int) -> None:
    frame = make_frame(1, rows)
    wanted = names_of(SCHEMA, frame)
    wrong = halved(frame, (rows + 1) // 2)
    found, plain = columns_of(wrong, wanted, shares=True), columns_of(frame, wanted, shares=True)
    assert found.keys() == plain.keys()
    for name in ANSWERS:
        values = np.asarray(found[name])
        assert np.isposinf(values[: (rows + 1) // 2]).all()
        assert np.array_equal(values[(rows + 1) // 2 :], np.asarray(plain[name])[(rows + 1) // 2 :])
    for name in set(wanted) - {*ANSWERS, "country", "prediction"}:
        assert np.array_equal(np.asarray(found[name]), np.asarray(plain[name]))


def test_the_values_of_the_frame_stay_what_they_are() -> None:
    frame = halved(make_frame(2, 20), 20)
    before = frame.numeric.copy()
    columns_of(frame, names_of(SCHEMA, frame), shares=True)
    assert np.array_equal(frame.numeric, before)


def test_without_shares_or_without_all_classes_nothing_is_refused() -> None:
    frame = halved(make_frame(3, 20), 20)
    wanted = names_of(SCHEMA, frame)
    assert all(np.isfinite(np.asarray(columns_of(frame, wanted)[name])).all() for name in ANSWERS)
    fewer = columns_of(frame, ("probabilities.ok", "probabilities.other"), shares=True)
    assert np.isfinite(np.asarray(fewer["probabilities.ok"])).all()


def test_a_reference_of_shares_makes_others_invalid() -> None:
    made = compile_reference(SCHEMA, make_frame(4, 2_000))
    references = from_bytes(made.artefact)
    assert references.shares
    assert [warning for warning in made.warnings if warning["code"] == "probabilities"] == []
    counts = invalid(references.whole, halved(make_frame(5, 300), 120))
    assert {name: number for name, number in counts.items() if number} == dict.fromkeys(ANSWERS, 120)


def test_what_is_off_in_the_reference_is_invalid_there_and_said() -> None:
    made = compile_reference(SCHEMA, halved(make_frame(6, 2_000), 100))
    references = from_bytes(made.artefact)
    assert references.shares
    (warning,) = [warning for warning in made.warnings if warning["code"] == "probabilities"]
    assert warning["text"] == (
        "the class probabilities of 100 of 2000 rows do not add up to one, or one is negative; they are invalid"
    )
    columns = references.whole.columns
    usual = {c.spec.name: int(c.counts[c.bin_labels.index("invalid")]) for c in columns if c.spec.name in ANSWERS}
    assert usual == dict.fromkeys(ANSWERS, 100)


def test_scores_of_one_class_against_the_rest_are_no_shares_and_that_is_said() -> None:
    frame = make_frame(7, 2_000)
    off = round((1.0 - SHARES_LEAST) * 2_000) + 1
    made = compile_reference(SCHEMA, halved(frame, off))
    references = from_bytes(made.artefact)
    assert not references.shares
    assert made.artefact.startswith(b"LZBASE01")
    (warning,) = [warning for warning in made.warnings if warning["code"] == "probabilities"]
    assert f"of {off} of 2000 rows" in warning["text"]
    assert warning["text"].endswith("; as more than 10 % are so, none is taken for invalid")
    assert not Engine.of_all(references, SMALL_BUDGET.tuning).shares
    assert not any(invalid(references.whole, halved(make_frame(8, 300), 300), shares=references.shares).values())


def test_no_probabilities_and_those_of_one_class_are_no_shares() -> None:
    lean = compile_reference(SCHEMA, make_frame(9, 600, extras=False))
    assert not from_bytes(lean.artefact).shares
    frame = make_frame(9, 600)
    place = frame.numeric_names.index("probabilities.ok")
    names = tuple(name for i, name in enumerate(frame.numeric_names) if i != place)
    alone = replace(frame, numeric_names=names, numeric=np.delete(frame.numeric, place, axis=0))
    assert not from_bytes(compile_reference(SCHEMA, alone).artefact).shares
    missing = answered(frame, np.full((2, 600), np.nan))
    assert not from_bytes(compile_reference(SCHEMA, missing).artefact).shares


def test_the_mark_stands_once_before_everything_else() -> None:
    artefact = compile_reference(SCHEMA, make_frame(10, 600)).artefact
    references = from_bytes(artefact)
    assert artefact == SHARES_MAGIC + to_bytes(replace(references, shares=False))
    assert to_bytes(references) == artefact
    assert not from_bytes(artefact[len(SHARES_MAGIC) :]).shares
    with pytest.raises(BaselineError):
        from_bytes(SHARES_MAGIC + artefact)


def test_principals_are_measured_without_rows_whose_answers_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[int] = []
    fit = Yardstick.fit

    def spy(points: NDArray[np.float32], *rest: Any) -> Yardstick:
        fitted.append(len(points))
        return fit(points, *rest)

    monkeypatch.setattr(Yardstick, "fit", spy)
    compile_reference(SCHEMA, halved(make_frame(14, 1_500), 100), follow=True)
    assert fitted[0] == 1_400


def test_a_new_baseline_is_counted_as_events_are() -> None:
    before = compile_reference(SCHEMA, make_frame(11, 3_000))
    found = moved(before.artefact, halved(make_frame(12, 3_000), 1_500), before.columns)
    assert {*ANSWERS} <= {warning["column"] for warning in found}


def test_answers_that_stop_adding_up_are_told_of_as_invalid() -> None:
    world = World()
    version = world.add_version(policy=SMALL_BUDGET, reference=compiled())
    for second in range(30):
        frame = make_frame(second, 60)
        body = encode_frame(halved(frame, 15) if second >= 10 else frame)
        new = NewEntry(kind=EntryKind.BATCH, version_id=version.id, batch_id=str(second), rows=60, body=body)
        world.log.append_now(new)
        world.clock.advance(1)
    world.catch_up()
    assert world.state(version) is not State.ACTIVE
    [alert] = world.store.tables.alerts.values()
    blamed = {column.name: column for column in alert.columns}
    assert blamed.keys() & {*ANSWERS}
    assert all("invalid" in blamed[name].direction for name in blamed.keys() & {*ANSWERS})


def test_a_baseline_of_an_earlier_release_takes_them_as_they_are() -> None:
    artefact = compile_reference(SCHEMA, make_frame(13, 600)).artefact
    engines = [Engine.of_all(from_bytes(own), SMALL_BUDGET.tuning) for own in (artefact, artefact[len(SHARES_MAGIC) :])]
    assert [engine.shares for engine in engines] == [True, False]

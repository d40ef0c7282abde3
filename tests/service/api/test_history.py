"""Evidence and effects over time."""

import math
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from detectors.baseline import compile_baseline
from detectors.columns import ColumnKind, ColumnSpec
from service.api.history import (
    CELLS_MAX,
    INTERVALS_MAX,
    LEVELS,
    MINUTE_US,
    POINTS,
    ROWS_MAX,
    WIDTHS,
    Point,
    Span,
    points_of,
    span_of,
)
from service.api.views import iso
from service.detect.baselines import BaselineView, compared, describe
from service.domain.errors import Unprocessable
from service.domain.ids import Micros, VersionId
from service.domain.records import Window
from tests.fakes.clock import NOVEMBER


@pytest.fixture(scope="module")
def view() -> BaselineView:
    generator = np.random.default_rng(1)
    columns = [(ColumnSpec(name=name, kind=ColumnKind.NUMERIC), generator.normal(size=500)) for name in ("a", "b")]
    return describe(compile_baseline(columns).baseline.to_bytes())


def a_window(view: BaselineView, minute: int, *, shift: bool = False, baseline_id: str = "now") -> Window:
    counts = np.concatenate([np.asarray(column.counts) for column in view.columns]).astype(np.int64)
    if shift:
        first = view.columns[0].place
        counts[first] = 0
        counts[first.stop - 1] = 500
    return Window(
        version_id=VersionId(1),
        level="1m",
        start_us=Micros(minute * MINUTE_US),
        baseline_id=baseline_id,
        events=500,
        evidence_log=float(minute),
        evidence_log_max=float(minute) + 0.5,
        column_evidence=np.array([minute * 2, -np.inf], np.float32).tobytes(),
        counts=counts.tobytes(),
    )


def points(view: BaselineView | None, rows: Sequence[Window], window: str, column: str | None = None) -> list[Point]:
    return list(points_of(rows, Span(window, window, Micros(0), rows[-1].start_us), "now", view, column))


@pytest.mark.parametrize("window", ["1m", "5m", "1h", "1d"])
@pytest.mark.parametrize("bins", [1, 2_800, 40_000, 10 * CELLS_MAX])
def test_a_span_whose_beginning_is_left_open_always_fits(window: str, bins: int) -> None:
    for minute in range(0, 48 * 60, 7):
        now = Micros(NOVEMBER + minute * MINUTE_US)
        span = span_of(window, None, None, now, bins)
        assert span.first_us <= now
        assert span.first_us % span.width_us == 0


def test_minutes_are_points_with_the_models_evidence(view: BaselineView) -> None:
    first, second = points(view, [a_window(view, 1), a_window(view, 2)], "1m")
    assert (first.start, first.events) == ("1970-01-01T00:01:00.000000Z", 500)
    assert second.evidence == pytest.approx(math.e**2)
    assert first.effects["psi"] == pytest.approx(0.0, abs=1e-3)


def test_five_minutes_merge_exactly(view: BaselineView) -> None:
    rows = [a_window(view, minute, shift=minute == 7) for minute in range(4, 9)]
    before, after = points(view, rows, "5m")
    assert (before.events, after.events) == (500, 2_000)
    assert after.evidence_log10 == pytest.approx(8 / math.log(10))
    assert after.evidence_log10_max == pytest.approx(8.5 / math.log(10))
    merged = points(view, [rows[1], rows[2], rows[3], rows[4]], "1d")[0]
    assert merged.effects == after.effects


def test_the_model_shows_its_largest_effect_and_a_column_its_own(view: BaselineView) -> None:
    rows = [a_window(view, 1, shift=True)]
    model, shifted, calm = (points(view, rows, "1m", column)[0] for column in (None, "a", "b"))
    assert model.effects["psi"] == shifted.effects["psi"]
    assert calm.effects["psi"] == pytest.approx(0.0, abs=1e-3)
    assert shifted.evidence == pytest.approx(math.e**2)
    assert (calm.evidence, calm.evidence_log10) == (0.0, None)


def test_effects_have_intervals_and_those_of_the_largest_one_are_wider(view: BaselineView) -> None:
    rows = [a_window(view, 1, shift=True)]
    model, shifted, calm = (points(view, rows, "1m", column)[0] for column in (None, "a", "b"))
    low, high = shifted.intervals["js"] or (0, 0)
    assert 0.8 < low < high == 1
    for name in ("psi", "js", "ks", "wasserstein", "hellinger"):
        (low, high), (own_low, own_high) = model.intervals[name] or (1, 0), shifted.intervals[name] or (1, 0)
        assert low < own_low
        assert high >= own_high
        assert low <= (model.effects[name] or 0) <= high
    assert (calm.intervals["psi"] or (1, 1))[0] == 0


def test_rows_of_another_baseline_keep_their_evidence_and_lose_their_effects(view: BaselineView) -> None:
    (point,) = points(view, [a_window(view, 1, baseline_id="before")], "1m")
    assert point.evidence == pytest.approx(math.e)
    assert point.effects["psi"] is None


def test_without_a_baseline_only_events_are_counted(view: BaselineView) -> None:
    (point,) = points(None, [a_window(view, 1)], "1m")
    assert point.events == 500
    assert point.effects["psi"] is None


def test_the_default_span_ends_now_and_holds_120_windows() -> None:
    span = span_of("5m", None, None, NOVEMBER, 100)
    assert span.last_us == NOVEMBER
    assert span.last_us - span.first_us == 120 * 5 * MINUTE_US
    assert span.first_us % span.width_us == 0


def test_times_are_read_with_or_without_zone_and_with_a_plus_lost_in_the_query() -> None:
    texts = ["2026-11-23T10:00:00Z", "2026-11-23T10:00:00", "2026-11-23T11:00:00 01:00", "2026-11-23T11:00:00+01:00"]
    assert {span_of("1m", None, text, Micros(0), 1).last_us for text in texts} == {NOVEMBER}


@pytest.mark.parametrize(
    ("start", "end", "at"),
    [("yesterday", None, "from"), (None, "1763892000", "to"), ("2027-01-01T00:00:00Z", None, "from")],
)
def test_a_bad_span_names_its_parameter(start: str | None, end: str | None, at: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        span_of("1m", start, end, NOVEMBER, 100)
    assert caught.value.places[0].at == at


def test_a_span_that_ends_before_it_begins_names_both_ends_or_the_one_that_was_given() -> None:
    day = "2026-11-22T10:00:00Z", "2026-11-21T10:00:00Z"
    with pytest.raises(Unprocessable) as caught:
        span_of("1m", *day, NOVEMBER, 100)
    assert [place.at for place in caught.value.places] == ["from", "to"]
    with pytest.raises(Unprocessable, match="empty") as caught:
        span_of("1m", "2027-01-01T00:00:00Z", None, NOVEMBER, 100)
    assert [place.reason for place in caught.value.places] == ["must not be after now, where 'to' is left out"]


def test_a_wide_version_may_read_fewer_rows() -> None:
    wide = CELLS_MAX // 50
    assert (NOVEMBER - span_of("1m", None, None, NOVEMBER, wide).first_us) // MINUTE_US < 50
    with pytest.raises(Unprocessable, match="too long"):
        span_of("1m", "2026-11-23T08:00:00Z", None, NOVEMBER, wide)


def test_a_baseline_that_is_read_with_every_request_is_kept_once() -> None:
    columns = [(ColumnSpec(name=name, kind=ColumnKind.NUMERIC), np.arange(5_000.0) % 977) for name in "abcdefgh"]
    artefact = compile_baseline(columns).baseline.to_bytes()
    rows = [a_window(describe(artefact), 1)]
    tracemalloc.start()
    try:
        for _ in range(20):
            view = describe(bytes(bytearray(artefact)))
            assert points(view, rows, "1m")[0].effects["psi"] is not None
            assert points(view, rows, "1m", "b")[0].intervals["psi"] is not None
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 5 * len(artefact)


def moving(
    view: BaselineView, rows: Sequence[Window], window: str, step: str, minutes: int, column: str | None = None
) -> list[Point]:
    span = Span(window, step, Micros(0), Micros((minutes - 1) * MINUTE_US))
    return list(points_of(rows, span, "now", view, column))


def test_windows_that_move_by_steps_are_merged_from_just_the_rows_in_them(view: BaselineView) -> None:
    rows = [a_window(view, minute, shift=minute == 6) for minute in (1, 2, 3, 6, 7, 19)]
    found = moving(view, rows, "5m", "1m", 30, "a")
    ends = [point.end[14:16] for point in found]
    # From the first minute with events until the last one has left the window.
    assert ends == [f"{minute:02}" for minute in (*range(2, 13), *range(20, 25))]
    for point, end in zip(found, map(int, ends), strict=True):
        inside = [row for row in rows if end - 5 <= row.start_us // MINUTE_US < end]
        assert point.events == 500 * len(inside)
        assert point.start == iso(Micros((end - 5) * MINUTE_US))
        assert point.evidence_log10 == pytest.approx(inside[-1].start_us / MINUTE_US * 2 / math.log(10))
        merged = np.sum([np.frombuffer(row.counts, np.int64) for row in inside], axis=0)
        assert (point.effects, point.intervals) == compared(view, merged, "a")


def test_windows_that_move_by_their_own_width_stand_side_by_side(view: BaselineView) -> None:
    rows = [a_window(view, minute, shift=minute % 3 == 0) for minute in range(60)]
    for column in (None, "a"):
        assert moving(view, rows, "5m", "5m", 60, column) == points(view, rows, "5m", column)
        ends = moving(view, rows, "5m", "1m", 60, column)[4::5]
        assert ends == points(view, rows, "5m", column)


def test_the_highest_evidence_of_a_moving_window_is_that_of_the_rows_in_it(view: BaselineView) -> None:
    rows = [replace(a_window(view, m), evidence_log_max=high) for m, high in enumerate([5.0, 1.0, 9.0, 2.0, 2.0, 1.0])]
    highest = [point.evidence_log10_max for point in moving(view, rows, "5m", "1m", 12)]
    expected = [5, 5, 9, 9, 9, 9, 9, 2, 2, 1]
    assert highest == pytest.approx([high / math.log(10) for high in expected])


def test_rows_of_another_baseline_leave_a_moving_window_without_effects_only_while_they_are_alone(
    view: BaselineView,
) -> None:
    rows = [a_window(view, 1, baseline_id="before"), a_window(view, 2), a_window(view, 3)]
    found = moving(view, rows, "5m", "1m", 4, "a")
    assert [point.events for point in found] == [500, 1_000, 1_500]
    assert found[0].effects["psi"] is None
    assert found[1].effects == points(view, rows[1:2], "1m", "a")[0].effects


@pytest.mark.parametrize(("step", "level"), [(None, "1h"), ("1h", "1h"), ("5m", "1m"), ("1m", "1m")])
def test_a_span_reads_the_coarsest_rows_that_have_its_step(step: str | None, level: str) -> None:
    span = span_of("1d", None, None, NOVEMBER, 900, step)
    assert span.level == level
    assert span.step == (step or "1d")
    assert span.first_us % span.step_us == 0
    assert span.first_us - span.rows_from_us == span.width_us - span.step_us
    assert span.steps <= POINTS + 1


def test_a_step_longer_than_the_window_would_leave_gaps() -> None:
    with pytest.raises(Unprocessable) as caught:
        span_of("5m", None, None, NOVEMBER, 100, "1h")
    assert [(place.at, place.reason) for place in caught.value.places] == [
        ("step", "must not be longer than the window, which is 5m"),
        ("window", "is 5m, shorter than the step, which is 1h"),
    ]


@pytest.mark.parametrize("window", ["5m", "1h", "1d"])
@pytest.mark.parametrize("step", ["1m", "5m", "1h"])
@pytest.mark.parametrize("bins", [1, 900, 5_000, 40_000, 10 * CELLS_MAX])
def test_moving_windows_never_read_more_rows_than_one_answer_may(window: str, step: str, bins: int) -> None:
    if step == window or (window, step) == ("5m", "1h"):
        return
    if bins * WIDTHS[window] / LEVELS["1m" if step in {"1m", "5m"} else "1h"] > CELLS_MAX:
        with pytest.raises(Unprocessable, match="too many rows") as refused:
            span_of(window, None, None, NOVEMBER, bins, step)
        assert refused.value.places[0].at == "step"
        return
    span = span_of(window, None, None, NOVEMBER, bins, step)
    row_us = LEVELS[span.level]
    rows = (span.last_us - span.rows_from_us) // row_us + 1
    assert rows <= min(ROWS_MAX, CELLS_MAX // bins)
    with pytest.raises(Unprocessable, match="too long"):
        span_of(window, iso(Micros(NOVEMBER - ROWS_MAX * row_us)), None, NOVEMBER, bins, step)


def test_of_very_many_points_the_intervals_are_left_out(view: BaselineView) -> None:
    rows = [a_window(view, minute) for minute in range(800)]
    few, many = (moving(view, rows, "5m", "1m", minutes, "a") for minutes in (INTERVALS_MAX, INTERVALS_MAX + 1))
    assert few[0].intervals["psi"] is not None
    assert many[0].intervals["psi"] is None
    assert many[0].effects == few[0].effects
    few, many = (moving(view, rows, "5m", "1m", minutes) for minutes in (INTERVALS_MAX, INTERVALS_MAX + 1))
    assert few[0].intervals["psi"] is not None
    assert (many[0].intervals["psi"], many[0].effects) == (None, few[0].effects)


def test_of_many_columns_the_intervals_are_left_out_sooner() -> None:
    generator = np.random.default_rng(2)
    specs = [(ColumnSpec(name=f"x{i}", kind=ColumnKind.NUMERIC), generator.normal(size=200)) for i in range(100)]
    wide = describe(compile_baseline(specs, bins=4).baseline.to_bytes())
    rows = [a_window(wide, minute) for minute in (0, 1)]
    for steps, known in ((INTERVALS_MAX // 4, True), (INTERVALS_MAX // 4 + 1, False)):
        span = Span("1h", "1m", Micros(0), Micros((steps - 1) * MINUTE_US))
        many = [replace(row, start_us=Micros(i * MINUTE_US)) for i, row in enumerate([*rows] * (steps // 2 + 1))]
        first = next(points_of(many[:steps], span, "now", wide, None))
        assert (first.intervals["psi"] is not None) == known
        assert next(points_of(many[:steps], span, "now", wide, "x3")).intervals["psi"] is not None

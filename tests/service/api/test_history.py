"""Evidence and effects over time."""

import math
import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest

from detectors.baseline import compile_baseline
from detectors.columns import ColumnKind, ColumnSpec
from service.api.history import CELLS_MAX, MINUTE_US, Point, Span, points_of, span_of
from service.detect.baselines import BaselineView, describe
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


def test_a_columns_effects_have_intervals_and_the_models_have_none(view: BaselineView) -> None:
    rows = [a_window(view, 1, shift=True)]
    model, shifted, calm = (points(view, rows, "1m", column)[0] for column in (None, "a", "b"))
    assert set(model.intervals.values()) == {None}
    low, high = shifted.intervals["js"] or (0, 0)
    assert 0.8 < low < high == 1
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

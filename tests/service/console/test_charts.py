"""The evidence chart's geometry."""

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from service.console.charts import POINTS_MAX, Mark, Point, evidence_chart, thin
from service.console.scale import NARROW, WIDE
from service.console.words import LN10

THRESHOLD = 6.4 * LN10
MINUTE = 60_000_000


def minutes(powers: list[float]) -> list[Point]:
    return [
        Point((place + 1_000) * MINUTE, (place + 1_001) * MINUTE, power * LN10) for place, power in enumerate(powers)
    ]


def test_without_evidence_there_is_nothing_to_draw() -> None:
    assert evidence_chart([], THRESHOLD, [], WIDE) is None
    assert evidence_chart(minutes([math.nan]), THRESHOLD, [], WIDE) is None


def test_evidence_does_not_rise_before_its_minute_begins() -> None:
    chart = evidence_chart(minutes([0.0, 9.0]), THRESHOLD, [], WIDE)
    assert chart is not None
    low, high = chart.dots
    assert chart.paths == (f"M{low.left:g},{low.y:g}V{low.y:g}H{high.left:g}V{high.y:g}H{WIDE.width - WIDE.right}",)


def test_more_evidence_is_drawn_higher_and_the_threshold_lies_between() -> None:
    chart = evidence_chart(minutes([1.0, 5.0, 7.0]), THRESHOLD, [], WIDE)
    assert chart is not None
    low, middle, high = (dot.y for dot in chart.dots)
    assert low > middle > chart.threshold_y > high
    assert [dot.over for dot in chart.dots] == [False, False, True]
    assert chart.clipped is None


def test_evidence_far_above_the_budget_is_cut_off_and_said() -> None:
    chart = evidence_chart(minutes([1.0, 312.0]), THRESHOLD, [], WIDE)
    assert chart is not None
    assert chart.clipped == "312.0"
    assert chart.dots[1].y == WIDE.top
    assert chart.threshold_y < WIDE.height - 60, "the threshold must not be squeezed to the bottom"


def test_a_pause_breaks_the_line() -> None:
    points = minutes([1.0, 2.0, 3.0, 4.0])
    later = points[-1].at_us + 30 * MINUTE
    points += [Point(later, later + MINUTE, 5.0), Point(later + MINUTE, later + 2 * MINUTE, 5.0)]
    chart = evidence_chart(points, THRESHOLD, [], WIDE)
    assert chart is not None
    assert len(chart.paths) == len(chart.areas) == 2


def test_marks_outside_are_left_out_but_what_followed_soon_is_shown() -> None:
    points = minutes([0.0] * 60 + [9.0])
    last = points[-1].at_us
    marks = [
        Mark(points[0].since_us - MINUTE, "before", "plain"),
        Mark(last + MINUTE, "quarantined", "bad"),
        Mark(last + 600 * MINUTE, "released", "good"),
    ]
    chart = evidence_chart(points, THRESHOLD, marks, WIDE)
    assert chart is not None
    assert [line.text for line in chart.lines] == ["quarantined"]
    assert chart.lines[0].x <= WIDE.width - WIDE.right


@given(st.lists(st.floats(allow_nan=True), max_size=400), st.floats(0.0, 50.0))
def test_whatever_the_evidence_the_drawing_stays_inside(powers: list[float], threshold: float) -> None:
    for size in (WIDE, NARROW):
        chart = evidence_chart(minutes(powers), threshold, [], size)
        if chart is None:
            assert all(math.isnan(power) for power in powers)
            continue
        assert all(0 <= dot.left <= size.width - dot.width and 0 <= dot.y <= size.height for dot in chart.dots)
        assert all(0 <= tick.at <= size.width for tick in (*chart.x_ticks, *chart.y_ticks))
        assert "nan" not in "".join(chart.paths)


@given(st.lists(st.floats(-5, 400), min_size=1, max_size=1_000))
def test_thinning_keeps_the_peak_and_all_of_the_time(powers: list[float]) -> None:
    points = minutes(powers)
    kept = thin(points)
    assert len(kept) <= POINTS_MAX
    assert (kept[0].since_us, kept[-1].at_us) == (points[0].since_us, points[-1].at_us)
    assert max(p.log_evidence for p in kept) == max(p.log_evidence for p in points)
    assert all(a.at_us == b.since_us for a, b in pairwise(kept))


def test_minutes_stay_apart_where_many_ticks_stand_beside_them() -> None:
    ticks = [Point(1_010 * MINUTE + i * 1_000_000, 1_010 * MINUTE + (i + 1) * 1_000_000, 1.0) for i in range(240)]
    kept = thin([*minutes([0.0] * 10), *ticks])
    assert kept[:10] == tuple(minutes([0.0] * 10))


def test_marks_at_the_same_place_share_one_label() -> None:
    points = minutes([0.0] * 60)
    at = points[20].since_us
    marks = [Mark(at, "suspect", "warn"), Mark(at + 2_000_000, "quarantined", "bad")]
    for size in (WIDE, NARROW):
        chart = evidence_chart(points, THRESHOLD, marks, size)
        assert chart is not None
        assert [(line.text, line.tone) for line in chart.lines] == [("suspect, quarantined", "bad")]


@given(st.lists(st.integers(0, 60 * MINUTE), max_size=12))
def test_no_label_covers_another_one(times: list[int]) -> None:
    points = minutes([0.0] * 60)
    words = ("change began", "suspect", "quarantined", "under review", "active")
    marks = [Mark(points[0].since_us + at, words[i % 5], "plain") for i, at in enumerate(sorted(times))]
    for size in (WIDE, NARROW):
        chart = evidence_chart(points, THRESHOLD, marks, size)
        assert chart is not None
        labels = [
            (line.row, line.x - 7 * len(line.text) - 5 if line.flip else line.x + 5, line) for line in chart.lines
        ]
        spans = sorted((row, low, low + 7 * len(line.text)) for row, low, line in labels if line.text)
        assert all(a[0] != b[0] or a[2] <= b[1] for a, b in pairwise(spans))
        assert [line.x for line in chart.lines] == sorted(line.x for line in chart.lines)

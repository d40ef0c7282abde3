"""The benchmark measures what it says: the same work in each format, and a floor that really counts."""

import msgspec
import numpy as np
import pytest

from bench.floor import BINS, DECODERS, Decoded, Floor
from bench.load import Load
from bench.measure import Cell, GateCell, Memory, Results
from bench.report import BEGIN, END, GOALS, disturbance, render, update_page
from bench.work import CATEGORICAL, FORMATS, NUMERIC, ROW_JSON, Stream, bodies, make_stream, schema

ROWS = 200


@pytest.fixture(scope="module")
def stream() -> Stream:
    return make_stream(ROWS, seed=7)


@pytest.fixture(scope="module")
def decoded(stream: Stream) -> dict[str, Decoded]:
    return {form.name: DECODERS[form.name](bodies(stream, form, ROWS)[0]) for form in FORMATS}


def test_the_same_seed_gives_the_same_bodies(stream: Stream) -> None:
    again = make_stream(ROWS, seed=7)
    other = make_stream(ROWS, seed=8)
    for form in FORMATS:
        assert bodies(stream, form, 50) == bodies(again, form, 50)
        assert bodies(stream, form, 50) != bodies(other, form, 50)


def test_every_format_carries_the_same_numbers(stream: Stream, decoded: dict[str, Decoded]) -> None:
    sent = np.stack([stream.numeric[name] for name in NUMERIC]).astype(np.float32)
    for result in decoded.values():
        np.testing.assert_array_equal(result.numeric, sent)


def test_every_format_carries_the_same_categories_and_principals(stream: Stream, decoded: dict[str, Decoded]) -> None:
    for result in decoded.values():
        for name, (labels, counts) in zip(CATEGORICAL, result.categorical, strict=True):
            values = stream.categorical[name]
            assert dict(zip(labels, counts.tolist(), strict=True)) == {label: values.count(label) for label in labels}
            assert sum(counts.tolist()) == ROWS
        labels, counts = result.principals
        assert dict(zip(labels, counts.tolist(), strict=True)) == {who: stream.principal.count(who) for who in labels}


def test_a_row_body_has_the_shape_of_the_contract(stream: Stream) -> None:
    (event,) = msgspec.json.decode(bodies(stream, ROW_JSON, 1)[0])["events"]
    assert set(event) == {"event_id", "timestamp", "principal", "features", "prediction", "probabilities"}
    declared = schema()["features"]
    assert isinstance(declared, list)
    assert set(event["features"]) == {feature["name"] for feature in declared}


def test_the_floor_counts_as_a_loop_over_rows_would(decoded: dict[str, Decoded]) -> None:
    floor = Floor(make_stream(2_000, seed=1))
    for result in decoded.values():
        floor.add(result)
    edges = floor._edges
    numeric = decoded[ROW_JSON.name].numeric
    for histogram, column, inner in zip(floor.histograms, numeric, edges, strict=True):
        naive = np.bincount([int((value > inner).sum()) for value in column], minlength=BINS)
        np.testing.assert_array_equal(histogram, len(decoded) * naive)
    assert floor.rows == len(decoded) * ROWS
    np.testing.assert_array_equal(floor.sketch.sum(axis=1), floor.rows)
    np.testing.assert_array_equal(floor.extremes, [numeric.min(axis=1), numeric.max(axis=1)])


def _results(rate: float) -> Results:
    load = Load(1_000, 1.0, 0, 0, 0.5, 2.0)
    cells = [
        Cell(
            form.name,
            rows,
            rows * 100,
            floor=[100.0, 200.0],
            yardstick=[1e6, 2e6],
            processed=[rate, 2 * rate],
            acknowledged=[rate, rate],
            cpu_api=[1.0, 1.0],
            cpu_worker=[1.0, 1.0],
            acknowledged_off=[rate, rate],
            bare=[100.0, 200.0] if rows == 1 else [],
            saturated_on=[load],
            saturated_off=[load],
            paced_rate=10.0,
            paced_on=[load],
            paced_off=[load],
        )
        for rows in (1, 1_000)
        for form in FORMATS
    ]
    memory = Memory([(0, 90.0, 100.0), (1_000_000, 100.0, 100.0), (10_000_000, 101.0, 100.0)])
    return Results({"Python": "3"}, cells, gate=[GateCell("Arrow", 5.0, [load])], memory=memory, ready_seconds=[1.0])


def test_a_goal_is_met_or_missed_by_the_ratio_within_each_repeat() -> None:
    assert render(_results(50.0)).count("**missed**") == 0
    assert render(_results(10.0)).count("**missed**") == len(GOALS) + 1
    assert "| Arrow | 1,000 | 100,000 | 75 | 150 | **0.50** | 0.40, met |" in render(_results(50.0))


def test_a_disturbed_machine_shows_in_the_yardstick() -> None:
    assert disturbance(_results(50.0)) == 2.0


def test_only_what_stands_between_the_markers_is_rewritten(tmp_path_factory: pytest.TempPathFactory) -> None:
    page = tmp_path_factory.mktemp("docs") / "benchmarks.md"
    page.write_text(f"before\n{BEGIN}\n\nold\n\n{END}\nafter\n")
    update_page(page, "new\n")
    update_page(page, "newer\n")
    assert page.read_text() == f"before\n{BEGIN}\n\nnewer\n\n{END}\nafter\n"

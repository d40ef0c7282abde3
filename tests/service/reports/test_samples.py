"""Which rows are drawn for reports, and what is never in them."""

from collections import Counter

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.domain.reports import Reports
from service.frames import Frame
from service.reports.samples import (
    CELLS_MAX,
    PROBABILITIES_MAX,
    RARE,
    Pair,
    Reservoir,
    Sample,
    ndjson,
    numbers_of,
    rows_of,
    texts_of,
)
from tests.service.reports.frames import PRIVATE, SCHEMA, coded, frame_of, traffic

REPORTS = Reports(rows=200)


def drawn(frames: list[Frame], rows: int = 200, reports: Reports = REPORTS) -> Sample:
    reservoir = Reservoir(SCHEMA, reports, rows)
    for position, frame in enumerate(frames, 1):
        reservoir.add(frame, position)
    return reservoir.sample(0, 1, cut=False)


def test_every_row_has_the_same_chance() -> None:
    # 400 entries of 50 rows whose ages are their places: 2,000 of 20,000 are drawn, one in ten of each tenth.
    frames = [frame_of({"age": np.arange(50) + 50.0 * i + 0.5}, {"plan": ["basic"] * 50}) for i in range(400)]
    sample = drawn(frames, rows=2_000)
    assert (sample.rows, sample.seen) == (2_000, 20_000)
    ages = numbers_of(sample, "age")
    assert len(set(ages.tolist())) == 2_000
    assert (np.diff(ages) > 0).all()  # in the order of the log
    tenths = Counter((ages // 2_000).astype(int).tolist())
    # Binomial with mean 200 and deviation 13: beyond 6.5 deviations once in 10^10.
    assert max(abs(number - 200) for number in tenths.values()) < 87


@given(st.lists(st.integers(1, 60), min_size=1, max_size=20), st.integers(1, 80))
def test_what_is_drawn_follows_from_the_log_alone(sizes: list[int], rows: int) -> None:
    frames = [traffic(seed, size) for seed, size in enumerate(sizes)]
    first = drawn(frames, rows)
    assert first == drawn(frames, rows)
    assert first.rows == min(rows, sum(sizes))
    fewer = drawn(frames, max(1, rows // 2))
    # The lots belong to the rows: of fewer rows those with the smaller ones stay.
    assert set(numbers_of(fewer, "age").tolist()) <= set(numbers_of(first, "age").tolist())


def test_nobody_and_nothing_confidential_is_drawn() -> None:
    rows = 60
    frame = frame_of(
        {"age": np.arange(rows) % 7 + 0.5, "income": np.full(rows, 91_117.0)},
        {"plan": ["basic"] * rows, "health": ["hiv"] * rows, "comment": ["call me"] * rows},
        principals=coded(["client-7"] * rows),
        event_ids=tuple(f"event-{i}" for i in range(rows)),
        timestamps_us=np.arange(rows),
        embeddings={"face": np.ones((rows, 2), np.float32)},
        segments={"region": coded(["segment-eu"] * rows)},
        attributions={"age": np.ones(rows, np.float32)},
    )
    reservoir = Reservoir(PRIVATE, REPORTS, 200)
    reservoir.add(frame, 1)
    sample = reservoir.sample(0, 1, cut=False)
    assert set(sample.columns) == {"age", "plan"}
    assert sample.left_out.keys() == {"income", "health", "comment", "face"}
    told = msgspec.msgpack.encode(sample) + ndjson(Pair(current=sample, before=sample), None)
    for secret in (b"hiv", b"call me", b"client-7", b"event-", b"segment-eu", b"91117"):
        assert secret not in told


def test_a_policy_leaves_columns_out() -> None:
    sample = drawn([traffic(1, 50)], reports=Reports(leave_out=("plan", "prediction")))
    assert sample.columns == ("age",)
    assert sample.left_out["plan"] == "the policy leaves it out"


def test_identifiers_and_free_text_are_left_out_whatever_the_schema_says() -> None:
    rows = 100
    frame = frame_of(
        {"age": 4_000_000.0 + np.arange(rows)},
        {"plan": [f"customer {i}" for i in range(rows)], "prediction": ["ok"] * rows},
    )
    sample = drawn([frame])
    assert sample.columns == ("prediction",)
    assert "identifier" in sample.left_out["age"]
    assert "identifier or free text" in sample.left_out["plan"]


def test_rare_values_are_not_told_apart_and_long_ones_not_told() -> None:
    plans: list[str | None] = ["basic"] * 90 + ["alice@example.com", "bob@example.com"] + ["x" * 500] * 5 + [None] * 3
    sample = drawn([frame_of({"age": np.arange(100) % 9 + 0.5}, {"plan": plans})])
    assert Counter(texts_of(sample, "plan")) == {"basic": 90, RARE: 2, "(long text)": 5, None: 3}


def test_missing_and_invalid_values_are_told_apart() -> None:
    ages = np.array([np.nan, np.inf, 3.25] * 10)
    sample = drawn([frame_of({"age": ages}, {"plan": ["basic"] * 30})])
    assert Counter(str(row["age"]) for row in rows_of(sample)) == {"None": 10, "(invalid)": 10, "3.25": 10}
    assert len(ndjson(Pair(current=sample, before=sample), sample).splitlines()) == 90


def test_a_column_that_only_some_entries_carry_is_missing_in_the_others() -> None:
    sample = drawn([frame_of({"age": [1.5] * 5}, {"plan": ["basic"] * 5}), traffic(1, 20)])
    assert sample.rows == 25
    assert Counter(texts_of(sample, "prediction"))[None] == 5


def test_probabilities_are_drawn_up_to_a_bound_and_nothing_else_that_clients_make_up() -> None:
    rows = 20
    made_up = {f"probabilities.c{i}": np.full(rows, 0.5) for i in range(PROBABILITIES_MAX + 20)}
    sample = drawn(
        [frame_of({"age": np.arange(rows) + 0.5, "invented": np.ones(rows), **made_up}, {"plan": ["a"] * rows})]
    )
    assert len([name for name in sample.columns if name.startswith("probabilities.")]) == PROBABILITIES_MAX
    assert "invented" not in sample.columns


def test_wide_versions_give_fewer_rows() -> None:
    reservoir = Reservoir(SCHEMA, Reports(rows=10_000), 10_000_000)
    columns = 5  # age, latency, plan, prediction, error
    assert reservoir._rows == CELLS_MAX // columns

"""Rules of requests: found exactly where they hold, checked exactly, and none where nothing holds."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.errors import DetectorError
from detectors.requests.constraints import CONSTRAINTS_MAX, Constraint, Kind, Rules, plain, reduced
from detectors.requests.mining import ROWS_MIN, mine

ROWS = 400


def table(seed: int = 0) -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, ROWS)
    net = np.round(rng.gamma(2.0, 100.0, ROWS), 2)
    tax = np.round(net * rng.choice([0.07, 0.19], ROWS), 2)
    least = rng.normal(size=ROWS)
    return {
        "age": rng.integers(18, 91, ROWS).astype(float),
        "net": net,
        "tax": tax,
        "total": net + tax,
        "cents": 100.0 * net,
        "is_a": (kind == 0).astype(float),
        "flag": rng.integers(0, 2, ROWS).astype(float),
        "is_b": (kind == 1).astype(float),
        "is_c": (kind == 2).astype(float),
        "least": least,
        "middle": least + rng.gamma(1.0, size=ROWS),
        "free": rng.normal(size=ROWS),
    }


def found(columns: dict[str, NDArray[np.float64]]) -> dict[Kind, list[str]]:
    rules = mine(tuple(columns), np.array(list(columns.values())))
    return {kind: [one.name for one in rules if one.kind is kind] for kind in Kind}


def test_the_rules_of_a_table_are_found_and_no_others() -> None:
    rules = found(table())
    assert rules[Kind.EQUAL] == ["cents = 100 * net", "total = net + tax"]
    assert rules[Kind.ONE_HOT] == ["one of is_a, is_b, is_c"]
    assert {"least <= middle", "net <= total", "tax <= net"} >= set(rules[Kind.ORDER])
    assert not [name for name in rules[Kind.ORDER] if "free" in name or "age" in name]
    assert rules[Kind.INTEGER] == [f"{name} is whole" for name in ("age", "cents", "is_a", "flag", "is_b", "is_c")]
    assert len(rules[Kind.RANGE]) == 12


def test_ranges_are_those_of_the_reference() -> None:
    values = np.arange(200.0) + 5.0
    (rule,) = [one for one in mine(("x",), values[None]) if one.kind is Kind.RANGE]
    assert (rule.low, rule.high) == (5.0, 204.0)


def test_one_row_that_does_not_keep_it_is_enough_for_there_to_be_no_rule() -> None:
    columns = table()
    columns["total"][17] += 1.0
    columns["is_a"][3] = 1.0 - columns["is_a"][3]
    columns["middle"][5] = columns["least"][5] - 1.0
    columns["age"][7] = 30.5
    rules = found(columns)
    assert rules[Kind.EQUAL] == ["cents = 100 * net"]
    assert rules[Kind.ONE_HOT] == []
    assert "least <= middle" not in rules[Kind.ORDER]
    assert "age is whole" not in rules[Kind.INTEGER]


def test_what_follows_from_other_orders_is_not_said_again() -> None:
    rng = np.random.default_rng(0)
    low = rng.normal(size=ROWS)
    middle = low + rng.gamma(1.0, size=ROWS)
    high = middle + rng.gamma(1.0, size=ROWS)
    assert found({"low": low, "middle": middle, "high": high})[Kind.ORDER] == ["low <= middle", "middle <= high"]


def test_an_order_that_holds_by_chance_is_none() -> None:
    rng = np.random.default_rng(0)
    assert found({"age": rng.uniform(18, 90, ROWS), "income": rng.uniform(80, 50_000, ROWS)})[Kind.ORDER] == []


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_columns_that_are_not_related_have_no_relations(seed: int) -> None:
    """An order of 8 independent columns would need 20 expected violations not to happen: 56 * exp(-20) = 1e-7 a run."""
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(size=(4, ROWS)), rng.gamma(1.0, size=(4, ROWS))])
    rules = mine(tuple("abcdefgh"), values)
    assert {one.kind for one in rules} == {Kind.RANGE}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_reference_request_breaks_a_rule_that_was_found_in_it(seed: int) -> None:
    columns = table(seed)
    values: NDArray[Any] = np.array(list(columns.values())).astype(np.float32 if seed % 2 else np.float64)
    rules = Rules(names=tuple(columns), constraints=mine(tuple(columns), values))
    assert not rules.broken(values).any()


def test_float32_and_float64_of_the_same_numbers_keep_the_same_rules() -> None:
    columns = table()
    values = np.array(list(columns.values()))
    rules = Rules(names=tuple(columns), constraints=mine(tuple(columns), values))
    assert not rules.broken(values.astype(np.float32)).any()


def test_missing_values_are_left_out_of_mining_and_break_nothing() -> None:
    columns = table()
    for column in columns.values():
        column[:50] = np.nan
        column[50:60] = np.inf
    rules = found(columns)
    assert rules[Kind.EQUAL] == ["cents = 100 * net", "total = net + tax"]
    assert rules[Kind.ONE_HOT] == ["one of is_a, is_b, is_c"]
    values = np.array(list(columns.values()))
    checked = Rules(names=tuple(columns), constraints=mine(tuple(columns), values))
    assert not checked.broken(values).any()


def test_nothing_is_learnt_from_few_or_empty_rows() -> None:
    assert mine(("x",), np.zeros((1, ROWS_MIN - 1))) == ()
    assert mine(("x",), np.full((1, ROWS), np.nan)) == ()
    assert mine((), np.zeros((0, ROWS))) == ()
    assert [one.kind for one in mine(("x",), np.zeros((1, ROWS)))] == [Kind.RANGE]


def naive(rule: Constraint, values: dict[str, float]) -> bool:
    own = [values[name] for name in rule.columns]
    if not all(np.isfinite(own)):
        return False
    return {
        Kind.RANGE: lambda: not rule.low <= own[0] <= rule.high,
        Kind.INTEGER: lambda: own[0] != round(own[0]),
        Kind.ONE_HOT: lambda: sorted(own) != [0.0] * (len(own) - 1) + [1.0],
        Kind.ORDER: lambda: own[0] > own[1],
        Kind.EQUAL: lambda: abs(own[0] - rule.factor * sum(own[1:])) > 1e-6,
    }[rule.kind]()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([0.0, 1.0, 2.0, 0.5, -3.0, np.nan, np.inf]), min_size=3, max_size=3), min_size=1)
)
def test_rules_are_checked_as_they_read(rows: list[list[float]]) -> None:
    names = ("a", "b", "c")
    rules = (
        Constraint(kind=Kind.RANGE, columns=("a",), low=0.0, high=1.0),
        Constraint(kind=Kind.RANGE, columns=("b",), low=0.0),
        Constraint(kind=Kind.INTEGER, columns=("b",)),
        Constraint(kind=Kind.ONE_HOT, columns=names),
        Constraint(kind=Kind.ORDER, columns=("a", "c")),
        Constraint(kind=Kind.EQUAL, columns=("a", "b"), factor=2.0),
        Constraint(kind=Kind.EQUAL, columns=names),
    )
    values = np.array(rows).T
    broken = Rules(names=names, constraints=rules).broken(values)
    for column, row in enumerate(rows):
        own = dict(zip(names, row, strict=True))
        assert broken[:, column].tolist() == [naive(rule, own) for rule in rules]


def test_rules_say_what_they_are_and_how_they_are_broken() -> None:
    one_hot = Constraint(kind=Kind.ONE_HOT, columns=("a", "b"))
    assert one_hot.told({"a": 0.0, "b": 0.0}) == "not one of a, b is 1 and the others 0: all are 0"
    assert one_hot.told({"a": 1.0, "b": 2.0}).endswith("a is 1, b is 2")
    order = Constraint(kind=Kind.ORDER, columns=("a", "b"))
    assert order.told({"a": 2.0, "b": 1.5}) == "a is 2, more than b, which is 1.5"
    equal = Constraint(kind=Kind.EQUAL, columns=("a", "b", "c"), factor=0.5)
    assert equal.name == "a = 0.5 * (b + c)"
    assert Constraint(kind=Kind.INTEGER, columns=("a",)).told({"a": 0.25}) == "a is 0.25, not a whole number"


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": Kind.ORDER, "columns": ("a",)},
        {"kind": Kind.ORDER, "columns": ("a", "a")},
        {"kind": Kind.RANGE, "columns": ("a",), "low": 2.0, "high": 1.0},
        {"kind": Kind.RANGE, "columns": ("a",), "low": np.nan},
        {"kind": Kind.EQUAL, "columns": ("a", "b"), "factor": 0.0},
        {"kind": Kind.ONE_HOT, "columns": tuple(f"x{i}" for i in range(33))},
    ],
)
def test_rules_that_mean_nothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(DetectorError):
        Constraint(**wrong)  # type: ignore[arg-type]


def test_a_rule_about_another_column_and_too_many_rules_are_refused() -> None:
    with pytest.raises(DetectorError, match="'b'"):
        Rules(names=("a",), constraints=(Constraint(kind=Kind.INTEGER, columns=("b",)),))
    many = tuple(Constraint(kind=Kind.RANGE, columns=(f"x{i}",), low=0.0) for i in range(CONSTRAINTS_MAX + 1))
    with pytest.raises(DetectorError, match="at most"):
        Rules(names=tuple(f"x{i}" for i in range(CONSTRAINTS_MAX + 1)), constraints=many)
    assert len(reduced(many)) == CONSTRAINTS_MAX


def test_numbers_are_compared_as_float32_holds_them() -> None:
    assert plain(np.array([0.1, 1e300, -1e300, np.inf, np.nan])).tolist()[:1] == [float(np.float32(0.1))]
    assert np.isfinite(plain(np.array([1e300]))).all()
    assert np.isnan(plain(np.array([np.inf, np.nan]))).all()

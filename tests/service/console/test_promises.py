"""What the page says a baseline can promise."""

import msgspec
import pytest

from service.console.promises import COLUMNS_SHOWN, LINES_SHOWN, promise_of
from service.domain.calibration import Calibration, ColumnCalibration, SelfTest, SelfTestAlarm, Tolerance
from service.domain.errors import Place
from service.domain.policy import Policy

POLICY = Policy()


def tolerance(direction: str, rest: str = "may move by 0.05 standard deviations: the minimum effect") -> Tolerance:
    return Tolerance(direction=direction, by=0.05, cause="minimum_effect", exponent=1.0, text=f"{direction}: {rest}")


def column(name: str, *tolerances: Tolerance, share: float = 0.25) -> ColumnCalibration:
    return ColumnCalibration(
        name=name,
        share=share,
        exponent=1.0,
        why="exponent 1: the rows are independent",
        independent_rows=1_234.4,
        insufficient=None,
        tolerances=tolerances,
    )


def calibration(*columns: ColumnCalibration) -> Calibration:
    return Calibration(
        tuning=POLICY.tuning,
        budget_ticks=POLICY.ticks_per_false_alarm,
        insufficient=None,
        self_test=SelfTest(ticks=9, tick_rows=2.0, allowed=0.5, alarms=(), text="replaying raised nothing"),
        columns=columns,
    )


def test_a_baseline_that_was_not_explained_shows_nothing() -> None:
    assert promise_of(None, POLICY) is None


def test_what_it_promises_is_told_with_the_self_test() -> None:
    told = promise_of(calibration(column("age")), POLICY)
    assert told is not None
    assert (told.tone, told.text) == ("plain", "It supports the promise of one false alarm in 30 days.")
    assert (told.self_test, told.self_test_tone) == ("Replaying raised nothing.", "plain")
    assert not told.outdated


def test_what_is_missing_is_told_as_a_warning_with_what_the_policy_says_in_vain() -> None:
    lacking = msgspec.structs.replace(
        calibration(), insufficient="the reference has 12 rows", notes=(Place("policy.columns.x", "no such column"),)
    )
    told = promise_of(lacking, Policy(minimum_effect=1.0))
    assert told is not None
    assert told.tone == "warn"
    assert told.text == "It cannot support a promise, so nothing raises an alert: the reference has 12 rows."
    assert told.notes == ("policy.columns.x: no such column",)
    assert told.outdated


@pytest.mark.parametrize(("alarms", "tone"), [(0, "plain"), (1, "plain"), (2, "warn")])
def test_more_alarms_against_itself_than_chance_explains_are_a_warning(alarms: int, tone: str) -> None:
    alarm = SelfTestAlarm(first_row=0, last_row=1, columns=("age",))
    tested = msgspec.structs.replace(calibration().self_test, alarms=(alarm,) * alarms)
    told = promise_of(msgspec.structs.replace(calibration(), self_test=tested), POLICY)
    assert told is not None
    assert told.self_test_tone == tone


def test_directions_that_tolerate_the_same_share_a_line() -> None:
    other = "may move by 0.08 standard deviations: blocks of the reference moved by 0.06"
    mixed = column("age", tolerance("mean up"), tolerance("spread up", other), tolerance("mean down"))
    told = promise_of(calibration(mixed, column("id", share=0.0)), POLICY)
    assert told is not None
    age, ignored = told.columns
    assert age.summary == "25 % of the budget, its rows are worth 1,234 independent ones"
    assert age.lines == (
        "mean up, mean down: may move by 0.05 standard deviations: the minimum effect",
        f"spread up: {other}",
    )
    assert (ignored.summary, ignored.lines) == ("ignored by the policy", ())


def test_a_page_does_not_grow_with_the_columns() -> None:
    tolerances = [tolerance(f"label {n}", f"may move by {n}") for n in range(50)]
    told = promise_of(calibration(*(column(f"x{n}", *tolerances) for n in range(300))), POLICY)
    assert told is not None
    assert (len(told.columns), told.columns_left) == (COLUMNS_SHOWN, 300 - COLUMNS_SHOWN)
    assert (len(told.columns[0].lines), told.columns[0].lines_left) == (LINES_SHOWN, 50 - LINES_SHOWN)


def test_a_long_list_of_directions_is_cut() -> None:
    told = promise_of(calibration(column("x", *(tolerance(f"d{n}") for n in range(20)))), POLICY)
    assert told is not None
    assert told.columns[0].lines[0].startswith("d0, d1, d2, d3, d4, d5, d6, d7 and 12 more: may move by")

"""What a run keeps, and what its report says, against values worked out by hand."""

import io
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from redteam.places import place_of
from redteam.plan import Plan, read_plan
from redteam.problems import Refused
from redteam.records import LINES, Folder, Head, Record
from redteam.report import Summary, summarise, summary_of
from redteam.session import Kind, Session
from redteam.show import markdown, print_report

PLAN = read_plan('victims = ["digits"]\nattacks = ["zoo"]\nbenign = ["iid"]')
NAMES = {"AML.T0015": "Evade AI Model"}


def _record(number: int, alarm: int | None, success: int | None, workload: str = "zoo", error: str = "") -> Record:
    kind = Kind.ATTACK if workload == "zoo" else Kind.ORDINARY
    return Record(
        key=f"digits/{workload}/{number}",
        workload=workload,
        kind=kind,
        victim="digits",
        seed=0,
        source=number,
        requests=100,
        success=success,
        alarm=alarm,
        queries=None if alarm is None else alarm + 1,
        seconds=None,
        damage=None,
        tiers={} if alarm is None else {"probing": alarm} | ({"intent": alarm + 5} if alarm < 15 else {}),
        contained=0,
        error=error,
        file=f"sessions/digits/{workload}/{number}.npz",
    )


def _session(count: int = 3) -> Session:
    return Session(
        workload="zoo",
        kind=Kind.ATTACK,
        victim="digits",
        seed=0,
        source=0,
        inputs=np.arange(count, dtype=np.float32)[:, None],
        probabilities=np.full((count, 2), 0.5, dtype=np.float32),
        seconds=np.arange(count, dtype=np.float64),
        accounts=np.zeros(count, dtype=np.int32),
    )


def _summary(*records: Record, total: int = 9) -> Summary:
    return summarise(Head(digest="d" * 64, seed=0, total=total, skipped=(("digits", "lowprofool"),)), records, NAMES)


def test_an_attack_seen_too_late_is_a_blind_spot_and_an_error_is_none() -> None:
    attacks = [_record(0, 10, 20), _record(1, 20, 20), _record(2, None, 30), _record(3, 9, None)]
    [row] = _summary(*attacks, _record(4, None, None, error="VictimFailed: away")).attacks
    assert (row.sessions, row.errors, row.successes) == (4, 1, 3)
    assert (row.timely.hits, row.timely.trials) == (1, 3)
    assert row.blind
    assert row.queries_median == 11
    assert row.tiers == {"intent": 2, "probing": 3}
    assert (row.by_intent.hits, row.by_intent.trials) == (1, 3)
    assert row.seen.hits == 3


def test_half_seen_in_time_is_no_blind_spot_and_no_success_neither() -> None:
    assert not _summary(_record(0, 10, 20), _record(1, None, 20)).attacks[0].blind
    silent = _summary(_record(0, None, None))
    assert not silent.attacks[0].blind
    assert "No success" in markdown(silent)


def test_benign_sessions_are_counted_with_an_exact_interval() -> None:
    [row] = _summary(*(_record(i, 5 if i == 0 else None, None, "iid") for i in range(10))).benign
    assert (row.alarmed.hits, row.alarmed.trials) == (1, 10)
    assert row.alarmed.low == pytest.approx(0.00253, abs=1e-5)
    assert row.alarmed.high == pytest.approx(0.44502, abs=1e-5)


def test_who_is_wronged_is_said_once_it_is_sure() -> None:
    one = _summary(_record(0, 5, None, "iid"), *(_record(i, None, None, "iid") for i in range(1, 90)))
    many = _summary(*(_record(i, 5, None, "iid") for i in range(3)))
    assert "wronged" not in markdown(one)
    assert "worth less than it looks: iid on digits" in markdown(many)


def test_the_report_shows_blind_spots_with_their_techniques() -> None:
    summary = _summary(_record(0, None, 20), _record(0, None, None, "iid"))
    text, out = markdown(summary), io.StringIO()
    assert "\N{LARGE RED SQUARE} zoo" in text
    assert "AML.T0015 Evade AI Model" in text
    assert "lowprofool does not fit digits" in text
    assert "goes on" in text
    with redirect_stdout(out):
        print_report(summary, width=200)
    assert "Blind spots" in out.getvalue()
    assert "AML.T0015 Evade AI Model" in out.getvalue()
    assert msgspec.json.decode(msgspec.json.encode(summary), type=Summary) == summary


def test_a_folder_is_gone_on_with(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.begin(PLAN, 2, ())
    folder.add(_record(0, 1, 2), _session())
    folder.add(_record(1, None, None, error="VictimFailed: away"), _session())
    again = Folder(tmp_path)
    again.begin(PLAN, 2, ())
    assert again.done("digits/zoo/0")
    assert not again.done("digits/zoo/1")
    assert not again.done("digits/zoo/2")
    with np.load(tmp_path / "sessions/digits/zoo/0.npz") as held:
        np.testing.assert_array_equal(held["inputs"], _session().inputs)


def test_a_line_that_was_broken_off_is_run_again(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.begin(PLAN, 2, ())
    folder.add(_record(0, 1, 2), _session())
    with (tmp_path / LINES).open("ab") as lines:
        lines.write(msgspec.json.encode(_record(1, 1, 2))[:-7])
    again = Folder(tmp_path)
    again.begin(PLAN, 2, ())
    assert list(again.records) == ["digits/zoo/0"]
    again.add(_record(1, None, 2), _session())
    found = summary_of(Folder(tmp_path), NAMES)
    assert found is not None
    assert (found.done, found.complete) == (2, True)


@pytest.mark.parametrize("other", [PLAN.seeded(5), replace(PLAN, sessions=8)])
def test_results_of_two_plans_never_mix(tmp_path: Path, other: Plan) -> None:
    Folder(tmp_path).begin(PLAN, 2, ())
    with pytest.raises(Refused, match="not mixed"):
        Folder(tmp_path).begin(other, 2, ())


def test_two_runs_never_write_to_one_folder(tmp_path: Path) -> None:
    with Folder(tmp_path).alone(), pytest.raises(Refused, match="another run"), Folder(tmp_path).alone():
        pytest.fail("both were let in")


def test_no_results_are_no_report(tmp_path: Path) -> None:
    assert summary_of(Folder(tmp_path), NAMES) is None
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(Refused, match=r"run\.json"):
        summary_of(Folder(tmp_path), NAMES)


def test_the_place_of_an_alarm_counts_an_accounts_different_requests() -> None:
    accounts = np.array([0, 1, 0, 0, 1, 1], dtype=np.int32)
    inputs = np.array([[1], [7], [1], [2], [7], [8]], dtype=np.float32)
    session = replace(_session(6), inputs=inputs, accounts=accounts)
    assert place_of(session, 0, 1) == 0
    assert place_of(session, 0, 2) == 3
    assert place_of(session, 1, 2) == 5
    assert place_of(session, 1, 9) == 5

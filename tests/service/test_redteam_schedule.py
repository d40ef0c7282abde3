"""Red-team runs that the service starts by itself: when, who, how long, and what is known of them afterwards."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from service.cli import doctor
from service.cli.doctor import FAILED, FINE, examine
from service.cli.failures import Failure
from service.cli.schedule import FOLDERS_KEPT, RedTeamSchedule, Work, command_of, own_url, schedule_of
from service.domain.ids import Micros
from service.domain.schedule import NEVER, Outcome, Schedule
from service.settings import Settings
from service.store import Store, open_store
from service.wiring import build_runtime
from tests.fakes import ManualClock

HOUR = 3_600_000_000
LEASE = 60_000_000
NOW = Micros(10 * HOUR)
PATIENCE_SECONDS = 30.0


def test_the_first_run_is_due_at_once_and_the_next_one_an_interval_later() -> None:
    begun = Schedule().claimed("a", NOW, HOUR, LEASE)
    assert begun is not None
    assert (begun.next_us, begun.outcome, begun.missed) == (NOW + HOUR, Outcome.RUNNING, 0)
    over = begun.ended("a", Micros(NOW + 5), Outcome.DONE, "")
    assert over is not None
    assert (over.done, over.good_us) == (1, NOW + 5)
    assert over.claimed("b", Micros(NOW + HOUR - 1), HOUR, LEASE) is None
    assert over.claimed("b", Micros(NOW + HOUR), HOUR, LEASE) is not None


def test_turns_that_went_by_are_counted_as_missed() -> None:
    over = Schedule(next_us=NOW, outcome=Outcome.DONE, done=1)
    late = over.claimed("a", Micros(NOW + 3 * HOUR + 7), HOUR, LEASE)
    assert late is not None
    assert late.missed == 3


def test_nobody_begins_while_another_run_is_on_and_a_lost_one_counts_as_failed() -> None:
    begun = Schedule().claimed("a", NOW, LEASE // 2, LEASE)
    assert begun is not None
    assert begun.claimed("b", Micros(NOW + LEASE - 1), LEASE // 2, LEASE) is None
    taken = begun.claimed("b", Micros(NOW + LEASE), LEASE // 2, LEASE)
    assert taken is not None
    assert (taken.failed, taken.owner) == (1, "b")
    assert "lost" in taken.detail
    assert taken.ended("a", NOW, Outcome.DONE, "") is None, "it is not the first one's any more"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'state.db'}", timeout_seconds=5.0)
    yield opened
    opened.close()


def test_of_two_replicas_one_runs_it_and_both_know(store: Store, tmp_path: Path) -> None:
    other = open_store(f"sqlite:///{tmp_path / 'state.db'}", timeout_seconds=5.0)
    assert store.schedule.read() == Schedule()
    assert store.schedule.claim("a", NOW, HOUR, LEASE)
    assert not other.schedule.claim("b", NOW, HOUR, LEASE)
    assert other.schedule.read().owner == "a"
    assert not other.schedule.end("b", NOW, Outcome.DONE, "")
    assert store.schedule.end("a", Micros(NOW + 1), Outcome.FAILED, "x" * 900)
    found = other.schedule.read()
    assert (found.failed, found.outcome, len(found.detail), found.good_us) == (1, Outcome.FAILED, 500, NEVER)
    assert [entry.action for entry in store.read.audit(2)] == ["redteam.end", "redteam.begin"]
    other.close()


class Keys:
    """Keys that are made and revoked."""

    def __init__(self) -> None:
        self.made = self.revoked = 0

    def __call__(self) -> tuple[str, Callable[[], None]]:
        self.made += 1
        return "lzk_made", self._revoke

    def _revoke(self) -> None:
        self.revoked += 1


def _schedule(
    store: Store, folder: Path, code: str, *, seconds: float = 30.0
) -> tuple[RedTeamSchedule, Keys, ManualClock]:
    work = Work(command=[sys.executable, "-c", code], every_us=HOUR, seconds_max=seconds, folder=folder)
    keys, clock = Keys(), ManualClock()
    return RedTeamSchedule(work, store.schedule, clock, keys), keys, clock


def test_a_run_is_a_child_of_low_priority_with_a_key_of_its_own_that_is_gone_afterwards(
    store: Store, tmp_path: Path
) -> None:
    code = (
        "import os,sys,time,pathlib; time.sleep(0.3); pathlib.Path(sys.argv[1],'seen').write_text("
        "f\"{os.environ['LAZARETTO_API_KEY']} {os.nice(0)}\")"
    )
    schedule, keys, clock = _schedule(store, tmp_path / "runs", code)
    for _ in range(FOLDERS_KEPT + 2):
        assert schedule.look()
        assert not schedule.look(), "the next one is not due yet"
        clock.advance(3_600)
    assert (keys.made, keys.revoked) == (FOLDERS_KEPT + 2,) * 2
    kept = sorted((tmp_path / "runs").iterdir())
    assert len(kept) == FOLDERS_KEPT
    assert kept[-1].joinpath("seen").read_text() == "lzk_made 19"
    assert store.schedule.read().done == FOLDERS_KEPT + 2


def _ends(run: Path) -> bool:
    """Tell whether what a run has started ends: a killed process takes until it is its turn."""
    number = int(run.joinpath("pid").read_text())
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(number).status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.05)
                continue
        return True
    return False


def test_a_run_that_fails_says_why_and_one_that_takes_too_long_is_ended_with_all_it_started(
    store: Store, tmp_path: Path
) -> None:
    schedule, keys, clock = _schedule(store, tmp_path / "runs", "import sys; sys.exit('no such victim')")
    assert schedule.look()
    found = store.schedule.read()
    assert (found.outcome, found.failed) == (Outcome.FAILED, 1)
    assert found.detail == "exit code 1: no such victim"
    code = (
        "import subprocess,sys,time,pathlib\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "pathlib.Path(sys.argv[1], 'pid').write_text(str(child.pid)); time.sleep(600)"
    )
    slow, _, slow_clock = _schedule(store, tmp_path / "slow", code, seconds=5.0)
    slow_clock.advance(3_600)
    assert slow.look()
    assert store.schedule.read().outcome is Outcome.TIMED_OUT
    [run] = (tmp_path / "slow").iterdir()
    assert _ends(run)
    assert keys.revoked == 1
    assert clock.now_us() < slow_clock.now_us()


def test_a_command_that_is_not_there_is_a_failure_and_no_end_of_the_service(store: Store, tmp_path: Path) -> None:
    work = Work(command=["/no/such/program"], every_us=HOUR, seconds_max=5.0, folder=tmp_path / "runs")
    keys = Keys()
    assert RedTeamSchedule(work, store.schedule, ManualClock(), keys).look()
    assert store.schedule.read().outcome is Outcome.FAILED
    assert keys.revoked == 1


def test_the_command_attacks_this_service_with_the_plan_of_the_settings(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, redteam_plan=tmp_path / "p.toml", redteam_file_under="m/1")
    words = command_of(settings, "http://127.0.0.1:8080")
    assert words[1:5] == ["-m", "service", "redteam", "run"]
    assert words[words.index("--url") + 1] == "http://127.0.0.1:8080"
    assert words[words.index("--plan") + 1] == str(tmp_path / "p.toml")
    assert words[words.index("--file-under") + 1] == "m/1"
    assert words[-1] == "--output"
    assert "lzk_" not in " ".join(words)


class Listener:
    """A socket that says where it listens."""

    def __init__(self, host: str) -> None:
        self._host = host

    def getsockname(self) -> tuple[str, int]:
        return self._host, 80


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("10.0.0.7", "10.0.0.7")],
)
def test_a_service_that_listens_everywhere_is_attacked_on_the_loopback(host: str, url: str) -> None:
    assert own_url(Listener(host)) == f"http://{url}:80"  # type: ignore[arg-type]  # all that is asked of a socket


def test_what_is_not_installed_or_cannot_be_read_is_said_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = build_runtime(Settings(data_dir=tmp_path))
    try:
        assert schedule_of(Settings(data_dir=tmp_path), runtime, "http://x") is None
        away = Settings(data_dir=tmp_path, redteam_plan=tmp_path / "none.toml")
        with pytest.raises(Failure, match="LAZARETTO_REDTEAM_PLAN: cannot read the plan"):
            schedule_of(away, runtime, "http://x")
        monkeypatch.setattr("service.cli.redteam.find_spec", lambda _: None)
        with pytest.raises(Failure, match=r"pip install 'lazaretto\[redteam\]'"):
            schedule_of(away, runtime, "http://x")
    finally:
        runtime.store.close()


def test_the_doctor_tells_runs_that_fail_and_runs_that_never_come(tmp_path: Path, store: Store) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('scenarios = "all"\n')
    settings = Settings(data_dir=tmp_path, redteam_plan=plan)

    def told() -> tuple[str, str]:
        [finding] = [one for one in examine(settings) if one.what == "red-team schedule"]
        return finding.verdict, finding.text

    assert told() == (FINE, "the first run begins with the service")
    store.schedule.claim("a", NOW, HOUR, LEASE)
    assert told()[0] == FINE, "a run that is on is not late"
    store.schedule.end("a", NOW, Outcome.TIMED_OUT, "not over after 5 s")
    verdict, text = told()
    assert verdict == FAILED
    assert "timed out: not over after 5 s" in text
    store.schedule.claim("a", Micros(NOW + HOUR), HOUR, LEASE)
    store.schedule.end("a", Micros(NOW + HOUR), Outcome.DONE, "")
    verdict, text = told()
    assert verdict == FAILED
    assert "due for" in text
    assert doctor.OVERDUE_SECONDS < 3_600

"""The units for machines without containers: accepted by systemd, closed, and of a service that has what they name."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from service.cli import app as commands
from service.settings import Settings

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
UNITS = sorted(FOLDER.glob("lazaretto-*.service"))
ROLES = [path for path in UNITS if path.stem in {"lazaretto-api", "lazaretto-worker"}]
PROGRAM = "/opt/lazaretto/bin/lazaretto"
EXPOSURE_TENTHS_MAX = 15
"""Of 100, by systemd's own count; a unit without any of this has about 96."""


def _name(path: Path) -> str:
    return path.stem


@pytest.fixture
def analyze() -> str:
    path = shutil.which("systemd-analyze")
    if path is None:
        pytest.skip("systemd-analyze is not here")
    return path


def _runnable(unit: Path, folder: Path) -> Path:
    """Copy a unit with a program that is here instead of one that is not."""
    copy = folder / unit.name
    copy.write_text(unit.read_text().replace(PROGRAM, shutil.which("true") or "/bin/true"))
    return copy


@pytest.mark.parametrize("unit", UNITS, ids=_name)
def test_systemd_accepts_it(unit: Path, tmp_path: Path, analyze: str) -> None:
    command = [analyze, "verify", "--man=no", str(_runnable(unit, tmp_path))]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert [line for line in result.stderr.splitlines() if unit.name in line] == []


@pytest.mark.parametrize("unit", ROLES, ids=_name)
def test_it_is_closed_as_far_as_it_can_be(unit: Path, tmp_path: Path, analyze: str) -> None:
    command = [
        analyze,
        "security",
        "--offline=true",
        f"--threshold={EXPOSURE_TENTHS_MAX}",
        str(_runnable(unit, tmp_path)),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_both_roles_have_the_same_user_data_and_settings() -> None:
    assert len(ROLES) == 2
    api, worker = (dict(re.findall(r"^(\w+)=(.*)$", unit.read_text(), flags=re.MULTILINE)) for unit in ROLES)
    for key in ("User", "Group", "StateDirectory"):
        assert api[key] == worker[key] == "lazaretto"
    assert "u lazaretto " in (FOLDER / "lazaretto.sysusers.conf").read_text()
    variables = [re.findall(r"^Environment=(.*)$", unit.read_text(), flags=re.MULTILINE) for unit in ROLES]
    assert variables[0] == variables[1]
    known = {f"LAZARETTO_{field.upper()}" for field in Settings.model_fields} | {"LAZARETTO_CONFIG"}
    assert {variable.split("=")[0] for variable in variables[0]} <= known


@pytest.mark.parametrize("unit", ROLES, ids=_name)
def test_what_it_starts_is_a_command_and_may_end_in_its_own_time(unit: Path) -> None:
    text = unit.read_text()
    (role,) = re.findall(rf"^ExecStart={PROGRAM} (\w+)$", text, flags=re.MULTILINE)
    assert role in {command.name for command in commands.registered_commands}
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, flags=re.MULTILINE)
    assert int(seconds) > Settings().shutdown_seconds + 35
    # The worker lowers its own priority: systemd's group of resource calls must stay allowed.
    assert "@resources" not in text

"""What an installed Lazaretto has: the same as the image, but without a container engine."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("service", "detectors", "migrations")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the sources and unpack it, as pip would."""
    source, wheels, site = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "site"))
    for folder in SOURCES:
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command += ["--disable-pip-version-check", "--wheel-dir", str(wheels), str(source)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    (wheel,) = wheels.glob("lazaretto-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def test_the_wheel_carries_all_that_is_not_code(installed: Path) -> None:
    carried = {path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()}
    assert {"service/py.typed", "detectors/py.typed", "migrations/env.py"} <= carried
    wanted = {
        path.relative_to(ROOT).as_posix()
        for folder in SOURCES
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted - carried == set()
    assert any(path.endswith("dist-info/licenses/LICENSE") for path in carried)


def test_an_installed_service_migrates_a_fresh_store_and_makes_a_key(installed: Path, tmp_path: Path) -> None:
    program = "import sys; sys.path.insert(0, sys.argv.pop(1)); import service; from service.cli import main; "
    program += "assert service.__file__.startswith(sys.path[0]), service.__file__; main()"
    command = [sys.executable, "-P", "-c", program, str(installed), "keys", "create", "--name", "first"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LAZARETTO_")}
    result = subprocess.run(
        [*command, "--scopes", "admin", "--json"],
        cwd=tmp_path,
        env=environment | {"LAZARETTO_DATA_DIR": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert '"lzk_' in result.stdout

"""What tests of every folder share."""

import os
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]

# The same examples on every run and machine; how long an example takes is not a property of the code.
settings.register_profile("lazaretto", deadline=None, derandomize=True)
settings.load_profile("lazaretto")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take long, so that no process that shares them is left with a long one in the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def _absent(reason: str) -> NoReturn:
    """Skip, saying why; in continuous integration a missing component is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (CI=true: nothing may be left out)")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of public data sets that lies beside the repository."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        _absent("the data sets are not beside the repository: ../shared/data")
    return folder


@pytest.fixture(scope="session")
def evidently_python() -> Path:
    """Return an interpreter that has Evidently: this one, or the one that EVIDENTLY_PYTHON names."""
    named = os.environ.get("EVIDENTLY_PYTHON")
    if named is None and find_spec("evidently") is None:
        _absent("Evidently is not installed; the extra 'reports' brings it")
    return Path(named or sys.executable)


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Return where a system program is: ``program("promtool")``."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            _absent(f"{name} is not installed; scripts/install-system names its package")
        return path

    return find

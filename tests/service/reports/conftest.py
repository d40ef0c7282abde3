"""An interpreter that has Evidently: this one where everything is installed, or the one that EVIDENTLY_PYTHON names."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def evidently_python() -> Path:
    named = os.environ.get("EVIDENTLY_PYTHON")
    if named is None and find_spec("evidently") is None:
        reason = "Evidently is not installed; the extra 'reports' brings it"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason} (CI=true: nothing may be left out)")
        pytest.skip(reason)
    return Path(named or sys.executable)

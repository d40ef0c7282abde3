"""A desk over a store of its own for every test; the schema is made once."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.store.migrate import upgrade
from tests.service.desks.desk import Desk


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("desks") / "state.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def desk(template: Path, tmp_path: Path) -> Iterator[Desk]:
    path = tmp_path / "state.db"
    shutil.copy(template, path)
    running = Desk.over(path)
    yield running
    running.store.close()

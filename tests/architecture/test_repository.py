"""The repository speaks of itself only, and its commands and packages are what they say."""

import importlib.metadata
import os
import re
import subprocess
import tomllib

import service
from tests.architecture.sources import ROOT, name, repository_files, text_files

TARGETS = [
    "help",
    "install",
    "demo",
    "serve",
    "test",
    "check",
    "fix",
    "bench",
    "bench-detection",
    "bench-console",
    "bench-adversarial",
]
LOCKED = ["demo", "dev", "postgres", "redteam", "reports"]
# Written in pieces, so that this file does not find itself.
MACHINE_PATHS = re.compile(r"(?<![\w.~}])/" + r"(?:work|root|home|Users|tmp)/[\w.]")
INDEXES = re.compile(r"py" + r"pi\.org|python" + r"hosted\.org|--(?:extra-)?index-" + r"url[ =]|--find-" + r"links[ =]")


def test_no_file_names_a_place_of_one_machine() -> None:
    found = {path: MACHINE_PATHS.findall(text) for path, text in text_files() if MACHINE_PATHS.search(text)}
    assert found == {}


def test_no_file_names_a_package_index() -> None:
    assert [path for path, text in text_files() if INDEXES.search(text)] == []


def test_the_lock_pins_everything_and_nothing_but_packages() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert len(lines) > 50
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; .+)?", line)] == []


def test_the_lock_has_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(one for name in LOCKED for one in extras[name])]
    names = {re.split(r"[\[<>=~! ]", text, maxsplit=1)[0].lower() for text in wanted}
    locked = {line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines()}
    assert names - locked == set()


def test_make_help_lists_each_target_on_one_line() -> None:
    # A make that runs this test tells its children so, and they would print the directory they enter.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "help"]
    output = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    listed = re.findall(r"^ +make ([\w-]+) +\w.+$", output, flags=re.MULTILINE)
    assert listed == TARGETS
    assert len(output.splitlines()) == len(TARGETS)


def test_continuous_integration_runs_the_whole_test_target() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -eu" in lines
    assert lines[-1] == "exec make test"


def test_scripts_can_be_run() -> None:
    scripts = [p for p in repository_files() if p.parent.name in {"scripts", ".ci"} and p.suffix == ""]
    assert len(scripts) >= 5
    assert [name(path) for path in scripts if not path.stat().st_mode & 0o100] == []
    for path in scripts:
        subprocess.run(["bash", "-n", path], check=True)


def test_the_packages_carry_their_types() -> None:
    assert (ROOT / "service" / "py.typed").is_file()
    assert (ROOT / "detectors" / "py.typed").is_file()
    assert (ROOT / "redteam" / "py.typed").is_file()


def test_the_version_stands_in_one_place() -> None:
    assert importlib.metadata.version("lazaretto") == service.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    quoted = re.compile(r"[\"']" + re.escape(service.__version__) + r"[\"']")
    holders = [path for path, text in text_files() if path.endswith((".py", ".toml")) and quoted.search(text)]
    assert holders == ["service/__init__.py"]

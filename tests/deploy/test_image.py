"""The Dockerfile's own steps, taken in an empty root as an engine would: built, started, asked, ended.

There is no container engine here. What an engine adds (layers, a registry, the base image) is not proven by this.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from tests.deploy import dockerfile, wheelhouse
from tests.deploy.cleanroot import PATH, Box, first_process, make_root

ROOT = dockerfile.ROOT
TEXT = (ROOT / "Dockerfile").read_text()
IGNORE = (ROOT / ".dockerignore").read_text()
STAGES = dockerfile.read_stages(TEXT)
FINAL = STAGES[-1]
STEP_SECONDS = 900.0
PATIENCE_SECONDS = 180.0
DATA = "/var/lib/lazaretto"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WANTED = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["postgres"], "setuptools"]


@dataclass(frozen=True)
class Image:
    """What the steps have made: a root, and how to run in it."""

    box: Box
    command: list[str]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheelhouse")
    for name in wheelhouse.needed(WANTED):
        wheelhouse.pack(name, folder)
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def image(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Take every step of every stage, without a network: pip finds the locked versions in a folder."""
    if os.geteuid() != 0:
        pytest.skip("only root may make an empty root and users in it")
    roots: dict[str, Path] = {}
    box = Box(Path())
    for stage in STAGES:
        roots[stage.name] = tmp_path_factory.mktemp(stage.name)
        make_root(roots[stage.name])
        box = Box(roots[stage.name], {"PATH": PATH}, mounts={wheels: "/wheelhouse"})
        for word, rest in stage.steps:
            box = _step(box, word, rest, roots)
    shutil.rmtree(roots["build"])
    wheelhouse.lend_bytecode(wheelhouse.needed(WANTED) - {"setuptools"}, _site(roots["final"]))
    command = [*json.loads(*dockerfile.values(FINAL, "ENTRYPOINT")), *json.loads(*dockerfile.values(FINAL, "CMD"))]
    return Image(replace(box, mounts={}), command)


def _site(root: Path) -> Path:
    (site,) = (root / "opt" / "lazaretto").glob("lib/python*/site-packages")
    return site


def _step(box: Box, word: str, rest: str, roots: dict[str, Path]) -> Box:
    if word == "ENV":
        return replace(box, environment=dockerfile.environment(rest, box.environment))
    if word == "WORKDIR":
        (box.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        return replace(box, workdir=rest)
    if word == "USER":
        return replace(box, user=rest)
    if word == "RUN":
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheelhouse", "PIP_CONFIG_FILE": "/dev/null"}
        offline["PIP_NO_COMPILE"] = "1"  # bytecode is lent below
        building = replace(box, environment=box.environment | offline)
        building.run(["/bin/sh", "-c", rest], STEP_SECONDS)
    if word == "COPY":
        _copy(box, rest.split(), roots)
    return box


def _copy(box: Box, words: list[str], roots: dict[str, Path]) -> None:
    *sources, target = words
    place = box.root / os.path.normpath(f"{box.workdir}/{target}").lstrip("/")
    if sources[0].startswith("--from="):
        stage, (source,) = sources[0].removeprefix("--from="), sources[1:]
        shutil.copytree(roots[stage] / source.lstrip("/"), place, symlinks=True)
        return
    for source in sources:
        assert dockerfile.sent(source, IGNORE), f".dockerignore keeps {source} from the engine"
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place, ignore=_unsent)
        else:
            shutil.copy(ROOT / source, place)


def _unsent(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if not dockerfile.sent((Path(folder) / name).relative_to(ROOT).as_posix(), IGNORE)}


@dataclass(frozen=True)
class Container:
    """A started image."""

    box: Box
    process: "subprocess.Popen[str]"
    url: str
    log: Path

    def health(self, *more: str) -> "subprocess.CompletedProcess[str]":
        check = dockerfile.health(FINAL)
        return self.box.join(self.process, [*check.command, *more], check.timeout + PATIENCE_SECONDS)

    def wait_until_healthy(self) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        while self.health().returncode != 0:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def _running(image: Image, folder: Path) -> Iterator[Container]:
    """Run the image with a read-only root and one volume, without any capability."""
    volume = folder / "volume"
    shutil.copytree(
        image.box.root / DATA.lstrip("/"), volume
    )  # an engine fills a fresh volume, owner and mode included
    made = (image.box.root / DATA.lstrip("/")).stat()
    os.chown(volume, made.st_uid, made.st_gid)
    port = _free_port()
    box = replace(
        image.box,
        environment=image.box.environment | {"LAZARETTO_PORT": str(port)},
        volumes={volume: DATA},
        is_read_only=True,
        has_network=True,
    )
    log = folder / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(box.command(image.command), stdout=output, stderr=output, text=True) as process,
    ):
        try:
            yield Container(box, process, f"http://127.0.0.1:{port}", log)
        finally:
            if process.poll() is None:
                process.kill()


@pytest.mark.slow
def test_the_steps_make_a_service_that_starts_is_healthy_and_ends_in_order(image: Image, tmp_path: Path) -> None:
    with _running(image, tmp_path) as container:
        container.wait_until_healthy()
        assert container.health("--ready").returncode == 0
        made = container.box.join(
            container.process,
            ["lazaretto", "keys", "create", "--name", "first", "--scopes", "admin,read", "--json"],
            PATIENCE_SECONDS,
        )
        assert made.returncode == 0, made.stderr
        headers = {"Authorization": f"Bearer {json.loads(made.stdout)['key']}"}
        with httpx.Client(base_url=container.url, headers=headers, timeout=PATIENCE_SECONDS) as client:
            assert client.post("/v1/models", json={"name": "fraud", "owner": "risk"}).status_code == 201
            assert [one["name"] for one in client.get("/v1/models").json()["models"]] == ["fraud"]
        until = time.monotonic() + PATIENCE_SECONDS
        while container.health("--worker").returncode != 0:
            assert time.monotonic() < until, container.log.read_text()
            time.sleep(0.2)
        # As its process 1, to which the kernel sends no signal that is not handled.
        os.kill(first_process(container.process), signal.SIGTERM)
        assert container.process.wait(PATIENCE_SECONDS) == 0, container.log.read_text()


@pytest.mark.slow
def test_what_runs_is_not_root_has_no_capability_and_writes_to_its_volume_alone(image: Image, tmp_path: Path) -> None:
    with _running(image, tmp_path) as container:
        container.wait_until_healthy()
        pid = first_process(container.process)
        status = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
        )
        assert status["Uid"].split() == ["10001"] * 4
        assert status["Gid"].split() == ["10001"] * 4
        assert {status[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb")} == {"0" * 16}
        for folder in ("/", "/opt/lazaretto", "/etc", "/tmp", DATA):
            touched = container.box.join(container.process, ["touch", f"{folder}/probe"], PATIENCE_SECONDS)
            assert (touched.returncode == 0) is (folder == DATA), f"{folder}: {touched.stderr}"


@pytest.mark.slow
def test_a_dead_service_is_unhealthy(image: Image, tmp_path: Path) -> None:
    with _running(replace(image, command=["sleep", "60"]), tmp_path) as container:
        until = time.monotonic() + PATIENCE_SECONDS
        while container.box.join(container.process, ["true"], PATIENCE_SECONDS).returncode != 0:
            assert time.monotonic() < until
            time.sleep(0.05)
        answer = container.health()
        assert answer.returncode == 1
        assert "does not answer" in answer.stderr
        assert container.health("--worker").returncode == 1


@pytest.mark.slow
def test_what_is_shipped_is_the_locked_versions_and_nothing_else(image: Image) -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    locked = {tuple(line.split(" ;")[0].strip().split("==")) for line in lines}  # some stand there once for each Python
    site = _site(image.box.root)
    found = {path.name.removesuffix(".dist-info").rsplit("-", 1)[0]: path for path in site.glob("*.dist-info")}
    versions = {
        name.replace("_", "-").lower(): path.name.removesuffix(".dist-info").rsplit("-", 1)[1]
        for name, path in found.items()
    }
    assert versions.pop("lazaretto")
    assert {name: version for name, version in versions.items() if (name, version) not in locked} == {}
    assert {"fastapi", "numpy", "psycopg", "pyarrow"} <= set(versions)
    assert not {"pip", "setuptools", "pytest", "scikit-learn"} & set(versions)
    assert not list(site.rglob("tests/deploy"))


def test_the_dockerfile_asks_for_nothing_but_locked_packages() -> None:
    runs = [rest for stage in STAGES for rest in dockerfile.values(stage, "RUN")]
    installs = [part for rest in runs for part in rest.split("&&") if re.search(r"pip\b.* install", part)]
    assert len(installs) == 2
    assert [part for part in installs if "--constraint requirements.lock" not in part] == []
    assert [rest for rest in runs if re.search(r"curl|wget|apt-get|https?:|git clone", rest)] == []


def test_the_image_says_who_runs_it_how_it_ends_and_how_it_is() -> None:
    assert len(STAGES) >= 2
    assert len({stage.base for stage in STAGES}) == 1
    assert "slim" in FINAL.base
    (user,) = dockerfile.values(FINAL, "USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    last = [word for word, _ in FINAL.steps]
    assert last.index("USER") > max(index for index, word in enumerate(last) if word in {"RUN", "COPY"})
    assert dockerfile.values(FINAL, "STOPSIGNAL") == ["SIGTERM"]
    assert dockerfile.values(FINAL, "VOLUME") == [DATA]
    assert dockerfile.values(FINAL, "EXPOSE") == ["8080"]
    assert dockerfile.labels(FINAL)["org.opencontainers.image.licenses"] == "Apache-2.0"
    check = dockerfile.health(FINAL)
    assert check.command == ["lazaretto", "health"]
    assert check.timeout < check.interval
    variables: dict[str, str] = {"PATH": ""}
    for rest in dockerfile.values(FINAL, "ENV"):
        variables = dockerfile.environment(rest, variables)
    known = {f"LAZARETTO_{name.upper()}" for name in Settings.model_fields}
    assert {name for name in variables if name.startswith("LAZARETTO_")} <= known


def test_nothing_but_what_is_copied_is_sent_to_the_engine() -> None:
    for path in ("service/app.py", "requirements.lock", "migrations/env.py"):
        assert dockerfile.sent(path, IGNORE)
    unsent = [
        ".git/config",
        ".venv/bin/python",
        "lazaretto-data/secret.key",
        "deploy/secrets/lazaretto.toml",
        "tests/pg.py",
    ]
    unsent += ["service/__pycache__/app.pyc", "service/old.db", "state.db", "docs/api.md"]
    assert [path for path in unsent if dockerfile.sent(path, IGNORE)] == []


def test_a_linter_of_dockerfiles_finds_nothing() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    result = subprocess.run([linter, "--no-color", "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout == ""

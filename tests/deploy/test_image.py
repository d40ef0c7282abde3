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
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from service.clock import SystemClock
from service.settings import Settings
from tests.deploy import dockerfile, wheelhouse
from tests.deploy.cleanroot import PATH, Box, first_process, make_root

ROOT = dockerfile.ROOT
TEXT = (ROOT / "Dockerfile").read_text()
IGNORE = (ROOT / ".dockerignore").read_text()
STAGES = dockerfile.read_stages(TEXT)
FINAL = dockerfile.whole(STAGES, STAGES[-1].name)
SLIM = dockerfile.whole(STAGES, "service")
STEP_SECONDS = 900.0
PATIENCE_SECONDS = 180.0
REPORT_SECONDS = 400.0
DATA = "/var/lib/lazaretto"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
WANTED = [*PROJECT["dependencies"], *EXTRAS["postgres"], "setuptools"]
SITES = {"lazaretto": wheelhouse.needed(WANTED) - {"setuptools"}, "reports": wheelhouse.needed(EXTRAS["reports"])}
"""The environments of the image, and what is in each."""


@dataclass(frozen=True)
class Image:
    """What the steps have made: a root, and how to run in it."""

    box: Box
    command: list[str]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheelhouse")
    for name in {"setuptools"}.union(*SITES.values()):
        wheelhouse.pack(name, folder)
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def image(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Take every step of every stage, without a network: pip finds the locked versions in a folder."""
    if os.geteuid() != 0:
        pytest.skip("only root may make an empty root and users in it")
    roots: dict[str, Path] = {}
    boxes: dict[str, Box] = {}
    box = Box(Path())
    for stage in STAGES:
        root = roots[stage.name] = tmp_path_factory.mktemp(stage.name)
        if stage.base in boxes:
            # With its owners: the folder of the data is the user's. Steps make new files and change none, so that the
            # stages may share them.
            linking = ["cp", "--archive", "--link", f"{roots[stage.base]}/.", str(root)]
            subprocess.run(linking, check=True, timeout=STEP_SECONDS)
            box = replace(boxes[stage.base], root=root)
        else:
            make_root(root)
            box = Box(root, {"PATH": PATH}, mounts={wheels: "/wheelhouse"})
        for word, rest in stage.steps:
            box = _step(box, word, rest, roots)
        boxes[stage.name] = box
    for name in set(roots) - {STAGES[-1].name}:
        shutil.rmtree(roots[name])
    for name, packages in SITES.items():
        wheelhouse.lend_bytecode(packages, _site(box.root, name))
    command = [*json.loads(*dockerfile.values(FINAL, "ENTRYPOINT")), *json.loads(*dockerfile.values(FINAL, "CMD"))]
    return Image(replace(box, mounts={}), command)


def _site(root: Path, name: str) -> Path:
    (site,) = (root / "opt" / name).glob("lib/python*/site-packages")
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
    place = box.root / os.path.normpath(Path(box.workdir) / target).lstrip("/")
    if sources[0].startswith("--from="):
        stage, (source,) = sources[0].removeprefix("--from="), sources[1:]
        shutil.copytree(roots[stage] / source.lstrip("/"), place, symlinks=True, copy_function=os.link)
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
                # Whoever changes its user is no longer killed with its parent; and with process 1 all others end.
                for first in psutil.Process(process.pid).children():
                    first.kill()
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
def test_a_report_is_made_in_the_image_within_its_limits(image: Image, tmp_path: Path) -> None:
    assert int(image.box.environment["LAZARETTO_REPORTS_MEMORY_BYTES_MAX"]) == 1024**3
    with _running(image, tmp_path) as container:
        container.wait_until_healthy()
        words = ["keys", "create", "--name", "ada", "--scopes", "admin,operate,ingest,read", "--json"]
        made = container.box.join(container.process, ["lazaretto", *words], PATIENCE_SECONDS)
        headers = {"Authorization": f"Bearer {json.loads(made.stdout)['key']}"}
        with httpx.Client(base_url=container.url, headers=headers, timeout=PATIENCE_SECONDS) as client:
            told = _reported(client)
            assert (told["status"], told["drifted"]) == ("done", ["age"]), told
            page = client.get(f"/v1/reports/{told['report_id']}/report.html")
            assert len(page.content) > 1_000_000
            assert told["renderer"].startswith("evidently ")


def _reported(client: httpx.Client) -> dict[str, Any]:
    """Register a version whose numbers have moved, ask for a report about the last hour, and wait for it."""
    reports = {"reports": {"reference_rows": 200}}
    schema = {"features": [{"name": "age", "kind": "numeric"}], "prediction": {"kind": "class", "classes": ["a", "b"]}}
    client.post("/v1/models", json={"name": "fraud", "owner": "risk", "policy": reports}).raise_for_status()
    client.post("/v1/models/fraud/versions", json={"version": "1", "schema": schema}).raise_for_status()
    path = "/v1/models/fraud/versions/1"
    lines = "age\n" + "".join(f"{40 + i % 97 / 10}\n" for i in range(400))
    put = client.put(f"{path}/baseline", content=lines, headers={"content-type": "text/csv"})
    assert put.status_code == 200, put.text
    ages = [60 + i % 97 / 10 for i in range(200)]
    client.post(f"{path}/events", json={"columns": {"features": {"age": ages}}}).raise_for_status()
    now = datetime.fromtimestamp(SystemClock().now_us() / 1e6, UTC)
    span = {"from": (now - timedelta(hours=1)).isoformat(), "to": (now + timedelta(minutes=1)).isoformat()}
    told: dict[str, Any] = client.post(f"{path}/reports", json=span).raise_for_status().json()
    until = time.monotonic() + REPORT_SECONDS
    while told["status"] in {"queued", "running"}:
        assert time.monotonic() < until, told
        time.sleep(0.5)
        answer = client.get(f"/v1/reports/{told['report_id']}")
        if answer.status_code != 503:  # while the store is being written it may be away for a moment
            told = answer.raise_for_status().json()
    return told


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
    versions = {name: _versions(_site(image.box.root, name)) for name in SITES}
    assert versions["lazaretto"].pop("lazaretto")
    for found in versions.values():
        assert {name: version for name, version in found.items() if (name, version) not in locked} == {}
        assert not {"pip", "setuptools", "pytest", "lazaretto"} & set(found)
    assert {"fastapi", "numpy", "psycopg", "pyarrow"} <= set(versions["lazaretto"])
    # What renders is out of reach of the service, whose Arrow would import pandas if there were one; and the reverse.
    assert not {"evidently", "pandas", "scikit-learn"} & set(versions["lazaretto"])
    assert {"evidently", "pandas"} <= set(versions["reports"])
    assert not {"fastapi", "psycopg", "sqlalchemy"} & set(versions["reports"])
    assert not list(_site(image.box.root, "lazaretto").rglob("tests/deploy"))


def _versions(site: Path) -> dict[str, str]:
    parts = [path.name.removesuffix(".dist-info").rsplit("-", 1) for path in site.glob("*.dist-info")]
    return {name.replace("_", "-").replace(".", "-").lower(): version for name, version in parts}


def test_the_dockerfile_asks_for_nothing_but_locked_packages() -> None:
    runs = [rest for stage in STAGES for rest in dockerfile.values(stage, "RUN")]
    installs = [part for rest in runs for part in rest.split("&&") if re.search(r"pip\b.* install", part)]
    assert len(installs) == 3
    assert [part for part in installs if "--constraint requirements.lock" not in part] == []
    assert [rest for rest in runs if re.search(r"curl|wget|apt-get|https?:|git clone", rest)] == []


def test_the_image_says_who_runs_it_how_it_ends_and_how_it_is() -> None:
    assert len(STAGES) >= 2
    assert len({dockerfile.whole(STAGES, stage.name).base for stage in STAGES}) == 1
    assert "slim" in FINAL.base
    (user,) = dockerfile.values(FINAL, "USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    last = [word for word, _ in FINAL.steps]
    # What is copied later is root's all the same: COPY does not go by USER.
    assert last.index("USER") > max(index for index, word in enumerate(last) if word == "RUN")
    assert [word for word, _ in STAGES[-1].steps] == ["COPY", "ENV"], "with reports it is the same image and no more"
    assert dockerfile.values(SLIM, "ENTRYPOINT") == dockerfile.values(FINAL, "ENTRYPOINT")
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

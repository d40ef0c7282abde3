"""Every command of the deployment chapter is one that exists, with options that it has."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from service.cli import app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
CHAPTER = PAGE[PAGE.index("## Deployments") : PAGE.index("## Starting, upgrading")]
OUTSIDE = {"docker", "kubectl", "python3.11", "install", "systemctl", "systemd-sysusers", "runuser"}
"""Programs of others, whose own arguments are looked at as far as they name files of ours."""


def _commands() -> list[list[str]]:
    blocks = re.findall(r"```\n(.*?)```", CHAPTER, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    inline = re.findall(r"`((?:lazaretto|runuser|deploy/make-secrets)(?: [^`]*)?)`", CHAPTER)
    return [shlex.split(line) for line in [*lines, *inline]]


def test_there_are_commands() -> None:
    assert len(_commands()) > 20


@pytest.mark.parametrize("words", _commands(), ids=" ".join)
def test_the_program_exists(words: list[str]) -> None:
    program = words[0]
    if "/" in program and not program.startswith("/opt/lazaretto/bin/"):
        assert (ROOT / program).stat().st_mode & 0o100
    elif "/" not in program:
        assert program in OUTSIDE | {"lazaretto"}


@pytest.mark.parametrize("words", _commands(), ids=" ".join)
def test_files_of_ours_exist(words: list[str]) -> None:
    named = [part for word in words for part in word.split("=") if part.startswith("deploy/")]
    made = re.findall(r"write (\S+)\n", (ROOT / "deploy" / "make-secrets").read_text())
    there = [path for path in named if path.startswith("deploy/secrets/") and Path(path).name in made]
    assert [path for path in named if path not in there and not (ROOT / path).exists()] == []


def _below(command: Any) -> dict[str, Any]:
    return dict(getattr(command, "commands", {}))


@pytest.mark.parametrize("words", _commands(), ids=" ".join)
def test_what_lazaretto_is_asked_it_can_do(words: list[str]) -> None:
    """Follow the words after the last `lazaretto` that is the program, down to the options."""
    here: Any = typer.main.get_command(app)
    starts = [index for index, word in enumerate(words[:-1]) if word.rpartition("/")[2] == "lazaretto"]
    rest = words[starts[-1] + 1 :] if starts else []
    if not rest or rest[0] not in _below(here):
        assert words[0] != "lazaretto"
        return  # an image, a container or a namespace of that name
    while rest and rest[0] in _below(here):
        here, rest = _below(here)[rest[0]], rest[1:]
    options = {option for parameter in here.params for option in parameter.opts}
    assert [word for word in rest if word.startswith("--") and word not in options] == []


def test_profiles_and_services_that_are_named_exist() -> None:
    compose = (ROOT / "deploy" / "compose.yaml").read_text()
    for profile in re.findall(r"--profile (\w+)", CHAPTER):
        assert f"profiles: [{profile}]" in compose
    for words in _commands():
        if words[:2] == ["docker", "compose"] and "exec" in words:
            assert f"\n  {words[words.index('exec') + 1]}:\n" in compose


def test_kubernetes_names_are_those_of_the_manifests() -> None:
    manifests = "".join(path.read_text() for path in (ROOT / "deploy" / "kubernetes").rglob("*.yaml"))
    for kind, name in re.findall(r"\b(statefulset|deployment)/([\w-]+)", CHAPTER):
        assert re.search(rf"kind: {kind}\nmetadata:\n  name: {name}\n", manifests, flags=re.IGNORECASE)
    for label in re.findall(r"`(lazaretto\.io/\w+)=true`", CHAPTER):
        assert f'{label}: "true"' in manifests
    assert "kubernetes.io/metadata.name: monitoring" in manifests

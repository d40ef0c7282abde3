"""What the demo says when it cannot go on."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

import httpx
import pytest

from service.demo import command
from service.demo.command import demo_command
from service.demo.processes import Children, DemoError, free_port
from service.demo.story import Story


def test_a_used_data_directory_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "state.db").write_text("precious")
    assert demo_command(check=True, data_dir=tmp_path) == 1
    told = capsys.readouterr()
    assert "is not empty" in told.err
    last = json.loads(told.out.splitlines()[-1])
    assert (last["ok"], last["seed"]) == (False, 0)
    assert "is not empty" in last["error"]
    assert (tmp_path / "state.db").read_text() == "precious"


def test_a_story_that_takes_too_long_is_told_with_how_far_it_came(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @asynccontextmanager
    async def nothing(*_: object) -> AsyncIterator[None]:
        yield

    async def for_ever(story: Story, *_: object) -> None:
        story.scene.chapter, story.scene.sent, story.scene.events = "benign traffic", 1_234, 56
        await asyncio.Event().wait()

    monkeypatch.setattr(command, "set_stage", nothing)
    monkeypatch.setattr(command, "_check", for_ever)
    monkeypatch.setattr(command, "CHECK_SECONDS", 0.0)
    assert demo_command(check=True, seed=3) == 1
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "at 'benign traffic': 1,234 pictures answered, 56 events counted" in last["error"]


def test_an_answer_that_does_not_come_is_told_with_the_question(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def away(*_: object) -> NoReturn:
        raise httpx.ReadTimeout("", request=httpx.Request("PUT", "http://127.0.0.1:1/v1/models/digits"))

    monkeypatch.setattr(command, "set_stage", away)
    assert demo_command(check=True) == 1
    assert "PUT /v1/models/digits: ReadTimeout" in capsys.readouterr().err


def test_without_scikit_learn_the_demo_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert demo_command(check=True) == 1
    assert "pip install 'lazaretto[demo]'" in capsys.readouterr().err


def test_a_server_that_ends_early_is_told_with_its_own_words(tmp_path: Path) -> None:
    async def run() -> None:
        children = Children(tmp_path)
        try:
            arguments = ["-c", "import sys; sys.exit('no such model')"]
            await children.start("model-server", arguments, {}, f"http://127.0.0.1:{free_port()}/")
        finally:
            await children.stop()

    with pytest.raises(DemoError, match=r"model-server ended with code 1: no such model"):
        asyncio.run(run())


def test_a_program_that_fails_is_told_with_its_own_words(tmp_path: Path) -> None:
    async def run() -> str:
        return await Children(tmp_path).run("training", ["-c", "raise SystemExit('no images')"], {})

    with pytest.raises(DemoError, match=r"training ended with code 1: no images"):
        asyncio.run(run())


def test_a_running_server_is_stopped_at_the_end(tmp_path: Path) -> None:
    port = free_port()

    async def run() -> None:
        children = Children(tmp_path)
        arguments = ["-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
        await children.start("files", arguments, {}, f"http://127.0.0.1:{port}/")
        await children.stop()
        with pytest.raises(OSError, match=r"refused|reset|Connect"):
            await asyncio.open_connection("127.0.0.1", port)

    asyncio.run(run())

"""A signal at any moment of a drill: whatever was begun is ended, and the version is not left closed."""

import signal
import sys
from types import FrameType
from typing import Any

import httpx
import pytest

from service.cli import drill as command
from service.cli.drill import Endings
from service.drill import back as back_module
from service.drill import run as run_module
from service.drill.line import DrillFailed
from service.drill.run import Drill, Target
from tests.service.drill.test_drill_run import Service

TARGET = Target(model="m", version="1", through="/infer", timeout_seconds=5.0)
LOOKED_AT = {run_module.__file__, command.__file__}
BYTECODES_MAX = 20_000


class Interrupter:
    """Sends a signal before the n-th bytecode that the drill or the handling of its signals executes."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.sent = False

    def trace(self, frame: FrameType, event: str, _arg: Any) -> Any:
        if frame.f_code.co_filename not in LOOKED_AT or frame.f_code.co_name in {"_take", "_end_early"}:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode" and not self.sent:
            self.left -= 1
            if self.left <= 0:
                self.sent = True
                signal.raise_signal(signal.SIGTERM)
        return self.trace


def interrupted(number: int) -> tuple[Service, str, bool]:
    """Return the service after a drill that was interrupted, how it ended, and whether the signal was sent."""
    service, interrupter = Service(refuses=403), Interrupter(number)
    transport, ended = httpx.MockTransport(service.answer), "whole"
    with httpx.Client(transport=transport, base_url="http://lazaretto") as api, Endings() as endings:
        one = Drill(api, api, None, endings.held, endings.let)
        before = sys.gettrace()
        sys.settrace(interrupter.trace)
        try:
            one.run(TARGET)
        except DrillFailed as failure:
            ended = str(failure)
        finally:
            sys.settrace(before)
    return service, ended, interrupter.sent


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(back_module, "SETTLE_SECONDS", -1.9)
    monkeypatch.setattr(back_module, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(run_module, "POLL_SECONDS", 0.0)


def test_no_moment_of_a_drill_leaves_the_version_closed(capsys: pytest.CaptureFixture[str]) -> None:
    number, early, late = 1, 0, 0
    while True:
        service, ended, sent = interrupted(number)
        if not sent:
            break
        phases = [note["phase"] for note in service.noted]
        assert service.state == "active", f"closed after a signal at bytecode {number}: {ended}"
        assert phases in ([], ["begin", "end"]), f"{phases} after a signal at bytecode {number}"
        if ended.startswith("ended early by SIGTERM"):
            early += 1
        else:
            assert ended == "whole"
            late += 1
        number += 7 if number > 40 else 1  # a prime: no loop hides the same bytecode every time
        assert number < BYTECODES_MAX
    assert early > 50
    assert late > 20, "while the version is brought back, the drill goes on to its end"
    assert "is being brought back first" in capsys.readouterr().err


def test_a_signal_that_came_while_the_beginning_was_noted_ends_the_drill_before_any_bad_event() -> None:
    service = Service()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/drills") and not service.noted:
            signal.raise_signal(signal.SIGTERM)
        return service.answer(request)

    with httpx.Client(transport=httpx.MockTransport(answer), base_url="http://x") as api, Endings() as endings:
        one = Drill(api, api, None, endings.held, endings.let)
        with pytest.raises(DrillFailed, match="ended early by SIGTERM"):
            one.run(TARGET)
    assert [note["phase"] for note in service.noted] == ["begin", "end"]
    assert service.noted[-1]["steps"] == {}, "nothing was sent"

"""What ends a drill early, on a terminal that is gone."""

import io
import signal
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import NoReturn

import pytest

from service.cli.drill import Endings, _tell
from service.drill.line import DrillFailed


class HungUp(io.RawIOBase):
    """A terminal that is gone."""

    def writable(self) -> bool:
        return True

    def write(self, _: object) -> NoReturn:
        raise OSError(5, "Input/output error")


@contextmanager
def hung_up() -> Iterator[None]:
    """Take the terminal away; within a test, because pytest puts its own in place between fixtures and test."""
    gone = [io.TextIOWrapper(io.BufferedWriter(HungUp())) for _ in range(2)]
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with redirect_stdout(gone[0]), redirect_stderr(gone[1]):
            yield
    finally:
        signal.signal(signal.SIGHUP, before)
        for stream in gone:
            with suppress(OSError):
                stream.close()


def test_the_way_back_goes_on_where_the_terminal_is_gone() -> None:
    whole = False
    with hung_up(), Endings() as endings:
        with pytest.raises(DrillFailed, match="ended early by SIGHUP"):
            signal.raise_signal(signal.SIGHUP)
        with endings.held():
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGTERM)
            whole = True
    assert whole


def test_a_step_that_cannot_be_told_is_no_failure() -> None:
    with hung_up():
        _tell("suspect", 1.0)

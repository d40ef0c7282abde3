"""Work that is cut into steps, so that others may have a turn in between."""

import time
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")
Steps = Generator[None, None, T]
"""Work in steps, with a result at the end."""


def run(steps: Steps[T]) -> T:
    """Take all steps at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def take_steps(steps: Steps[T], seconds: float) -> T | None:
    """Take steps until so much time has passed, one at least; return the result if they came to their end."""
    until = time.perf_counter() + seconds
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        if time.perf_counter() >= until:
            return None

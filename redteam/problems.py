"""Why a run cannot begin or go on, with every bad place."""

from collections.abc import Sequence
from typing import NamedTuple


class Problem(NamedTuple):
    """Where something is wrong, and what."""

    at: str
    reason: str


class Stopped(Exception):
    """The run cannot go on; the text says why."""


class Refused(Stopped):
    """What was asked for is not done."""

    def __init__(self, text: str, problems: Sequence[Problem] = ()) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join([text, *(f"  {one.at}: {one.reason}" for one in problems)]))

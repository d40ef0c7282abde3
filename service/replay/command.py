"""``lazaretto replay``."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from service.replay.engine import ReplayOptions, replay_file
from service.replay.policies import Given, check_pair, default_policy, read_policy, with_tick
from service.replay.progress import shown
from service.replay.render import render_json, render_text
from service.replay.segments import division_of
from service.replay.sources import ReplayError
from service.replay.times import SECOND_US, tick_us_of

BAD_INPUT = 2
"""Exit code when the input cannot be replayed. Alarms are a result, not an error: they exit 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What stands on the command line; ``None`` where nothing does."""

    file: Path
    baseline: Path
    tick_rows: int | None = None
    budget: float | None = None
    columns: str | None = None
    """Names with commas between them; a name with a comma goes in double quotes."""
    ignore: str | None = None
    time: str | None = None
    tick: str | None = None
    policy: Path | None = None
    current: Path | None = None
    calibrate: bool = True
    segments: str | None = None
    """``COLUMN`` or ``COLUMN=a,b``."""

    def check(self) -> None:
        """Refuse options that contradict each other.

        Raises
        ------
        ReplayError
            Names both.
        """
        contradictions = (
            (self.time is not None and self.tick_rows is not None, "--time and --tick-rows both say what a tick is"),
            (self.tick is not None and self.time is None, "--tick is a stretch of time: it needs --time COLUMN"),
            (self.current is not None and self.policy is None, "--current is what --policy is compared with: say both"),
            (self.budget is not None and self.policy is not None, "--budget and the budget of --policy: say one"),
            (self.segments is not None and self.policy is not None, "--segments and the segments of --policy: say one"),
        )
        for wrong, sentence in contradictions:
            if wrong:
                raise ReplayError(sentence)


def options_of(asked: Asked) -> ReplayOptions:
    """Read the options of a replay.

    Raises
    ------
    ReplayError
        When they contradict each other, or one is out of range.
    """
    asked.check()
    defaults = ReplayOptions()
    budget, minimum_effect = defaults.budget if asked.budget is None else asked.budget, defaults.minimum_effect
    policies: tuple[Given, Given] | None = None
    segments = None if asked.segments is None else division_of(asked.segments)
    tick_us = SECOND_US if asked.tick is None else tick_us_of(asked.tick)
    if asked.policy is not None:
        current = default_policy() if asked.current is None else read_policy(asked.current)
        policies = current, read_policy(asked.policy)
        if asked.tick is not None:
            current, new = (with_tick(side, tick_us / SECOND_US, f"--tick {asked.tick}") for side in policies)
            policies = current, new
        if asked.time is None:
            check_pair(*policies)
        told = policies[1].policy
        budget, minimum_effect = told.ticks_per_false_alarm, told.minimum_effect
        tick_us = round(told.tick_seconds * SECOND_US)
    return ReplayOptions(
        budget=budget,
        minimum_effect=minimum_effect,
        tick_rows=1 if asked.tick_rows is None else asked.tick_rows,
        columns=_split(asked.columns, "--columns"),
        ignore=_split(asked.ignore, "--ignore") or (),
        calibrate=asked.calibrate,
        time=asked.time,
        tick_us=tick_us,
        policies=policies,
        segments=segments,
    )


def replay_command(asked: Asked, *, as_json: bool, out: TextIO, err: TextIO) -> int:
    """Replay a file and print the result; return the exit code.

    Parameters
    ----------
    asked : Asked
        The command line.
    as_json : bool
        Print one JSON object instead of text.
    out, err : TextIO
        Where the result goes, and where progress and a message about bad input go.
    """
    try:
        options = options_of(asked)
        with shown(asked.file, err, wanted=not as_json) as report:
            result = replay_file(asked.file, asked.baseline, options, report)
    except ReplayError as error:
        print(f"lazaretto replay: {error}", file=err)
        return BAD_INPUT
    print(render_json(result) if as_json else render_text(result), file=out)
    return 0


def _split(text: str | None, option: str) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = tuple(name.strip() for name in next(csv.reader([text], skipinitialspace=True), []))
    if not names or not all(names):
        raise ReplayError(f"{option} {text!r}: names with commas between them are needed")
    return names

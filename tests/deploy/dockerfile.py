"""Reads the Dockerfile as far as it is written, and refuses what it does not know."""

import json
import re
import shlex
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from string import Template

ROOT = Path(__file__).parents[2]


@dataclass
class Stage:
    """One stage: its steps in order, and what the image says of itself."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Health:
    """The health check and its times, in seconds."""

    command: list[str]
    interval: float
    timeout: float
    start_period: float
    retries: int


KNOWN = frozenset(
    {
        "ENV",
        "WORKDIR",
        "COPY",
        "RUN",
        "LABEL",
        "USER",
        "VOLUME",
        "EXPOSE",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
    }
)


def read_stages(text: str) -> list[Stage]:
    """Return the stages; build arguments have their defaults."""
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for word, rest in _instructions(text):
        if word == "ARG":
            name, _, value = rest.partition("=")
            arguments[name] = value
        elif word == "FROM":
            base, _, name = Template(rest).substitute(arguments).partition(" AS ")
            stages.append(Stage(name or "final", base))
        else:
            assert word in KNOWN, f"the Dockerfile has {word}, which these tests do not know"
            stages[-1].steps.append((word, rest))
    return stages


def whole(stages: list[Stage], name: str) -> Stage:
    """Return a stage with the steps of the stages that it stands on before its own."""
    by_name = {stage.name: stage for stage in stages}
    stage = by_name[name]
    if stage.base not in by_name:
        return stage
    below = whole(stages, stage.base)
    return Stage(name, below.base, [*below.steps, *stage.steps])


def shipped() -> Stage:
    """Return what an engine makes of the Dockerfile when nobody names a stage."""
    stages = read_stages((ROOT / "Dockerfile").read_text())
    return whole(stages, stages[-1].name)


def _instructions(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = []
    for line in joined.splitlines():
        word, _, rest = line.partition(" ")
        found.append((word, rest.strip()))
    return found


def values(stage: Stage, word: str) -> list[str]:
    """Return what follows a word, each time it stands there."""
    return [rest for one, rest in stage.steps if one == word]


def environment(rest: str, before: dict[str, str]) -> dict[str, str]:
    """Return the variables after an ENV."""
    pairs = (part.partition("=") for part in shlex.split(rest))
    return before | {name: Template(value).substitute(before) for name, _, value in pairs}


def labels(stage: Stage) -> dict[str, str]:
    """Return the labels of the image."""
    return dict(part.split("=", 1) for rest in values(stage, "LABEL") for part in shlex.split(rest))


def health(stage: Stage) -> Health:
    """Return the one health check."""
    (rest,) = values(stage, "HEALTHCHECK")
    flags, _, command = rest.partition(" CMD ")
    told = dict(re.findall(r"--([a-z-]+)=(\d+)s?(?:\s|$)", flags))
    assert set(told) == {"interval", "timeout", "start-period", "retries"}, flags
    return Health(
        json.loads(command),
        float(told["interval"]),
        float(told["timeout"]),
        float(told["start-period"]),
        int(told["retries"]),
    )


def sent(path: str, ignore: str) -> bool:
    """Return whether a path of the build context is sent to the engine; the last line that fits decides."""
    kept = True
    parts = path.split("/")
    above = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    for line in ignore.splitlines():
        pattern = line.strip().removeprefix("!")
        if not pattern or pattern.startswith("#"):
            continue
        if pattern.startswith("**/"):
            fits = any(fnmatch(part, pattern[3:]) for part in parts)
        else:
            fits = any(fnmatch(one, pattern) for one in above)
        if fits:
            kept = line.strip().startswith("!")
    return kept

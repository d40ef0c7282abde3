"""What a run shall do: a TOML file, read strictly, every bad place named at once."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from redteam.attacks import ATTACKS
from redteam.benign import WORKLOADS
from redteam.problems import Problem, Refused
from redteam.scenarios import SCENARIOS

VICTIMS = ("digits", "mnist", "cancer-logistic", "cancer-forest")
SPLITS = ("calibration", "confirmation")
FORMAT = 2
"""Of what a run keeps; another one is not continued."""
QUERIES_MAX = 10_000
NEAREST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpVictim:
    """A model behind an endpoint of the user's own, and how it is talked to."""

    url: str
    data: str
    """An ``.npz`` file with ``x`` (n, ...) and ``y`` (n,): inputs as the model takes them, and their classes."""
    low: float
    high: float
    budget: float
    budget_linf: float
    grain: float
    name: str = "http"
    inputs_at: str = "instances"
    """Where in the request the list of inputs stands, with dots between."""
    answers_at: str = "predictions"
    """Where in the answer the list of class probabilities stands, with dots between; empty: the answer is the list."""
    token_env: str = ""
    """Environment variable with a bearer token."""
    salt_env: str = ""
    """Environment variable with the secret of the deployment, in hexadecimal: its model server makes fingerprints."""
    timeout_seconds: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which attacks and benign workloads go to which victims, and how far."""

    victims: tuple[str, ...]
    attacks: tuple[str, ...]
    benign: tuple[str, ...]
    scenarios: tuple[str, ...]
    """Attacks on the service itself; each is done once."""
    sessions: int
    """Of each attack and each workload, on each victim."""
    queries_max: int | None
    """Requests of a session at most; ``None``: as many as each usually has."""
    seconds_max: float
    """After so long no session begins, and one that runs is dropped."""
    requests_per_second: float
    """To the victim's endpoint, and to the monitor."""
    split: str
    """From which split the attacked inputs are."""
    seed: int
    data: str
    """Folder with ``mnist_test10k.npz``."""
    output: str
    """Folder of the results."""
    http: HttpVictim | None = None
    fingerprints: bool = False
    """Whether deployments of victims that are trained on the spot have a secret, and tell fingerprints of inputs."""

    @property
    def digest(self) -> str:
        """SHA-256 of all that results depend on: not of where they go, how fast, or how long it may take."""
        told = asdict(self) | {"format": FORMAT}
        for name in ("output", "data", "seconds_max", "requests_per_second"):
            del told[name]
        return sha256(msgspec.json.encode(told, order="deterministic")).hexdigest()

    def seeded(self, seed: int | None) -> "Plan":
        """Return the plan with another seed, when one is given."""
        return self if seed is None else replace(self, seed=seed)


class _Reader:
    """Takes typed values out of a table and collects what is wrong."""

    def __init__(self, table: Mapping[str, Any], at: str, bad: list[Problem]) -> None:
        self._left, self._at, self._bad = dict(table), at, bad

    def wrong(self, name: str, reason: str) -> None:
        self._bad.append(Problem(f"{self._at}{name}", reason))

    def table(self, name: str) -> Mapping[str, Any] | None:
        """Return a table; none when it is not there."""
        found = self._left.pop(name, None)
        if found is None or isinstance(found, dict):
            return found
        self.wrong(name, "must be a table")
        return None

    def names(self, name: str, known: Iterable[str], what: str) -> tuple[str, ...]:
        """Return a list of known names, each once; ``all`` means every one."""
        listed, every = self._left.pop(name, []), list(known)
        if listed == "all":
            return tuple(every)
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            self.wrong(name, "must be a list of names, or 'all'")
            return ()
        for i, one in enumerate(listed):
            if one in listed[:i]:
                self.wrong(f"{name}[{i}]", f"'{one[:60]}' stands twice")
            elif one not in every:
                near = get_close_matches(one, every, NEAREST, 0.5)
                nearest = f"nearest: {', '.join(near)}; " if near else ""
                self.wrong(f"{name}[{i}]", f"unknown {what} '{one[:60]}'; {nearest}known: {', '.join(every)}")
        return tuple(listed)

    def number(self, name: str, low: float, high: float, default: float | None) -> float:
        """Return a number within bounds; without a default it must be there."""
        found = self._left.pop(name, default)
        if isinstance(found, bool) or not isinstance(found, int | float) or not low <= found <= high:
            self.wrong(name, f"must be a number from {low:g} to {high:g}")
            return low
        return float(found)

    def whole(self, name: str, low: int, high: int, default: int) -> int:
        """Return a whole number within bounds."""
        found = self._left.pop(name, default)
        if isinstance(found, bool) or not isinstance(found, int) or not low <= found <= high:
            self.wrong(name, f"must be a whole number from {low} to {high}")
            return low
        return found

    def truth(self, name: str) -> bool:
        """Return whether something is so; it is not where nothing is said."""
        found = self._left.pop(name, False)
        if not isinstance(found, bool):
            self.wrong(name, "must be true or false")
            return False
        return found

    def text(self, name: str, default: str | None) -> str:
        """Return a text; without a default it must be there, and not be empty."""
        found = self._left.pop(name, default)
        if not isinstance(found, str) or (default is None and not found):
            self.wrong(name, "must be a text")
            return ""
        return found

    def end(self, known: Iterable[str]) -> None:
        """Name what is left over."""
        for name in self._left:
            near = get_close_matches(name, list(known), 1)
            self.wrong(name, "is not known" + (f"; did you mean '{near[0]}'?" if near else ""))


def read_plan(content: str) -> Plan:
    """Read a plan.

    Raises
    ------
    Refused
        With every bad place: unknown attacks with the nearest names and the whole list.
    """
    try:
        held = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise Refused("the plan is not TOML", [Problem("plan", str(error))]) from None
    bad: list[Problem] = []
    plan = _plan(_Reader(held, "", bad), bad)
    if bad:
        raise Refused(f"the plan has {len(bad)} bad place(s)", bad)
    return plan


def load_plan(path: Path) -> Plan:
    """Read a plan from a file; raises as ``read_plan``, and when there is no such file."""
    try:
        return read_plan(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"cannot read the plan {path}: {error}") from None


def _plan(reader: _Reader, bad: list[Problem]) -> Plan:
    http = _http(reader.table("victim"), bad)
    plan = Plan(
        victims=reader.names("victims", VICTIMS, "victim"),
        attacks=reader.names("attacks", ATTACKS, "attack"),
        benign=reader.names("benign", WORKLOADS, "benign workload"),
        scenarios=reader.names("scenarios", SCENARIOS, "scenario"),
        sessions=reader.whole("sessions", 1, 10_000, 5),
        queries_max=reader.whole("queries_max", 0, QUERIES_MAX, 0) or None,
        seconds_max=reader.number("seconds_max", 1, 7 * 86_400, 3_600),
        requests_per_second=reader.number("requests_per_second", 0.1, 5_000, 2_000),
        split=reader.text("split", "confirmation"),
        seed=reader.whole("seed", 0, 2**31, 0),
        data=reader.text("data", ""),
        output=reader.text("output", "redteam-results"),
        http=http,
        fingerprints=reader.truth("fingerprints"),
    )
    reader.end(Plan.__dataclass_fields__)
    if plan.split not in SPLITS:
        reader.wrong("split", f"must be one of: {', '.join(SPLITS)}")
    sessions = bool(plan.attacks or plan.benign)
    if sessions and not plan.victims and http is None and not bad:
        reader.wrong("victims", f"must name a victim ({', '.join(VICTIMS)}), or there must be a table [victim.http]")
    if not sessions and not plan.scenarios and not bad:
        reader.wrong("attacks", "must name an attack, or 'benign' a workload, or 'scenarios' one: nothing to do")
    if "mnist" in plan.victims and not plan.data:
        reader.wrong("data", "must be the folder that holds mnist_test10k.npz")
    return plan


def _http(table: Mapping[str, Any] | None, bad: list[Problem]) -> HttpVictim | None:
    if table is None:
        return None
    outer = _Reader(table, "victim.", bad)
    inner = outer.table("http")
    outer.end(["http"])
    if inner is None:
        return None
    reader = _Reader(inner, "victim.http.", bad)
    wide = 1e12
    victim = HttpVictim(
        url=reader.text("url", None),
        data=reader.text("data", None),
        low=reader.number("low", -wide, wide, None),
        high=reader.number("high", -wide, wide, None),
        budget=reader.number("budget", 0, wide, None),
        budget_linf=reader.number("budget_linf", 0, wide, None),
        grain=reader.number("grain", 0, wide, None),
        name=reader.text("name", "http"),
        inputs_at=reader.text("inputs_at", "instances"),
        answers_at=reader.text("answers_at", "predictions"),
        token_env=reader.text("token_env", ""),
        salt_env=reader.text("salt_env", ""),
        timeout_seconds=reader.number("timeout_seconds", 0.1, 600, 10.0),
    )
    reader.end(HttpVictim.__dataclass_fields__)
    if victim.low >= victim.high and not bad:
        reader.wrong("high", "must be above 'low'")
    if victim.name in VICTIMS:
        reader.wrong("name", f"'{victim.name}' is the name of another victim")
    return victim

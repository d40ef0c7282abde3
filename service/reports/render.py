"""The program that turns rows into a report by Evidently. It is run by itself, and knows nothing of the service.

It reads one JSON object from its standard input and writes one to its standard output; what is wrong is the last line
of its errors. Before it loads anything it gives up the network and the right to start programs: neither is needed, and
the rows came from outside. Only the standard library, Evidently and what that brings are imported, so that it may run
on another interpreter than the service.
"""

import ctypes
import json
import math
import os
import sys
import warnings
from typing import Any

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
FORBIDDEN = frozenset(
    {
        *("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo"),
        *("socket.gethostbyname", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork"),
        *("os.forkpty", "pty.spawn"),
    }
)
FALSE_SHARE = 0.01
"""Of reports about rows that have not changed, at most so many name some column."""
SUMMARY_COLUMNS_MAX = 60
"""With more columns only drift is shown: nobody would read the rest."""
VALUES_MIN = 5
"""A column with fewer values on one side is not compared."""
RARE_MAX = 10
"""Labels that both sides together have less often are put together: the test would take chance for news."""
RARE, MISSING, GIVEN = "(rare)", "(missing)", " (given)"
"""``GIVEN`` stands after the name of a column: whether it has a value at all."""
SAFE = str.maketrans({"<": "\u2039", ">": "\u203a", "&": "+", "\u2028": " ", "\u2029": " ", "\0": " "})
"""Names and values come from outside, and the page holds them in scripts and in labels that understand tags."""
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; font-src data:"
"""The page may run its own scripts and ask nobody for anything, wherever it is opened."""
HEAD = "<head>"


class Unfit(Exception):
    """What a person should read."""


class Side:
    """One side of the report: columns under safe names."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.rows: int = given["rows"]
        self.numeric: dict[str, list[float | str | None]] = given["numeric"]
        self.categorical: dict[str, list[str | None]] = given["categorical"]


def give_up_network() -> None:
    """Leave the network, where the kernel lets us; refuse connections and programs in any case."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.unshare(CLONE_NEWUSER | CLONE_NEWNET)  # where it fails, the hook is what there is

    def refuse(event: str, _: tuple[Any, ...]) -> None:
        if event in FORBIDDEN:
            raise PermissionError(f"'{event}' is not allowed here")

    sys.addaudithook(refuse)


def safe(text: object) -> str:
    """Return a text that is only a text, wherever it stands."""
    return str(text).translate(SAFE)


def distinct(names: list[str]) -> dict[str, str]:
    """Return a safe name for each name, all of them different."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        own, number = safe(name), 1
        while own in taken:
            number += 1
            own = f"{safe(name)} {number}"
        taken.add(own)
        found[name] = own
    return found


Columns = dict[str, tuple[list[Any], list[Any]]]


def compared(current: Side, reference: Side) -> tuple[Columns, list[str], dict[str, str]]:
    """Return the columns of both sides, the names of the numeric ones, and what cannot be compared and why."""
    columns: Columns = {}
    numbers: list[str] = []
    left_out: dict[str, str] = {}
    for name in current.numeric:
        if name not in reference.numeric:
            continue
        sides = current.numeric[name], reference.numeric[name]
        if any(not isinstance(value, float | int) for side in sides for value in side):
            columns[name + GIVEN] = (_given(sides[0]), _given(sides[1]))
        known = [[v if isinstance(v, float | int) else None for v in side] for side in sides]
        if min(sum(v is not None for v in side) for side in known) < VALUES_MIN:
            left_out[name] = f"one side has fewer than {VALUES_MIN} numbers"
            continue
        columns[name] = (known[0], known[1])
        numbers.append(name)
    for name in current.categorical:
        if name in reference.categorical:
            columns[name] = _labels(current.categorical[name], reference.categorical[name])
    return columns, numbers, left_out


def _given(values: list[Any]) -> list[str]:
    return ["given" if isinstance(v, float | int) else MISSING if v is None else safe(v) for v in values]


def _labels(current: list[str | None], reference: list[str | None]) -> tuple[list[str], list[str]]:
    counts: dict[str, int] = {}
    sides = [[MISSING if v is None else safe(v) for v in side] for side in (current, reference)]
    for value in (value for side in sides for value in side):
        counts[value] = counts.get(value, 0) + 1
    kept = {value for value, number in counts.items() if number >= RARE_MAX}
    return [v if v in kept else RARE for v in sides[0]], [v if v in kept else RARE for v in sides[1]]


def register_test() -> str:
    """Register the test of labels: one that a label without reference rows does not throw off."""
    from evidently.legacy.calculations.stattests import StatTest, register_stattest
    from evidently.legacy.core import ColumnType
    from scipy.stats import chi2_contingency

    def test(reference: Any, current: Any, kind: Any, threshold: float) -> tuple[float, bool]:  # noqa: ARG001 - the protocol
        labels = sorted({*reference.unique(), *current.unique()})
        if len(labels) < 2:  # noqa: PLR2004 - a single label cannot change
            return 1.0, False
        table = [[int((side == label).sum()) for label in labels] for side in (reference, current)]
        p_value = float(chi2_contingency(table, correction=False).pvalue)
        return p_value, p_value < threshold

    own = StatTest(
        name="homogeneity",
        display_name="chi-square p_value",
        allowed_feature_types=[ColumnType.Categorical],
        default_threshold=FALSE_SHARE,
    )
    register_stattest(own, default_impl=test)
    return str(own.name)


def render(job: dict[str, Any]) -> dict[str, Any]:
    """Return the page, Evidently's own JSON, and what is said of each column."""
    try:
        import evidently
        import pandas as pd
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset, DataSummaryPreset
    except ImportError as error:
        raise Unfit(f"Evidently cannot be loaded: {error}; pip install 'lazaretto[reports]'") from None
    columns, numbers, left_out = compared(Side(job["current"]), Side(job["reference"]))
    if not columns:
        raise Unfit("there is no column that both sides have")
    names = distinct(list(columns))
    is_number = {name: name in set(numbers) for name in columns}
    definition = DataDefinition(
        numerical_columns=[names[name] for name in columns if is_number[name]],
        categorical_columns=[names[name] for name in columns if not is_number[name]],
    )

    def dataset(side: int) -> Any:
        content = {
            names[name]: pd.Series(values[side], dtype="float64" if is_number[name] else "object")
            for name, values in columns.items()
        }
        return Dataset.from_pandas(pd.DataFrame(content), data_definition=definition)

    threshold = FALSE_SHARE / len(columns)
    drift = DataDriftPreset(
        num_method="ks", num_threshold=threshold, cat_method=register_test(), cat_threshold=threshold
    )
    presets = [drift] + ([DataSummaryPreset()] if len(columns) <= SUMMARY_COLUMNS_MAX else [])
    run = Report(presets).run(dataset(0), dataset(1))
    told = plain(json.loads(run.json()))
    return {
        "html": with_policy(run.get_html_str(as_iframe=False), safe(job["title"])),
        "json": told,
        "columns": drifts_of(told, {own: name for name, own in names.items()}, set(numbers)),
        "left_out": left_out,
        "renderer": f"evidently {evidently.__version__}",
    }


def drifts_of(told: dict[str, Any], names: dict[str, str], numbers: set[str]) -> list[dict[str, Any]]:
    """Return what is said of each column, under its own name."""
    found = []
    for one in told["metrics"]:
        config, score = one["config"], one["value"]
        if str(config.get("type", "")).endswith(":ValueDrift"):
            name = names[config["column"]]
            found.append(
                {
                    "name": name,
                    "kind": "numeric" if name in numbers else "categorical",
                    "drifted": score is not None and bool(score < config["threshold"]),
                    "method": config["method"],
                    "score": score,
                    "threshold": config["threshold"],
                }
            )
    return found


def plain(told: Any) -> Any:
    """Return a value as JSON knows it: a number that is none becomes null."""
    if isinstance(told, dict):
        return {name: plain(value) for name, value in told.items()}
    if isinstance(told, list):
        return [plain(value) for value in told]
    return None if isinstance(told, float) and not math.isfinite(told) else told


def with_policy(page: str, title: str) -> str:
    """Return the page with a policy of its own, so that it is as harmless in a file as in its frame."""
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    head, found, rest = page.partition(HEAD)
    if not found:
        raise Unfit("the page has no head")
    return f"{head}{HEAD}{policy}<title>{title}</title>{rest}"


def main() -> int:
    """Render; return the exit code."""
    give_up_network()
    warnings.simplefilter("ignore")
    # Whatever a library prints goes to the errors; the result has the output for itself.
    output = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        result = render(json.load(sys.stdin))
    except Unfit as error:
        print(error, file=sys.stderr)  # noqa: T201 - to the process that asked
        return 1
    with os.fdopen(output, "w", encoding="utf-8") as file:
        json.dump(result, file, allow_nan=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())

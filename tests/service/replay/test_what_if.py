"""Two policies over the same rows."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from detectors.baseline import Baseline, compile_baseline
from detectors.binning import count
from detectors.columns import ColumnKind, ColumnSpec
from detectors.evidence import EvidenceEngine, Together
from service.domain.policy import Policy, Segments
from service.replay.command import Asked, options_of, replay_command
from service.replay.deeds import Deed
from service.replay.desk import Desk
from service.replay.policies import Given, read_policy
from service.replay.sources import ReplayError
from service.replay.ticks import Cutting, Ticks
from service.replay.what_if import _Follower, follow

CHANGE, END = 500, 1000


def write(path: Path, seed: int, rows: int, change: tuple[int, int] = (0, 0)) -> Path:
    rng = np.random.default_rng(seed)
    moved = (np.arange(rows) >= change[0]) & (np.arange(rows) < change[1])
    parquet.write_table(pa.table({"x": rng.normal(size=rows) + 1.5 * moved, "y": rng.normal(size=rows)}), path)
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return write(tmp_path / "now.parquet", 2, 1000, (CHANGE, END)), write(tmp_path / "then.parquet", 1, 3000)


def what_if(files: tuple[Path, Path], new: str, current: str | None = None, **asked: object) -> Any:
    folder = files[0].parent
    (folder / "new.toml").write_text(new, encoding="utf-8")
    old = None
    if current is not None:
        old = folder / "current.toml"
        old.write_text(current, encoding="utf-8")
    out, err = io.StringIO(), io.StringIO()
    whole = Asked(file=files[0], baseline=files[1], policy=folder / "new.toml", current=old, **asked)  # type: ignore[arg-type] # as the test says
    assert replay_command(whole, as_json=True, out=out, err=err) == 0, err.getvalue()
    return json.loads(out.getvalue())["what_if"]


def test_the_pages_of_both_policies_stand_side_by_side(files: tuple[Path, Path]) -> None:
    found = what_if(files, '[actions]\ndata_drift = "notify"')
    assert found["current"]["policy"] == "the default policy"
    assert found["current"]["totals"] == {"record": 0, "notify": 0, "suspect": 1, "quarantine": 1, "held_back": 0}
    assert found["new"]["totals"] == {"record": 0, "notify": 1, "suspect": 0, "quarantine": 0, "held_back": 0}
    assert (found["current"]["pages"], found["new"]["pages"]) == (3, 1)
    first, second = found["decisions"]
    assert CHANGE <= first["row"] <= CHANGE + 40
    assert (first["current"]["action"], first["new"]["action"]) == ("suspect", "notify")
    assert first["row"] < second["row"] <= first["row"] + 10
    assert second["new"]["action"] == "nothing"
    assert second["columns"][0] == "x"


@pytest.mark.parametrize(
    ("policy", "actions"),
    [
        ("dry_run = true", ["held_back"]),
        ("confirmations = 1", ["quarantine"]),
        ("confirmations = 5", ["suspect", "quarantine"]),
        ('[actions]\ndata_drift = "record"', ["record"]),
        ('[actions]\ndata_drift = "suspect"', ["suspect"]),
        ("minimum_effect = 2.0", []),
        ("[blast_radius]\nfleet_minimum = 1", ["suspect", "held_back"]),
    ],
)
def test_each_policy_does_what_the_product_would(files: tuple[Path, Path], policy: str, actions: list[str]) -> None:
    decisions = what_if(files, policy)["decisions"]
    seen = [found for d in decisions if (found := d["new"]["action"]) != "nothing"]
    # Evidence that wavers about the threshold is confirmed, and held back, more than once.
    assert list(dict.fromkeys(seen)) == actions


def test_a_policy_beside_itself_makes_no_difference(files: tuple[Path, Path]) -> None:
    found = what_if(files, "confirmations = 3", "confirmations = 3")
    assert all(d["current"] == d["new"] for d in found["decisions"])
    assert found["decisions"]


def test_a_baseline_of_a_few_rows_pages_nobody(tmp_path: Path) -> None:
    files = write(tmp_path / "now.parquet", 2, 1000, (0, 1000)), write(tmp_path / "then.parquet", 1, 60)
    assert what_if(files, "confirmations = 1")["decisions"] == []


def whole(files: tuple[Path, Path], new: str) -> Any:
    (files[0].parent / "new.toml").write_text(new, encoding="utf-8")
    out = io.StringIO()
    asked = Asked(file=files[0], baseline=files[1], policy=files[0].parent / "new.toml", columns="x,y")
    assert replay_command(asked, as_json=True, out=out, err=io.StringIO()) == 0
    return json.loads(out.getvalue())


def test_what_the_new_policy_ignores_is_in_neither_the_alarms_nor_the_comparison(files: tuple[Path, Path]) -> None:
    assert {name for alarm in whole(files, "")["alarms"] for name in alarm["columns"]} == {"x"}
    found = whole(files, "columns.x.ignore = true")
    assert found["alarms"] == []
    assert found["what_if"]["new"]["pages"] == 0 < found["what_if"]["current"]["pages"]


def test_what_a_policy_says_without_effect_is_told_once(files: tuple[Path, Path]) -> None:
    said = [w for w in whole(files, "columns.xx.weight = 2.0")["warnings"] if "new.toml" in w]
    assert len(said) == 1
    assert "columns.xx: the baseline has no such column" in said[0]


def test_a_policy_that_leaves_nothing_to_watch_pages_nobody_and_says_so(files: tuple[Path, Path]) -> None:
    found = whole(files, "columns.x.ignore = true\ncolumns.y.ignore = true")
    assert (found["alarms"], found["what_if"]["new"]["pages"]) == ([], 0)
    assert any("nothing would alarm: the policy ignores every column" in warning for warning in found["warnings"])


def test_policies_with_other_ticks_cut_time_each_in_its_own_way(tmp_path: Path) -> None:
    paths = []
    for name, seed, rows, change in (("now", 2, 1200, (600, 1200)), ("then", 1, 3000, (0, 0))):
        path = write(tmp_path / f"{name}.parquet", seed, rows, change)
        whole = parquet.read_table(path).append_column("at", pa.array(np.arange(rows) * 1.0))
        parquet.write_table(whole, path)
        paths.append(path)
    found = what_if((paths[0], paths[1]), "tick_seconds = 60", "tick_seconds = 10", time="at")
    seen = {
        side: [d["row"] for d in found["decisions"] if d[side]["action"] != "nothing"] for side in ("current", "new")
    }
    assert seen["new"][0] % 60 == 59
    assert seen["current"][0] % 10 == 9
    assert found["decisions"][0]["time"].startswith("1970-01-01T00:1")


@pytest.mark.parametrize(
    ("new", "asked", "message"),
    [
        ("confirmation = 3", {}, r"new\.toml: confirmation: a policy has no such field; near: confirmations"),
        ("[actions]\ndata_drfit = 'notify'", {}, r"new\.toml: actions\.data_drfit: .* near: data_drift"),
        ("[actions]\ndata_drift = 'shout'", {}, r"new\.toml: actions\.data_drift: must be one of .*, not 'shout'"),
        ("confirmations = 0", {}, r"new\.toml: confirmations: must be at least 1, not 0"),
        ("confirmations = ", {}, r"new\.toml: no TOML: Invalid value"),
        ("tick_seconds = 3600\n[budget]\nfalse_alarms = 1e6", {}, r"budget allows 1e\+06 .* tick_seconds of 3600"),
        ("columns.x = {ignore = true, weight = 2.0}", {}, r"x\.weight is 2\.0, but .*; columns\.x\.ignore is"),
        ("shares.features = 2", {}, r"new\.toml: shares\.features there is no such group; known: feature, "),
        ("", {"budget": 50.0}, "--budget and the budget of --policy"),
        ("", {"tick": "60s"}, "--tick is a stretch of time: it needs --time"),
        ("", {"time": "x", "tick_rows": 3}, "--time and --tick-rows"),
        ("tick_seconds = 5", {"time": "x", "tick": "60s"}, r"--tick 60s is 60 s, but tick_seconds of .*new\.toml is 5"),
        ("", {"time": "x", "tick": "2h"}, "--tick 2h is 7200 s, which no policy may have"),
        ("tick_seconds = 5", {}, r"the default policy is 1 but tick_seconds of .*new\.toml is 5"),
        (
            "[budget]\nper_days = 0.04",
            {"time": "x", "tick": "1h"},
            r"--tick 1h with .*new\.toml: budget allows .*tick_seconds",
        ),
    ],
)
def test_what_contradicts_is_refused_with_both_places(
    tmp_path: Path, new: str, asked: dict[str, object], message: str
) -> None:
    (tmp_path / "new.toml").write_text(new, encoding="utf-8")
    whole = Asked(file=tmp_path, baseline=tmp_path, policy=tmp_path / "new.toml", **asked)  # type: ignore[arg-type] # as the test says
    with pytest.raises(ReplayError, match=message) as caught:
        options_of(whole)
    assert "\n" not in str(caught.value)


def test_a_current_policy_needs_a_new_one_and_files_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match="--current is what --policy is compared with"):
        options_of(Asked(file=tmp_path, baseline=tmp_path, current=tmp_path / "old.toml"))
    with pytest.raises(ReplayError, match=r"none\.toml: No such file"):
        read_policy(tmp_path / "none.toml")


def as_toml(table: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the lines of a table: plain values first, then the tables within it."""
    yield from (f"{k} = {json.dumps(v)}" for k, v in table.items() if not isinstance(v, dict) and v is not None)
    for name, inner in table.items():
        if isinstance(inner, dict):
            yield f"[{prefix}{name}]"
            yield from as_toml(inner, f"{prefix}{name}.")


def test_every_field_of_a_policy_can_stand_in_toml(tmp_path: Path) -> None:
    segments = Segments(column="segment.region", values=("eu", "us"), share=0.25)
    told = msgspec.to_builtins(msgspec.structs.replace(Policy(), fallback="2", dry_run=True, segments=segments))
    (tmp_path / "all.toml").write_text("\n".join(as_toml(told)), encoding="utf-8")
    assert read_policy(tmp_path / "all.toml").policy == msgspec.convert(told, Policy)


@pytest.fixture(scope="module")
def engine() -> EvidenceEngine:
    rng = np.random.default_rng(0)
    spec = [ColumnSpec(name=name, kind=ColumnKind.NUMERIC) for name in "xy"]
    baseline: Baseline = compile_baseline([(s, rng.normal(size=2000)) for s in spec]).baseline
    return EvidenceEngine(baseline)


def plain(engine: EvidenceEngine, ticks: Ticks, policy: Policy) -> list[Deed]:
    """Show a desk every single tick."""
    desk = Desk(policy)
    follower = _Follower(Together(engine), [desk], Cutting(), (None,))
    state = engine.start()
    for i, (number, counts) in enumerate(zip(ticks.numbers.tolist(), ticks.counts, strict=True)):
        state = engine.step(state, number, counts)
        log = engine.read(state).log_model
        follower._states = (state,)
        findings = follower._findings(desk.threshold_log) if log >= desk.threshold_log else ()
        desk.take(i + 1, (int(ticks.ends[i]) - 1, None), log, findings)
    return desk.deeds


@settings(max_examples=40, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(5, 60), st.sampled_from([0.0, 0.0, 1.0, -1.5])), min_size=2, max_size=6),
    policies=st.lists(
        st.tuples(st.sampled_from(["record", "notify", "suspect", "quarantine"]), st.integers(1, 4), st.floats(1, 1e5)),
        min_size=2,
        max_size=2,
    ),
    chunk=st.integers(1, 80),
    seed=st.integers(0, 999),
)
def test_leaping_over_what_no_desk_must_see_leaves_nothing_out(
    engine: EvidenceEngine,
    changes: list[tuple[int, float]],
    policies: list[tuple[str, int, float]],
    chunk: int,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    shift = np.repeat([by for _, by in changes], [length for length, _ in changes])
    counts = np.array([count(engine.baseline, {n: rng.normal(size=8) + s for n in "xy"}) for s in shift])
    whole = Ticks(numbers=np.arange(len(shift)), counts=counts, ends=8 * np.arange(1, len(shift) + 1))
    told = [
        msgspec.convert(
            {"actions": {"data_drift": a}, "confirmations": c, "budget": {"false_alarms": f, "per_days": 1.0}}, Policy
        )
        for a, c, f in policies
    ]
    desks = [Desk(policy) for policy in told]
    parts = (
        Ticks(numbers=whole.numbers[i : i + chunk], counts=counts[i : i + chunk], ends=whole.ends[i : i + chunk])
        for i in range(0, len(shift), chunk)
    )
    follow(Together(engine), parts, desks, Cutting())
    assert [desk.deeds for desk in desks] == [plain(engine, whole, policy) for policy in told]


def test_people_settle_when_evidence_has_fallen_and_hear_of_the_next_change(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    moved = np.zeros(4000)
    moved[1000:1040] = moved[3000:3040] = 1.5
    parquet.write_table(pa.table({"x": rng.normal(size=4000) + moved}), tmp_path / "now.parquet")
    parquet.write_table(pa.table({"x": rng.normal(size=5000)}), tmp_path / "then.parquet")
    found = what_if((tmp_path / "now.parquet", tmp_path / "then.parquet"), '[actions]\ndata_drift = "notify"')
    pages = [d["row"] for d in found["decisions"] if d["new"]["action"] == "notify"]
    assert [row // 1000 for row in pages] == [1, 3]


def test_people_read_a_table(files: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "new.toml").write_text("dry_run = true", encoding="utf-8")
    out, err = io.StringIO(), io.StringIO()
    asked = Asked(file=files[0], baseline=files[1], policy=tmp_path / "new.toml")
    assert replay_command(asked, as_json=False, out=out, err=err) == 0
    text = out.getvalue()
    assert re.search(r"^the new policy sends (as many|\d+ (more|fewer)) pages?$", text, re.MULTILINE)
    assert "held back, 2 pages" in text
    assert "current is the default policy: one false alarm in 2,592,000 ticks of 1 s" in text
    assert err.getvalue() == ""


def test_a_given_policy_says_where_it_is_from(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text("dry_run = true", encoding="utf-8")
    assert read_policy(tmp_path / "p.toml") == Given(
        name=str(tmp_path / "p.toml"), policy=Policy(dry_run=True), told=frozenset({"dry_run"})
    )

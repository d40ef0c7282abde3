"""Segments in a replay: from the command line, a policy or a saved baseline; found sooner, and named."""

import io
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv, parquet

from detectors.baseline import Baseline, add_spaces, compile_baseline
from detectors.binning import count
from detectors.columns import Codes, ColumnKind, ColumnSpec, Values
from detectors.sums import sums_of
from service.detect.reference import compile_reference
from service.detect.references import MAGICS
from service.domain.policy import Segments
from service.domain.requests import Requests
from service.replay.command import Asked, replay_command
from service.replay.counting import cut
from service.replay.divided import Divided
from service.replay.engine import ReplayOptions, replay_file
from service.replay.segments import Division, division_of
from service.replay.sources import ReplayError
from tests.detectors.samples import rows_of
from tests.service.detect.segmented import SEGMENTS, reference, regional
from tests.service.worker.world import SCHEMA

REGIONS = ("eu", "us", "jp", "br")
CHANGE = 2_000


def table(seed: int, rows: int, *, change: int | None = None) -> pa.Table:
    """Return two numbers, one of which moves in one of four regions from a row on, and when each row was."""
    rng = np.random.default_rng(seed)
    region = np.array(REGIONS)[rng.integers(0, 4, rows)]
    moved = (np.arange(rows) >= (rows if change is None else change)) & (region == "us")
    seconds = np.datetime64("2026-11-01T00:00:00") + np.arange(rows).astype("timedelta64[s]")
    numbers = {"x": rng.normal(size=rows) + moved, "y": rng.normal(size=rows)}
    return pa.table(numbers | {"region": region, "t": seconds})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("segments")
    parquet.write_table(table(2, 4_000, change=CHANGE), folder / "now.parquet")
    parquet.write_table(table(1, 6_000), folder / "then.parquet")
    return folder / "now.parquet", folder / "then.parquet"


def replayed(files: tuple[Path, Path], **asked: Any) -> Any:
    out, err = io.StringIO(), io.StringIO()
    told: dict[str, Any] = {"tick_rows": 20, "ignore": "t"} | asked
    whole = Asked(file=files[0], baseline=files[1], **told)
    assert replay_command(whole, as_json=True, out=out, err=err) == 0, err.getvalue()
    return json.loads(out.getvalue())


def refused(files: tuple[Path, Path], **asked: Any) -> str:
    err = io.StringIO()
    assert replay_command(Asked(file=files[0], baseline=files[1], **asked), as_json=True, out=io.StringIO(), err=err)
    return err.getvalue()


def test_a_change_in_one_region_is_found_sooner_with_segments_and_the_region_is_named(
    files: tuple[Path, Path],
) -> None:
    plain = replayed(files)
    assert "segments" not in plain
    found = replayed(files, segments="region")
    assert sorted(found["segments"]) == ["region=br", "region=eu", "region=jp", "region=us"]
    first = found["alarms"][0]
    assert first["columns"] == ["x"]
    assert first["causes"] == [{"column": "x", "segment": "region=us", "direction": "mean up"}]
    assert first["effects"]["x in region=us"]["wasserstein"] == pytest.approx(1.0, abs=0.35)
    delay = first["row"] - CHANGE
    assert 0 < delay < 400
    assert not plain["alarms"] or plain["alarms"][0]["row"] - CHANGE > 2 * delay
    assert abs(first["since_row"] - CHANGE) < 100


def test_values_may_be_named_and_one_without_rows_is_told(files: tuple[Path, Path]) -> None:
    found = replayed(files, segments="region=us, mars")
    assert found["segments"] == ["region=us"]
    assert (
        "region=mars: the reference has 0 rows of it; at least 100 are needed; not watched by itself"
        in found["warnings"]
    )


def test_ticks_of_time_and_text_files_give_the_same(files: tuple[Path, Path], tmp_path: Path) -> None:
    ticks = replayed(files, segments="region", ignore=None, tick_rows=None, time="t", tick="20s")
    other = tmp_path / "now.csv", tmp_path / "then.csv"
    for source, target in zip(files, other, strict=True):
        csv.write_csv(parquet.read_table(source), target)
    again = replayed(other, segments="region", ignore=None, tick_rows=None, time="t", tick="20s")
    assert ticks["alarms"] == again["alarms"]
    assert [a["row"] for a in ticks["alarms"]] == [a["row"] for a in replayed(files, segments="region")["alarms"]]
    shuffled = tmp_path / "shuffled.parquet"
    order = np.random.default_rng(0).permutation(4_000)
    parquet.write_table(parquet.read_table(files[0]).take(pa.array(order)), shuffled)
    assert (
        replayed((shuffled, files[1]), segments="region", ignore=None, tick_rows=None, time="t", tick="20s")["alarms"]
        == ticks["alarms"]
    )


def test_a_policy_declares_segments_for_its_own_side(files: tuple[Path, Path], tmp_path: Path) -> None:
    policy = tmp_path / "new.toml"
    both = "confirmations = 1\n[budget]\nfalse_alarms = 1\nper_days = 1\n"
    own = '[segments]\ncolumn = "segment.region"\nvalues = ["us", "eu"]\nshare = 0.6\n'
    policy.write_text(both + own, encoding="utf-8")
    current = tmp_path / "current.toml"
    current.write_text(both, encoding="utf-8")
    found = replayed(files, policy=policy, current=current)
    assert sorted(found["segments"]) == ["region=eu", "region=us"]
    decision = found["what_if"]["decisions"][0]
    assert decision["new"]["action"] == "quarantine"
    assert decision["current"]["action"] == "nothing"
    assert decision["columns"] == ["x in region=us"]
    assert "x (mean up) in region=us" in decision["new"]["text"]
    assert "say one" in refused(files, policy=policy, segments="region")
    policy.write_text('[segments]\ncolumn = "segment.planet"\nvalues = ["mars"]\n', encoding="utf-8")
    assert any("no column 'segment.planet'" in warning for warning in replayed(files, policy=policy)["warnings"])
    policy.write_text('[segments]\ncolumn = "region"\nvalues = ["us", "us"]\n', encoding="utf-8")
    assert "segments.values[1] is 'us', as segments.values[0] is" in refused(files, policy=policy)


def test_a_saved_baseline_brings_its_segments(tmp_path: Path) -> None:
    saved = tmp_path / "saved.lzb"
    saved.write_bytes(reference().artefact)
    frame = regional(5, 2_000)
    labels = frame.segments["region"]
    told = [labels.labels[code] if code >= 0 else None for code in labels.codes.tolist()]
    age = frame.numeric[0] + 10.0 * (np.arange(2_000) >= 1_000) * (np.array(told) == "us")
    parquet.write_table(
        pa.table({"age": age, "income": frame.numeric[1], "segment.region": told}), tmp_path / "now.parquet"
    )
    found = replayed((tmp_path / "now.parquet", saved), segments="segment.region", ignore=None)
    assert found["segments"] == [SEGMENTS.name_of(value) for value in SEGMENTS.values]
    assert found["alarms"][0]["causes"][0] == {"column": "age", "segment": "region=us", "direction": "mean up"}
    other = replayed((tmp_path / "now.parquet", saved), segments="segment.region=us,mars", ignore=None)
    assert "region=mars: the saved baseline has no reference of it; not watched by itself" in other["warnings"]
    plain = replayed((tmp_path / "now.parquet", saved), ignore=None)
    assert "segments" not in plain


@pytest.mark.parametrize(
    "more", [{}, {"follow": True}, {"requests": Requests()}], ids=["plain", "principals", "requests"]
)
@pytest.mark.parametrize("segments", [None, SEGMENTS], ids=["whole", "segments"])
@pytest.mark.parametrize("extras", [True, False], ids=["answers", "features"])
def test_a_saved_baseline_is_known_whatever_it_has_besides(
    tmp_path: Path, more: dict[str, Any], segments: Segments | None, extras: bool
) -> None:
    frame = regional(98, 1_500, extras=extras)
    saved = tmp_path / "saved.lzb"
    saved.write_bytes(compile_reference(SCHEMA, frame, segments, **more).artefact)
    now = regional(5, 200)
    parquet.write_table(pa.table({"age": now.numeric[0], "income": now.numeric[1]}), tmp_path / "now.parquet")
    assert replayed((tmp_path / "now.parquet", saved), ignore=None)["rows"] == 200


def test_probabilities_are_counted_as_they_stand_also_against_a_baseline_of_shares(tmp_path: Path) -> None:
    saved = tmp_path / "saved.lzb"
    saved.write_bytes(compile_reference(SCHEMA, regional(98, 6_000)).artefact)
    assert saved.read_bytes().startswith(MAGICS[-1])
    frame = regional(5, 2_000)
    columns = dict(zip(frame.numeric_names, frame.numeric, strict=True))
    columns |= {name: values / 2 for name, values in columns.items() if name.startswith("probabilities.")}
    parquet.write_table(pa.table(columns), tmp_path / "now.parquet")
    found = replayed((tmp_path / "now.parquet", saved), ignore=None)
    effects = found["alarms"][0]["effects"]["probabilities.fraud"]
    # Of invalid values there would be none: it looks at numbers alone.
    assert effects["wasserstein"] > 0.5


@pytest.mark.parametrize("kind", MAGICS)
def test_what_a_baseline_may_begin_with_is_taken_for_one(tmp_path: Path, kind: bytes) -> None:
    (tmp_path / "bad.lzb").write_bytes(kind + b" and nothing else")
    with pytest.raises(ReplayError, match="a saved baseline has no rows to replay"):
        replay_file(tmp_path / "bad.lzb", tmp_path / "bad.lzb", ReplayOptions())


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("planet", "no column 'planet'"),
        ("region=", "COLUMN or COLUMN=a,b is needed"),
        ("=eu", "COLUMN or COLUMN=a,b is needed"),
        ("region=eu,,us", "COLUMN or COLUMN=a,b is needed"),
        ("region=eu,eu", "'eu' stands twice"),
        ("region=mars", "no value of 'region' can be watched by itself"),
        ("region=" + ",".join(map(str, range(33))), "33 values; at most 32"),
    ],
)
def test_what_cannot_be_divided_is_refused_in_one_line(files: tuple[Path, Path], asked: str, said: str) -> None:
    message = refused(files, segments=asked)
    assert said in message
    assert message.count("\n") == 1


def test_names_with_commas_go_in_quotes() -> None:
    assert division_of('a=b,"c, d"') == Division(column="a", values=("b", "c, d"), required=True)
    with pytest.raises(ReplayError):
        division_of("")


def columns_of(rng: np.random.Generator, rows: int) -> dict[str, Values]:
    return {"x": rng.normal(size=rows), "l": Codes(("a", "b"), rng.integers(-2, 2, rows).astype(np.int32))}


def compiled(seed: int) -> Baseline:
    columns = columns_of(np.random.default_rng(seed), 300)
    kinds = {"x": ColumnKind.NUMERIC, "l": ColumnKind.CATEGORICAL}
    return compile_baseline([(ColumnSpec(name=name, kind=kinds[name]), v) for name, v in columns.items()]).baseline


def with_spaces(seed: int) -> Baseline:
    """Return a baseline of two numbers and a label, and of the three together."""
    rng = np.random.default_rng(seed)
    columns = {**columns_of(rng, 300), "y": rng.normal(size=300)}
    specs = [
        (ColumnSpec(name=name, kind=ColumnKind.CATEGORICAL if isinstance(v, Codes) else ColumnKind.NUMERIC), v)
        for name, v in columns.items()
    ]
    return add_spaces(compile_baseline(specs), specs, {}).baseline


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8), even=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_sums_stand_behind_the_bins_of_all_rows_and_before_those_of_segments(
    sizes: list[int], even: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    divided = Divided(whole=JOINT, segments=DIVIDED.segments, column="s", parts=DIVIDED.parts)
    assert divided.whole.sums == 1 + 3 + 3 + 3
    bounds = np.concatenate([[0], np.cumsum([sizes[0]] * len(sizes) if even else sizes)])
    rows = int(bounds[-1])
    values: dict[str, Values] = {**columns_of(rng, rows), "y": rng.normal(size=rows)}
    for space in divided.whole.spaces:
        values |= space.values(values)
    labels = Codes(("q", "z", "p"), rng.integers(-2, 3, rows).astype(np.int32))
    found = divided.count_ticks(values, labels, bounds)
    assert found.shape == (len(sizes), divided.total)
    plain = DIVIDED.count_ticks(values, labels, bounds)
    for tick, (start, end) in enumerate(pairwise(bounds.tolist())):
        inside = cut(values, start, end)
        own = [count(JOINT, inside), sums_of(JOINT, inside)]
        assert found[tick].tolist() == [*np.concatenate(own).tolist(), *plain[tick, DIVIDED.whole.total :].tolist()]
    for mine, theirs in zip(divided.slices[1:], DIVIDED.slices[1:], strict=True):
        assert found[:, mine].tolist() == plain[:, theirs].tolist()
    assert found[:, divided.slices[0]].sum() == rows * len(JOINT.columns)


JOINT = with_spaces(4)
DIVIDED = Divided(
    whole=compiled(1),
    segments=Segments(column="s", values=("p", "q")),
    column="s",
    parts=(compiled(2).only(["x"]), compiled(3)),
)


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8), even=st.booleans(), seed=st.integers(0, 99))
def test_ticks_are_counted_in_each_segment_as_its_rows_alone(sizes: list[int], even: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bounds = 2 + np.concatenate([[0], np.cumsum([sizes[0]] * len(sizes) if even else sizes)])
    rows = int(bounds[-1]) + 3
    values, labels = columns_of(rng, rows), Codes(("q", "z", "p"), rng.integers(-2, 3, rows).astype(np.int32))
    found = DIVIDED.count_ticks(values, labels, bounds)
    for tick, (start, end) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)):
        inside = cut(values, start, end)
        own = [inside, *(rows_of(inside, np.flatnonzero(labels.codes[start:end] == code)) for code in (2, 0))]
        expected = [count(baseline, mine) for baseline, mine in zip(DIVIDED.baselines, own, strict=True)]
        assert found[tick].tolist() == np.concatenate(expected).tolist()
    silent = DIVIDED.count_ticks(values, None, bounds)
    assert silent[:, : DIVIDED.whole.total].tolist() == found[:, : DIVIDED.whole.total].tolist()
    assert not silent[:, DIVIDED.whole.total :].any()

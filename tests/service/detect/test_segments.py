"""Segments in the fold: exact under every cut, found sooner, told by name, and never a promise that cannot be kept."""

import math
from dataclasses import replace
from unittest.mock import patch

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.binning import count
from detectors.columns import Codes, Values
from detectors.errors import BaselineError
from detectors.evidence import Together
from detectors.sums import sums_of
from service.detect import references
from service.detect.calibration import calibrate
from service.detect.columns import columns_of
from service.detect.engines import Engine
from service.detect.fold import FORMAT, Stored
from service.detect.reference import compile_reference
from service.detect.splitting import places_of, split
from service.domain.ids import VersionId
from service.domain.policy import ColumnChoice, Policy, Segments, Tuning
from service.frames import INVALID, MISSING, Coded
from service.ports import LogEntry
from tests.service.detect.segmented import POLICY, REGIONS, SEGMENTS, control_of, reference, regional, shifted, stream
from tests.service.detect.test_watch import (
    THRESHOLD,
    Disk,
    cuts_and_restarts_change_nothing,
    folded,
    mark,
    status,
)
from tests.service.worker.world import SCHEMA, SMALL_BUDGET, baseline_record, batch_entry, make_control, make_version

BY_COUNTRY = Segments(column="country", values=("DE", "FR"), share=0.3)


def segments_of(disk: Disk) -> dict[str, dict[str, object]]:
    shown = status(disk)["segments"]
    assert isinstance(shown, list)
    return {segment["segment"]: segment for segment in shown}


def with_segments(segments: Segments | None) -> Policy:
    return msgspec.structs.replace(SMALL_BUDGET, segments=segments)


def test_a_shift_in_one_segment_is_found_named_and_dated_where_all_events_together_do_not_see_it() -> None:
    entries = shifted(10, 50, 0.5, "us")
    plain = folded(control_of(SMALL_BUDGET, reference(segments=None)), entries)
    assert not any(e.above for e in plain.evaluations)
    found = folded(control_of(), entries)
    first = next(e for e in found.evaluations if e.above)
    assert first.position < 40
    assert [(f.name, f.segment, f.direction) for f in first.findings] == [("age", "region=us", "mean up")]
    assert first.findings[0].words == "age (mean up) in region=us"
    assert abs(first.findings[0].since_us - 1_795_428_010_000_000) <= 5_000_000
    psi = first.findings[0].effects["psi"]
    assert psi is not None
    assert psi > 0.1
    assert first.evidence_log >= THRESHOLD


def test_the_status_lists_every_segment_and_what_is_blamed_in_it() -> None:
    shown = segments_of(folded(control_of(), shifted(10, 50, 0.5, "us")))
    assert list(shown) == ["region=br", "region=eu", "region=jp", "region=us"]
    us = shown["region=us"]
    assert (us["share"], us["insufficient"], us["value"]) == (0.125, None, "us")
    columns = us["columns"]
    assert isinstance(columns, list)
    assert len(columns) == 5
    assert (columns[0]["name"], columns[0]["direction"]) == ("age", "mean up")
    psi = columns[0]["effects"]["psi"]
    low, high = columns[0]["intervals"]["psi"]
    assert 0.05 < low < psi < high < 1.0
    assert columns[1]["direction"] is None
    assert (columns[1]["effects"], columns[1]["intervals"]) == ({}, {})
    quiet = shown["region=eu"]["columns"]
    assert isinstance(quiet, list)
    assert all(column["since_us"] is None for column in quiet)
    events = sum(int(str(segment["events_total"])) for segment in shown.values())
    assert 0.85 * 59 * 80 < events < 0.95 * 59 * 80


def test_a_shift_of_all_events_is_blamed_on_all_events_first() -> None:
    disk = folded(control_of(), [*stream(10), *stream(5, start=10, shift=1.5)])
    assert disk.evaluations[-1].above
    assert disk.evaluations[-1].findings[0].segment is None
    assert {f.segment for f in disk.evaluations[-1].findings} > {None}


def test_the_evidence_of_the_model_is_the_mean_by_share() -> None:
    """Half for all events together, an eighth for each of the segments: as one engine for each would give it."""
    entries = stream(12, rows=30)
    disk = folded(control_of(), entries)
    own = references.from_bytes(reference().artefact)
    engine = Engine.of_all(own, POLICY.tuning)
    parts = [(segment.engine.bets, 0.125) for segment in engine.segments if segment.engine is not None]
    together = Together(engine.bets, parts)
    counts = []
    for i in range(11):
        frame = regional(i, 30)
        everything = columns_of(frame, own.whole.names, own.whole.spaces)
        mine: list[dict[str, Values]] = [{}] * 4
        for place, _, values in split(everything, places_of(frame.segments["region"], SEGMENTS.values)):
            mine[place] = values
        apart = [count(segment.baseline, mine[i]) for i, segment in enumerate(own.segments) if segment.baseline]
        counts.append(np.concatenate([count(own.whole, everything), sums_of(own.whole, everything), *apart]))
    assert own.whole.sums
    assert not any(segment.baseline.sums for segment in own.segments if segment.baseline)
    seconds = np.arange(1_795_428_000, 1_795_428_011)
    run = together.run(together.start(), seconds, np.array(counts), None)
    assert [e.evidence_log for e in disk.evaluations] == pytest.approx(run.log_model.tolist(), rel=1e-12)


def test_without_segments_nothing_is_different() -> None:
    """The same artefact, the same evidence, bit for bit; and so with segments of which none can be watched."""
    entries = shifted(5, 10, 1.0, "us")
    whole = replace(references.from_bytes(reference().artefact), column=None, segments=())
    assert reference(segments=None).artefact == references.to_bytes(whole)
    plain = folded(control_of(SMALL_BUDGET, reference(segments=None)), entries)
    for policy, compiled in (
        (SMALL_BUDGET, reference()),
        (POLICY, reference(segments=None)),
        (with_segments(Segments(column="segment.planet", values=("mars",))), reference()),
    ):
        other = folded(control_of(policy, compiled), entries)
        assert [e.evidence_log for e in other.evaluations] == [e.evidence_log for e in plain.evaluations]
        assert [e.findings for e in other.evaluations] == [e.findings for e in plain.evaluations]
        assert status(other)["columns"] == status(plain)["columns"]
    assert "segments" not in status(plain)


def test_a_segment_without_a_reference_of_its_own_says_so_and_leaves_its_share_to_the_others() -> None:
    declared = msgspec.structs.replace(SEGMENTS, values=("eu", "mars", "us"))
    disk = folded(control_of(with_segments(declared)), stream(3))
    shown = segments_of(disk)
    assert shown["region=mars"]["insufficient"] == (
        "the baseline was put before the policy declared region=mars: put it again"
    )
    assert [segment["share"] for segment in shown.values()] == [0.25, 0.0, 0.25]
    notes = status(disk)["notes"]
    assert isinstance(notes, list)
    assert [note["at"] for note in notes] == ["policy.segments.values.mars"]
    assert "watched only with all other events" in notes[0]["reason"]
    assert status(disk)["monitoring"] == "watching"


@pytest.mark.parametrize(
    ("rows", "said"), [(0, "has no rows of region=eu"), (99, "has 99 rows of region=eu; a promise")]
)
def test_too_few_rows_of_a_segment_are_insufficient(rows: int, said: str) -> None:
    frame = regional(3, 2_000)
    codes = np.full(2_000, REGIONS.index("us"), np.int32)
    codes[:rows] = REGIONS.index("eu")
    compiled = compile_reference(
        SCHEMA,
        replace(frame, segments={"region": Coded(REGIONS, codes)}),
        Segments(column="segment.region", values=("eu", "us")),
    )
    warning = next(w for w in compiled.warnings if w["code"] == "segment")
    assert said in warning["text"]
    assert warning["column"] == "segment.region"
    policy = with_segments(Segments(column="segment.region", values=("eu", "us")))
    shown = segments_of(folded(control_of(policy, compiled), stream(2)))
    assert said in str(shown["region=eu"]["insufficient"])
    assert (shown["region=eu"]["rows"], shown["region=us"]["share"]) == (rows, 0.5)


def test_many_columns_leave_room_for_the_largest_segments_only() -> None:
    frame = regional(3, 3_000)
    codes = np.repeat(np.arange(3, dtype=np.int32), [500, 1500, 1000])
    segments = Segments(column="segment.region", values=("eu", "jp", "us"))
    with patch("service.detect.reference.SEGMENT_COLUMNS_MAX", 25):
        compiled = compile_reference(SCHEMA, replace(frame, segments={"region": Coded(REGIONS, codes)}), segments)
    made = references.from_bytes(compiled.artefact).segments
    assert [own.value for own in made if own.baseline is not None] == ["jp", "us"]
    assert "10 columns leave room for 2 segments" in made[0].lacking


def test_a_feature_can_be_the_segment_and_is_no_column_of_its_own_segments() -> None:
    compiled = compile_reference(SCHEMA, regional(99, 4_000), BY_COUNTRY)
    made = references.from_bytes(compiled.artefact)
    assert "country" in made.whole.names
    for own in made.segments:
        assert own.baseline is not None
        assert "country" not in own.baseline.names
        assert not own.baseline.spaces
    shown = segments_of(folded(control_of(with_segments(BY_COUNTRY), compiled), stream(4)))
    assert [(name, segment["share"]) for name, segment in shown.items()] == [("country=DE", 0.15), ("country=FR", 0.15)]
    assert all(int(str(segment["events_total"])) > 40 for segment in shown.values())


def test_events_that_do_not_say_their_segment_count_with_all_others_only() -> None:
    silent = [batch_entry(i + 1, i, 1, replace(regional(i, 60), segments={})) for i in range(4)]
    disk = folded(control_of(), silent)
    assert [segment["ticks"] for segment in segments_of(disk).values()] == [0, 0, 0, 0]
    assert status(disk)["ticks"] == 3
    other = [
        batch_entry(i + 1, i, 1, replace(regional(i, 60), segments={"tier": regional(i, 60).segments["region"]}))
        for i in range(4)
    ]
    assert [segment["ticks"] for segment in segments_of(folded(control_of(), other)).values()] == [0, 0, 0, 0]


def test_events_that_the_joint_scores_look_at_apart_count_once() -> None:
    """In busy ticks the scores of all inputs together see a sample, which is counted by itself."""
    entries = stream(6)
    with patch("service.detect.watched.JOINT_EVENTS", 3), patch("service.detect.watched.JOINT_BLOCK", 7):
        disk = folded(control_of(), entries)
    shown = segments_of(disk)
    for code, region in enumerate(REGIONS):
        told = sum(int((regional(i, 80).segments["region"].codes == code).sum()) for i in range(5))
        assert shown[f"region={region}"]["events_total"] == told


def test_what_a_policy_says_of_columns_holds_in_segments_too() -> None:
    policy = msgspec.structs.replace(POLICY, columns={"age": ColumnChoice(ignore=True)})
    disk = folded(control_of(policy), shifted(5, 30, 2.0, "us"))
    assert not any(f.name == "age" for e in disk.evaluations for f in e.findings)


@given(
    st.lists(st.sampled_from([0, 1, 2, 3, MISSING, INVALID]), max_size=40),
    st.lists(st.sampled_from(["a", "b", "c", "x"]), min_size=1, max_size=3, unique=True),
)
def test_rows_go_to_the_segment_that_they_name(codes: list[int], values: list[str]) -> None:
    labels = ("c", "a", "unknown", "b")
    coded = Coded(labels, np.array(codes, np.int32))
    numbers = np.arange(len(codes), dtype=np.float64)
    found = {
        values[place]: (events, own["n"], own["l"])
        for place, events, own in split({"n": numbers, "l": Codes(labels, coded.codes)}, places_of(coded, values))
    }
    for value in values:
        mine = [row for row, code in enumerate(codes) if code >= 0 and labels[code] == value]
        if not mine:
            assert value not in found
            continue
        events, rows, own = found[value]
        assert isinstance(own, Codes)
        assert not isinstance(rows, Codes)
        assert (events, rows.tolist(), own.codes.tolist()) == (len(mine), mine, [codes[row] for row in mine])


# -- cuts, restarts, eras -------------------------------------------------------------------------------------------


@st.composite
def logs(draw: st.DrawFn) -> list[LogEntry]:
    """Batches at odd times, some without segments, with marks between them."""
    entries: list[LogEntry] = []
    seconds = 0.0
    for position in range(1, draw(st.integers(2, 20)) + 1):
        seconds += draw(st.sampled_from([0.0, 0.001, 0.3, 1.0, 2.5, 61.0]))
        if draw(st.integers(0, 9)) == 0:
            entries.append(mark(position, seconds))
            continue
        frame = regional(
            position,
            draw(st.sampled_from([1, 2, 40])),
            shift=draw(st.sampled_from([0.0, 3.0])),
            inside=draw(st.sampled_from([None, "us"])),
            extras=draw(st.booleans()),
        )
        if draw(st.integers(0, 4)) == 0:
            frame = replace(frame, segments={})
        entries.append(batch_entry(position, seconds, draw(st.sampled_from([1, 1, 2])), frame))
    return entries


class _Engines:
    """Engines never change: each is made once, as that costs more than all else here."""

    def __init__(self) -> None:
        self._make = Engine.of_all
        self._made: dict[tuple[str, int, Tuning], Engine] = {}

    def of_all(self, own: references.References, tuning: Tuning) -> Engine:
        key = own.whole.digest, len(own.segments), tuning
        if key not in self._made:
            self._made[key] = self._make(own, tuning)
        return self._made[key]


ENGINES = _Engines()


@settings(max_examples=20, deadline=None)
@given(logs(), st.data(), st.sampled_from([3, 2_000]))
def test_cuts_and_restarts_change_nothing(entries: list[LogEntry], data: st.DataObject, joint_events: int) -> None:
    middle = len(entries) // 2
    versions = [make_version(1, restart=data.draw(st.sampled_from([0, middle]))), make_version(2)]
    records = {
        1: [baseline_record(1, reference())],
        2: [
            baseline_record(2, reference(segments=None), name="c1"),
            baseline_record(2, reference(), from_position=middle, name="c2"),
        ],
    }
    control = make_control(versions, records, POLICY)
    with (
        patch("service.detect.watched.JOINT_EVENTS", joint_events),
        patch("service.detect.watched.JOINT_BLOCK", 7),
        patch.object(Engine, "of_all", ENGINES.of_all),
    ):
        cuts_and_restarts_change_nothing(entries, data, control)


def test_a_worker_that_forgets_everything_between_passes_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "of_all", ENGINES.of_all)
    entries = shifted(5, 30, 0.8, "us")
    whole, cut = folded(control_of(), entries), Disk(control_of())
    for start in range(0, len(entries), 6):
        cut.fold(cut.watch(), entries[start : start + 6])
    assert any(f.segment for e in whole.evaluations for f in e.findings)
    assert cut.evaluations == whole.evaluations
    assert cut.snapshots == whole.snapshots


def test_a_changed_declaration_starts_evidence_from_zero_where_the_worker_reads_it() -> None:
    entries = shifted(5, 12, 1.5, "us")
    disk = Disk(control_of(POLICY))
    disk.fold(disk.watch(), entries[:10])
    assert status(disk)["ticks"] == 9
    disk.control = control_of(with_segments(msgspec.structs.replace(SEGMENTS, share=0.9)))
    disk.fold(disk.watch(), entries[10:])
    assert status(disk)["ticks"] == 6
    assert segments_of(disk)["region=us"]["share"] == 0.225
    reordered = msgspec.structs.replace(SEGMENTS, values=tuple(reversed(SEGMENTS.values)))
    assert with_segments(reordered).tuning == POLICY.tuning


def test_a_snapshot_of_other_parts_starts_evidence_from_zero(caplog: pytest.LogCaptureFixture) -> None:
    disk = folded(control_of(), stream(5))
    stored = msgspec.msgpack.decode(disk.snapshots[VersionId(1)].blob, type=Stored)
    assert (stored.format, [name for name, _ in stored.parts]) == (
        FORMAT,
        ["region=br", "region=eu", "region=jp", "region=us"],
    )
    for parts in (
        [],
        [(name, b"\x90") for name, _ in stored.parts],
        [(name, data[:-3]) for name, data in stored.parts],
    ):
        stored.parts = parts
        bad = {v: replace(s, blob=msgspec.msgpack.encode(stored)) for v, s in disk.snapshots.items()}
        again = Disk(control_of())
        again.snapshots = bad
        again.fold(again.watch(), stream(2, start=5))
        assert status(again)["ticks"] == 1
        assert status(again)["events_total"] == 7 * 80
    assert sum("starts from zero" in message for message in caplog.messages) == 3


def test_a_segment_that_moves_all_the_time_takes_a_bounded_snapshot() -> None:
    sizes = []
    for seconds in (30, 60):
        disk = folded(control_of(), stream(seconds))
        sizes.append(len(disk.snapshots[VersionId(1)].blob))
    assert sizes[1] < 1.1 * sizes[0]


# -- references and calibration -------------------------------------------------------------------------------------


def test_an_artefact_with_segments_reads_back_and_is_the_same_for_the_same_data() -> None:
    made = references.from_bytes(reference().artefact)
    assert references.to_bytes(made) == reference().artefact
    assert reference().digest == references.digest_of(reference().artefact)
    assert reference().rows == 6_000
    assert made.of("segment.region", "eu") is not None
    assert made.of("segment.tier", "eu") is None


def test_bytes_that_are_no_artefact_are_refused() -> None:
    good = reference().artefact
    for bad in (good[:-5], good[:8], references.MAGIC + b"\x93\xa1x\x90\xc4\x00", good + b"x"):
        with pytest.raises(BaselineError):
            references.from_bytes(bad)


def test_the_calibration_tells_shares_and_what_is_missing() -> None:
    declared = msgspec.structs.replace(SEGMENTS, values=("eu", "mars"))
    found = calibrate(reference().artefact, Tuning(segments=declared), 86_400.0)
    eu, mars = found.segments
    assert (eu.segment, eu.insufficient) == ("region=eu", None)
    assert eu.share == pytest.approx(0.5)
    assert eu.exponent is not None
    assert 0 < eu.exponent <= 1
    assert 1_200 < eu.rows < 1_600
    assert (mars.share, mars.exponent, mars.rows) == (0.0, None, 0)
    assert "put it again" in str(mars.insufficient)
    assert math.fsum(column.share for column in found.columns) == pytest.approx(0.5)
    assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found

"""A reference out of the log: the rows of a stretch, all of them, in their order, and nobody's who is contained."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.detect import drafts
from service.detect.drafts import Draft, Stretch, draft_of
from service.detect.reference import compile_reference
from service.domain.errors import Unprocessable
from service.domain.ids import Micros, Position, VersionId
from service.frames import Coded, Frame, encode_frame
from service.ports import EntryKind, LogEntry, NewEntry
from tests.fakes import InMemoryLog, ManualClock
from tests.service.worker.world import SCHEMA, make_frame

ONE, OTHER = VersionId(1), VersionId(2)
ANN, BOB = "a" * 32, "b" * 32


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.start_us = self.clock.now_us()
        self.log = InMemoryLog(self.clock)

    def append(self, frame: Frame, version_id: VersionId = ONE, seconds: float = 1.0) -> None:
        """Let an entry arrive, some time after the one before."""
        self.clock.advance(seconds)
        entry = NewEntry(
            kind=EntryKind.BATCH, version_id=version_id, batch_id="b", rows=frame.rows, body=encode_frame(frame)
        )
        asyncio.run(self.log.append(entry))

    def draft(self, start: float = 0.0, end: float = 1e6, contained: frozenset[str] = frozenset()) -> Draft:
        stretch = Stretch(version_id=ONE, from_us=self.at(start), to_us=self.at(end))
        return draft_of(self.log, SCHEMA, stretch, contained)

    def at(self, seconds: float) -> Micros:
        return Micros(self.start_us + round(seconds * 1e6))


class Trimmed:
    """A log that has forgotten its first entries."""

    def __init__(self, log: InMemoryLog, up_to: Position) -> None:
        self._log, self._up_to = log, up_to

    def head(self) -> Position:
        return self._log.head()

    def read(self, after: Position, *, max_entries: int, max_bytes: int) -> Sequence[LogEntry]:
        return self._log.read(max(after, self._up_to), max_entries=max_entries, max_bytes=max_bytes)


def sent_by(frame: Frame, *principals: str) -> Frame:
    labels = tuple(dict.fromkeys(principals))
    whose = np.array([labels.index(one) for one in principals], np.int32)
    return replace(frame, principals=Coded(labels, np.resize(whose, frame.rows)))


def texts(draft: Draft) -> str:
    assert {(warning["code"], warning["column"]) for warning in draft.warnings} == {("draft", "")}
    return "; ".join(warning["text"] for warning in draft.warnings)


def test_it_has_the_rows_of_the_stretch_alone_in_their_order() -> None:
    bench = Bench()
    frames = [make_frame(seed, 5 + seed) for seed in range(6)]
    for number, frame in enumerate(frames):
        bench.append(frame)
        bench.append(make_frame(99, 7), OTHER, seconds=0.0)
        assert bench.clock.now_us() == bench.at(number + 1)
    draft = bench.draft(2, 5)  # the end is not in it
    wanted = frames[1:4]
    assert np.array_equal(draft.frame.numeric, np.concatenate([one.numeric for one in wanted], axis=1), equal_nan=True)
    assert draft.frame.timestamps_us is not None
    arrived = [bench.at(n) for n, one in zip((2, 3, 4), wanted, strict=True) for _ in range(one.rows)]
    assert draft.frame.timestamps_us.tolist() == arrived
    assert (
        texts(draft) == "made of the 21 events that the log has of 2026-11-23 10:00:02 UTC to 2026-11-23 10:00:04 UTC"
    )


@given(
    gaps=st.lists(st.integers(0, 3), min_size=1, max_size=30), ends=st.tuples(st.integers(-2, 60), st.integers(0, 40))
)
def test_no_row_is_lost_and_none_is_taken_twice(gaps: Sequence[int], ends: tuple[int, int]) -> None:
    bench, frame, arrivals = Bench(), make_frame(1, 1), []
    for gap in gaps:
        bench.append(frame, seconds=gap)
        arrivals.append((bench.clock.now_us() - bench.start_us) // 1_000_000)
    start, end = ends[0], ends[0] + ends[1]
    inside = sum(start <= at < end for at in arrivals)
    if not inside:
        with pytest.raises(Unprocessable, match="has no events of this version"):
            bench.draft(start, end)
        return
    assert bench.draft(start, end).frame.rows == inside


def test_who_is_contained_has_no_say() -> None:
    bench = Bench()
    honest, attack = make_frame(1, 40), make_frame(2, 10, shift=9.0)
    bench.append(sent_by(honest, BOB))
    bench.append(sent_by(attack, ANN))
    mixed = make_frame(3, 6)
    bench.append(sent_by(mixed, ANN, BOB))
    draft = bench.draft(contained=frozenset({ANN}))
    wanted = np.concatenate([honest.numeric, mixed.numeric[:, 1::2]], axis=1)
    assert np.array_equal(draft.frame.numeric, wanted, equal_nan=True)
    assert draft.frame.principals is not None
    assert set(np.asarray(draft.frame.principals.labels)[draft.frame.principals.codes]) == {BOB}
    assert "13 events of contained principals are left out" in texts(draft)
    with pytest.raises(Unprocessable, match="no events of this version in the stretch but 56 of contained principals"):
        bench.draft(contained=frozenset({ANN, BOB}))


def test_whoever_sent_most_of_it_is_named() -> None:
    bench = Bench()
    bench.append(sent_by(make_frame(1, 30), ANN, BOB, BOB))
    assert "principal bbbbbbbbbbbb sent 67% of them: is that what is normal?" in texts(bench.draft())


def test_what_came_in_another_shape_is_left_out_and_said() -> None:
    bench = Bench()
    bench.append(make_frame(1, 10))
    bench.append(make_frame(2, 3, extras=False))
    bench.append(make_frame(3, 10))
    draft = bench.draft()
    assert draft.frame.rows == 20
    assert "3 events that carried other columns are left out" in texts(draft)


def test_features_and_answers_that_came_apart_make_no_reference() -> None:
    bench = Bench()
    whole = make_frame(1, 20)
    country, answer = whole.categorical
    asked = replace(whole, categorical_names=("country",), categorical=(country,))
    said = replace(
        whole,
        numeric_names=(),
        numeric=whole.numeric[:0],
        categorical_names=("prediction",),
        categorical=(answer,),
        embeddings={},
    )
    for frames in ((asked, said), (said, said, asked)):
        bench = Bench()
        for frame in frames:
            bench.append(frame)
        with pytest.raises(Unprocessable, match="features or answers, not both"):
            bench.draft()


def test_it_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    for seed in range(4):
        bench.append(make_frame(seed, 10))
    monkeypatch.setattr(drafts, "ROWS_MAX", 30)
    assert bench.draft(end=3.5).frame.rows == 30
    with pytest.raises(Unprocessable, match="more than 30 events: name a shorter one"):
        bench.draft()
    monkeypatch.setattr(drafts, "ROWS_MAX", 1_000)
    monkeypatch.setattr(drafts, "BYTES_MAX", 100)
    with pytest.raises(Unprocessable, match="more than 100 bytes in the stretch"):
        bench.draft()


def test_a_stretch_that_the_log_has_lost_the_beginning_of_says_what_it_has() -> None:
    bench = Bench()
    for seed in range(8):
        bench.append(make_frame(seed, 10))
    stretch = Stretch(version_id=ONE, from_us=bench.at(0), to_us=bench.at(1e6))
    draft = draft_of(Trimmed(bench.log, Position(5)), SCHEMA, stretch, frozenset())
    assert draft.frame.rows == 30
    assert "of 2026-11-23 10:00:06 UTC to" in texts(draft)


def test_a_baseline_of_it_has_what_any_other_one_has() -> None:
    bench = Bench()
    frame = make_frame(5, 2_000)
    bench.append(frame)
    draft = bench.draft()
    drafted, put = compile_reference(SCHEMA, draft.frame), compile_reference(SCHEMA, frame)
    assert (drafted.rows, drafted.columns) == (put.rows, put.columns)

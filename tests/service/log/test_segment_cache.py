"""The page cache does not grow with the log."""

import os
from pathlib import Path

import pytest

from service.log import segments
from service.log.segments import CACHED_SEGMENTS, SegmentWriter


def test_the_page_cache_lets_go_of_old_segments_and_keeps_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go: list[int] = []

    def advised(file: int, offset: int, size: int, advice: int) -> None:
        assert (offset, size, advice) == (0, 0, os.POSIX_FADV_DONTNEED)
        let_go.append(int(Path(f"/proc/self/fd/{file}").readlink().stem))

    monkeypatch.setattr(segments, "SEGMENT_BYTES", 0)
    monkeypatch.setattr(os, "posix_fadvise", advised)
    writer = SegmentWriter(tmp_path / "segments")
    writer.open(bytes(16), [])
    for first in range(1, 6):
        writer.write(first, [b"body"])
    writer.close()
    assert let_go == [1, 2, 3, 4, 5][: 5 - 1 - CACHED_SEGMENTS]


def test_a_system_that_takes_no_advice_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise OSError

    monkeypatch.setattr(segments, "SEGMENT_BYTES", 0)
    monkeypatch.setattr(os, "posix_fadvise", refuse)
    writer = SegmentWriter(tmp_path / "segments")
    writer.open(bytes(16), [])
    assert [writer.write(first, [b"body"])[0].segment for first in range(1, 6)] == [1, 2, 3, 4, 5]
    writer.close()

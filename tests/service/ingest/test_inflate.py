"""Compressed bodies: whole, in parts, damaged and hostile."""

import dataclasses
import gzip
import io

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import BadRequest, TooLarge
from service.ingest.inflate import MEMBERS_MAX, inflate
from tests.service.ingest.support import LIMITS

ENCODINGS = ("gzip", "zstd")


def compress(encoding: str, data: bytes, *, sized: bool = True) -> bytes:
    """Compress into one member."""
    return (
        gzip.compress(data) if encoding == "gzip" else zstandard.ZstdCompressor(write_content_size=sized).compress(data)
    )


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(parts=st.lists(st.binary(max_size=300), min_size=1, max_size=4), sized=st.booleans())
def test_several_members_are_one_body(encoding: str, parts: list[bytes], *, sized: bool) -> None:
    body = b"".join(compress(encoding, part, sized=sized) for part in parts)
    assert inflate(body, encoding, LIMITS) == b"".join(parts)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(data=st.binary(max_size=300), at=st.data())
def test_cut_data_is_refused(encoding: str, data: bytes, at: st.DataObject) -> None:
    body = compress(encoding, data)
    with pytest.raises(BadRequest, match="damaged near byte"):
        inflate(body[: at.draw(st.integers(0, len(body) - 1))], encoding, LIMITS)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("tail", [b"x", b"\0" * 20, b"plain text"])
def test_rubbish_after_a_member_is_refused(encoding: str, tail: bytes) -> None:
    with pytest.raises(BadRequest):
        inflate(compress(encoding, b"data") + tail, encoding, LIMITS)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_large_data_comes_through_in_pieces(encoding: str) -> None:
    data = bytes(range(256)) * 40_000
    limits = dataclasses.replace(LIMITS, compression_ratio_max=1e6)
    assert inflate(compress(encoding, data, sized=False), encoding, limits) == data


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_countless_empty_members_are_refused(encoding: str) -> None:
    with pytest.raises(TooLarge, match=str(MEMBERS_MAX)):
        inflate(compress(encoding, b"") * (MEMBERS_MAX + 1), encoding, LIMITS)


def test_a_size_that_a_zstd_frame_only_claims_is_not_believed() -> None:
    body = bytearray(zstandard.compress(b"x" * 1000))
    body[5] += 1  # the low byte of the content size
    with pytest.raises(BadRequest):
        inflate(bytes(body), "zstd", LIMITS)


def test_a_zstd_window_over_eight_mebibytes_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    sink = io.BytesIO()
    with zstandard.ZstdCompressor(compression_params=parameters).stream_writer(sink, closefd=False) as writer:
        writer.write(b"x" * 1000)
    with pytest.raises(BadRequest):
        inflate(sink.getvalue(), "zstd", LIMITS)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_small_outputs_are_never_refused_for_their_ratio(encoding: str) -> None:
    limits = dataclasses.replace(LIMITS, compression_ratio_max=2.0)
    assert inflate(compress(encoding, b" " * 10_000), encoding, limits) == b" " * 10_000


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_limit_itself_is_allowed_and_one_more_is_not(encoding: str) -> None:
    limits = dataclasses.replace(LIMITS, decompressed_bytes_max=5_000)
    for sized in (True, False):
        assert len(inflate(compress(encoding, bytes(5_000), sized=sized), encoding, limits)) == 5_000
        with pytest.raises(TooLarge, match="decompressed_bytes_max"):
            inflate(compress(encoding, bytes(5_001), sized=sized), encoding, limits)

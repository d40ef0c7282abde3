"""Content-Encoding, undone within limits: the output is counted while it grows, never after."""

import zlib

import zstandard

from service.domain.errors import BadRequest, Place, TooLarge, UnsupportedMedia
from service.ingest.limits import Limits

SUPPORTED = ("identity", "gzip", "zstd")
MEMBERS_MAX = 1_000
"""gzip members or zstd frames of one body; each costs a start."""
RATIO_FREE_BYTES = 64 * 1024
"""Outputs up to this size are never refused for their ratio: they are harmless, and small repetitive batches exist."""
_GZIP_PIECE = 64 * 1024
_ZSTD_PIECE = 512
"""A zstd block of 4 bytes can hold 128 KiB, so a piece this small can overshoot a limit by 16 MiB at most."""
_ZSTD_WINDOW_MAX = 8 * 1024 * 1024
"""What RFC 9659 allows in HTTP."""


def inflate(body: bytes, encoding: str | None, limits: Limits) -> bytes:
    """Return the decompressed body.

    Raises
    ------
    UnsupportedMedia
        For another encoding than identity, gzip and zstd.
    BadRequest
        If the data is damaged or cut short; the detail names the byte.
    TooLarge
        Over the size or the ratio limit.
    """
    named = (encoding or "identity").strip().lower()
    if named == "identity":
        return body
    output = _Output(len(body), limits)
    if named in {"gzip", "x-gzip"}:
        return _gzip(body, output)
    if named == "zstd":
        return _zstd(body, output)
    supported = ", ".join(SUPPORTED)
    raise UnsupportedMedia(f"content encoding {named[:100]!r} is not supported; supported: {supported}")


class _Output:
    """Decompressed pieces, and the limits that they may not pass."""

    def __init__(self, compressed: int, limits: Limits) -> None:
        self.limits = limits
        bytes_max = limits.decompressed_bytes_max
        by_ratio = max(int(compressed * limits.compression_ratio_max), RATIO_FREE_BYTES)
        self.ratio_binds = by_ratio < bytes_max
        self.most = min(bytes_max, by_ratio)
        self.pieces: list[bytes] = []
        self.size = 0

    def room(self) -> int:
        """Return how much more to ask for: one byte over the limit, so that passing it shows."""
        return self.most - self.size + 1

    def check(self, size: int) -> None:
        """Raise TooLarge when ``size`` passes a limit."""
        if size <= self.most:
            return
        if self.ratio_binds:
            ratio = self.limits.compression_ratio_max
            raise TooLarge(f"the body expands more than {ratio:g} times (limit compression_ratio_max)")
        most = f"{self.limits.decompressed_bytes_max} bytes (limit {self.limits.bytes_setting})"
        raise TooLarge(f"the body expands to more than {most}")

    def add(self, piece: bytes) -> None:
        """Keep a piece."""
        self.size += len(piece)
        self.check(self.size)
        self.pieces.append(piece)


def _damaged(kind: str, at: int, reason: str) -> BadRequest:
    return BadRequest(f"the {kind} data is damaged near byte {at}: {reason}", places=[Place(f"byte {at}", reason)])


def _gzip(body: bytes, output: _Output) -> bytes:
    view, at, members = memoryview(body), 0, 0
    while at < len(body) or not members:
        members += 1
        if members > MEMBERS_MAX:
            raise TooLarge(f"the gzip data has more than {MEMBERS_MAX} members")
        at = _gzip_member(view, at, output)
    return b"".join(output.pieces)


def _gzip_member(view: memoryview, at: int, output: _Output) -> int:
    """Decompress the member that starts at a byte and return where it ends."""
    member = zlib.decompressobj(wbits=31)
    while not member.eof:
        piece: bytes | memoryview = member.unconsumed_tail or view[at : at + _GZIP_PIECE]
        if not piece:
            raise _damaged("gzip", at, "it is cut short")
        if not member.unconsumed_tail:
            at += len(piece)
        try:
            output.add(member.decompress(piece, output.room()))
        except zlib.error as error:
            raise _damaged("gzip", at, str(error)) from None
    return at - len(member.unused_data)


def _zstd(body: bytes, output: _Output) -> bytes:
    context = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_MAX)
    try:
        declared = zstandard.frame_content_size(body)
        if declared > 0:
            # The usual case: one frame that says how large it is. Several frames are refused here and read below.
            output.check(declared)
            return context.decompress(body, read_across_frames=False, allow_extra_data=False)
    except zstandard.ZstdError:
        pass  # told apart below, with the place
    return _zstd_frames(body, context, output)


def _zstd_frames(body: bytes, context: zstandard.ZstdDecompressor, output: _Output) -> bytes:
    at, frames = 0, 0
    while at < len(body) or not frames:
        frames += 1
        if frames > MEMBERS_MAX:
            raise TooLarge(f"the zstd data has more than {MEMBERS_MAX} frames")
        frame = context.decompressobj()
        while not frame.eof:
            piece = body[at : at + _ZSTD_PIECE]
            if not piece:
                raise _damaged("zstd", at, "it is cut short")
            at += len(piece)
            try:
                output.add(frame.decompress(piece))
            except zstandard.ZstdError as error:
                raise _damaged("zstd", at, str(error)) from None
        at -= len(frame.unused_data)
    return b"".join(output.pieces)

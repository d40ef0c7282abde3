"""A signed bundle of an incident's evidence: one ZIP file of a page to read, the facts as JSON, and a manifest.

The manifest names each file with its SHA-256; its bytes are signed with Ed25519. So anyone who has the public key can
tell whether any part is not what the service wrote, and which; nobody but the service can write another one.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

FORMAT = 1
MANIFEST, SIGNATURE = "manifest.json", "signature.txt"
ALGORITHM = "Ed25519"
CONTEXT = b"lazaretto evidence bundle 1\0"
"""Signed with the manifest, so that no other signature made with the same key fits."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Of every file: the same evidence gives the same bytes, but for when the bundle was made."""
FILES_MAX = 32
BYTES_MAX = 64 * 1024 * 1024
"""Of a bundle, packed or not."""
KEY_ID_DIGITS = 16
BROKEN = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
    ValueError,
    OSError,
    zlib.error,
    struct.error,
)
"""What reading a file that is no ZIP, or a broken one, may raise."""


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a bundle."""

    name: str
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is signed."""

    format: int = FORMAT
    incident_id: str
    model: str
    version: str
    made: str
    made_by: str
    software: str
    algorithm: str = ALGORITHM
    key_id: str
    public_key: str
    """Of the service that signed; compare it with one that you got elsewhere."""
    files: tuple[Named, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a bundle is what was signed."""

    manifest: Manifest | None
    problems: tuple[str, ...]
    """Each names its part."""
    known: bool
    """Whether the key is one that whoever asks knows."""

    @property
    def good(self) -> bool:
        """Return whether all of it is as it was signed, with a key that is known."""
        return self.manifest is not None and self.known and not self.problems


def public_key(seed: bytes) -> bytes:
    """Return the public key that belongs to a seed of 32 bytes."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def key_id_of(public: bytes) -> str:
    """Return what a public key is called."""
    return sha256(public).hexdigest()[:KEY_ID_DIGITS]


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a bundle is of, and who made it."""

    incident_id: str
    model: str
    version: str
    made: str
    made_by: str
    software: str


def pack(seed: bytes, about: About, files: Mapping[str, bytes]) -> bytes:
    """Return the bytes of a bundle."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = public_key(seed)
    manifest = Manifest(
        incident_id=about.incident_id,
        model=about.model,
        version=about.version,
        made=about.made,
        made_by=about.made_by,
        software=about.software,
        key_id=key_id_of(public),
        public_key=public.hex(),
        files=tuple(
            Named(name=name, bytes=len(content), sha256=sha256(content).hexdigest()) for name, content in files.items()
        ),
    )
    told = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(CONTEXT + told).hex().encode() + b"\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**files, MANIFEST: told, SIGNATURE: signature}.items():
            archive.writestr(_info(name), content)
    return buffer.getvalue()


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    return info


def verify(content: bytes, known: frozenset[bytes]) -> Verdict:
    """Tell whether a bundle is what was signed with one of some public keys, and which parts are not.

    Without any known key, the one in the bundle is taken, and ``known`` of the answer is false.
    """
    try:
        parts = _parts(content)
    except (*BROKEN, _TooMuch) as error:
        return Verdict(None, (f"the file is no bundle: {error}",), known=False)
    told = parts.pop(MANIFEST, None)
    signature = parts.pop(SIGNATURE, None)
    if told is None:
        return Verdict(None, (f"{MANIFEST} is missing",), known=False)
    try:
        manifest = msgspec.json.decode(told, type=Manifest)
    except msgspec.MsgspecError as error:
        return Verdict(None, (f"{MANIFEST} cannot be read: {error}",), known=False)
    problems: list[str] = []
    if manifest.format != FORMAT or manifest.algorithm != ALGORITHM:
        problems.append(f"{MANIFEST} is of another release: format {manifest.format}, {manifest.algorithm}")
    public = _unhex(manifest.public_key)
    is_known = public in known
    if known and not is_known:
        problems.append(f"{MANIFEST} names the key '{manifest.key_id}', which is none of the keys that are known")
    if signature is None:
        problems.append(f"{SIGNATURE} is missing")
    elif not _signed(public, signature, told):
        problems.append(f"{SIGNATURE} does not fit {MANIFEST}: one of them was changed")
    problems += _differing(manifest, parts)
    return Verdict(manifest, tuple(problems), known=is_known)


class _TooMuch(Exception):
    """More than a bundle has."""


def _parts(content: bytes) -> dict[str, bytes]:
    if len(content) > BYTES_MAX:
        raise _TooMuch(f"it has more than {BYTES_MAX} bytes")
    found: dict[str, bytes] = {}
    room = BYTES_MAX
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        if len(entries) > FILES_MAX:
            raise _TooMuch(f"it has more than {FILES_MAX} files")
        for entry in entries:
            if entry.filename in found:
                raise _TooMuch(f"'{entry.filename[:100]}' stands in it twice")
            if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise _TooMuch(f"'{entry.filename[:100]}' is packed in a way that bundles are not")
            with archive.open(entry) as file:
                found[entry.filename] = file.read(room + 1)
            room -= len(found[entry.filename])
            if room < 0:
                raise _TooMuch(f"unpacked it has more than {BYTES_MAX} bytes")
    return found


def _differing(manifest: Manifest, parts: Mapping[str, bytes]) -> list[str]:
    problems = []
    for named in manifest.files:
        there = parts.get(named.name)
        if there is None:
            problems.append(f"{named.name} is missing")
        elif sha256(there).hexdigest() != named.sha256:
            problems.append(f"{named.name} was changed: its SHA-256 is not the one in {MANIFEST}")
    known = {named.name for named in manifest.files}
    problems += [f"{name[:100]} does not belong to it" for name in parts if name not in known]
    return problems


def _signed(public: bytes, signature: bytes, told: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        given = bytes.fromhex(signature.decode("ascii").strip())
        Ed25519PublicKey.from_public_bytes(public).verify(given, CONTEXT + told)
    except (InvalidSignature, ValueError):
        return False
    return True


def _unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def lines_of(rows: Any) -> bytes:
    """Return rows as NDJSON."""
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)

"""A bundle that was changed anywhere is refused, and the part is named."""

import io
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.reports.bundle import MANIFEST, SIGNATURE, About, Verdict, key_id_of, pack, public_key, verify

SEED, OTHER = b"s" * 32, b"o" * 32
FILES = {"bundle.html": b"<p>evidence</p>", "facts.json": b'{"verdict": "attack"}', "audit.ndjson": b"{}\n{}\n"}
ABOUT = About(
    incident_id="i1", model="fraud", version="1", made="2026-11-26T12:00:00Z", made_by="ada", software="lazaretto 0"
)
KNOWN = frozenset({public_key(SEED)})
Change = Callable[[dict[str, bytes]], None]


def parts_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(parts: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def changed(change: Change) -> Verdict:
    parts = parts_of(pack(SEED, ABOUT, FILES))
    change(parts)
    return verify(zipped(parts), KNOWN)


def test_what_was_signed_is_good_also_when_packed_anew() -> None:
    content = pack(SEED, ABOUT, FILES)
    for form in (content, zipped(parts_of(content))):
        verdict = verify(form, KNOWN)
        assert verdict.good
        assert verdict.manifest is not None
        assert [one.name for one in verdict.manifest.files] == list(FILES)
        assert (verdict.manifest.incident_id, verdict.manifest.key_id) == ("i1", key_id_of(public_key(SEED)))


def test_the_same_evidence_gives_the_same_bytes() -> None:
    assert pack(SEED, ABOUT, FILES) == pack(SEED, ABOUT, FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_part_that_was_changed_is_named(name: str) -> None:
    def change(parts: dict[str, bytes]) -> None:
        parts[name] += b" "

    verdict = changed(change)
    assert not verdict.good
    assert verdict.problems == (f"{name} was changed: its SHA-256 is not the one in {MANIFEST}",)


@pytest.mark.parametrize("name", [*FILES, SIGNATURE, MANIFEST])
def test_a_part_that_is_missing_is_named(name: str) -> None:
    verdict = changed(lambda parts: parts.__delitem__(name))
    assert not verdict.good
    assert verdict.problems == (f"{name} is missing",)


def test_a_part_that_was_added_is_named() -> None:
    verdict = changed(lambda parts: parts.__setitem__("verdict.txt", b"benign"))
    assert (verdict.good, verdict.problems) == (False, ("verdict.txt does not belong to it",))


def test_a_manifest_that_was_changed_with_its_part_does_not_fit_the_signature() -> None:
    def change(parts: dict[str, bytes]) -> None:
        parts["facts.json"] = b'{"verdict": "benign"}'
        parts[MANIFEST] = parts_of(pack(OTHER, ABOUT, FILES | {"facts.json": parts["facts.json"]}))[MANIFEST].replace(
            public_key(OTHER).hex().encode(), public_key(SEED).hex().encode()
        )

    verdict = changed(change)
    assert not verdict.good
    assert verdict.problems == (f"{SIGNATURE} does not fit {MANIFEST}: one of them was changed",)


def test_a_bundle_of_another_key_is_whole_and_refused() -> None:
    verdict = verify(pack(OTHER, ABOUT, FILES), KNOWN)
    assert not verdict.good
    assert verdict.problems == (
        f"{MANIFEST} names the key '{key_id_of(public_key(OTHER))}', which is none of the keys that are known",
    )
    unknown = verify(pack(OTHER, ABOUT, FILES), frozenset())
    assert (unknown.problems, unknown.known, unknown.good) == ((), False, False)


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06", b"no zip at all", zipped({MANIFEST: b"{"}), zipped({})])
def test_what_is_no_bundle_is_refused(content: bytes) -> None:
    verdict = verify(content, KNOWN)
    assert not verdict.good
    assert len(verdict.problems) == 1


@given(st.data())
def test_no_changed_byte_passes(data: st.DataObject) -> None:
    content = bytearray(pack(SEED, ABOUT, FILES))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    verdict = verify(bytes(content), KNOWN)
    # What the archive says of a file beside its content (its time, its mode) is not evidence.
    assert not verdict.good or parts_of(bytes(content)) == parts_of(pack(SEED, ABOUT, FILES))


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, b"0" * (80 * 1024 * 1024))
    verdict = verify(buffer.getvalue(), KNOWN)
    assert verdict.problems[0].startswith("the file is no bundle: unpacked it has more than")

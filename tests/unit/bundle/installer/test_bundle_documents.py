"""The installer reads bundles as :mod:`mirror.bundle.format` does, whole or in parts, and refuses damaged ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.bundle.format.envelope import Envelope
from mirror.bundle.format.member import INDEX, STATEMENT
from mirror.bundle.format.member_header import member_header as own_header
from mirror.bundle.format.statement import Since
from mirror.bundle.installer.bundle_bytes import BundleBytes
from mirror.bundle.installer.bundle_documents import BundleDocuments, json_in, member_header
from mirror.bundle.installer.ed25519_check import public_key_in
from mirror.bundle.installer.installer_fault import InstallerFault
from mirror.oci import Digest
from tests.support.bundles import KEY, OTHER_KEY, BuiltBundle, build, public_pem, small_plugin
from tests.support.plugins import LAYER

NAME = "acme/driver:1.0"
MANIFEST, BLOBS = small_plugin()
BUILT = build({NAME: MANIFEST}, BLOBS, key_sets=[b"{}"])
LAYER_DIGEST = Digest.of(LAYER)
PUBLIC, OTHER = (public_key_in(public_pem(key).decode(), "k.pub") for key in (KEY, OTHER_KEY))


def opened(content: bytes, folder: Path, keys: dict[str, bytes] | None = None) -> BundleDocuments:
    (folder / "b.tar").write_bytes(content)
    return BundleDocuments(BundleBytes.open(str(folder / "b.tar"), []), keys or {}, 1 if keys else 0)


def split(built: BuiltBundle, folder: Path, part_bytes: int) -> list[Path]:
    """Write the parts of a bundle and their table."""
    pieces = [built.content[start : start + part_bytes] for start in range(0, len(built.content), part_bytes)]
    names = [f"b.tar.part-{number:03d}" for number, _ in enumerate(pieces, 1)]
    parts = [
        {"name": name, "size_bytes": len(piece), "sha256": Digest.of(piece).hex}
        for name, piece in zip(names, pieces, strict=True)
    ]
    for name, piece in zip(names, pieces, strict=True):
        (folder / name).write_bytes(piece)
    (folder / "b.tar.parts.json").write_text(json.dumps({"parts": parts}))
    return [folder / name for name in names]


def test_names_and_blobs_are_read(tmp_path: Path) -> None:
    bundle = opened(BUILT.content, tmp_path, {"other.pub": OTHER, "k.pub": PUBLIC})
    assert list(bundle.names) == [NAME]
    assert (bundle.stream, bundle.serial, bundle.created) == ("test", 1, "2026-11-29T08:00:00Z")
    assert bundle.blob(str(MANIFEST.digest), 10_000) == MANIFEST.content
    assert b"".join(bundle.chunks(str(LAYER_DIGEST))) == LAYER


@given(st.sampled_from(["index.json", f"blobs/sha256/{'a' * 64}", f"blobs/sha512/{'b' * 128}"]), st.integers(0, 2**50))
def test_headers_are_the_same(path: str, size_bytes: int) -> None:
    assert member_header(path, size_bytes) == own_header(path, size_bytes)


def test_a_digest_in_another_form_reads_nothing_unverified(tmp_path: Path) -> None:
    path = f"blobs/sha256/{LAYER_DIGEST.hex}"
    bundle = opened(BUILT.with_content(path, bytes(len(LAYER))), tmp_path)
    with pytest.raises(InstallerFault, match="has another digest"):
        list(bundle.chunks(f"sha256/{LAYER_DIGEST.hex}"))


def test_values_are_counted_before_they_are_parsed() -> None:
    with pytest.raises(InstallerFault, match="has more than 1500000 values"):
        json_in(b"[" + b"{}," * 800_000 + b"{}]", "the statement")


def test_a_blob_of_sha512_is_read(tmp_path: Path) -> None:
    digest = Digest.of(LAYER, "sha512")
    built = build({NAME: MANIFEST}, [*BLOBS, (digest, LAYER)])
    assert b"".join(opened(built.content, tmp_path).chunks(str(digest))) == LAYER


def test_a_damaged_layer_is_refused_with_its_place(tmp_path: Path) -> None:
    path = f"blobs/sha256/{LAYER_DIGEST.hex}"
    bundle = opened(BUILT.with_content(path, bytes(len(LAYER))), tmp_path)
    with pytest.raises(InstallerFault, match=r"damaged.*b\.tar, byte \d+"):
        list(bundle.chunks(str(LAYER_DIGEST)))


def test_a_touched_header_is_refused(tmp_path: Path) -> None:
    placed = BUILT.layout.blob(LAYER_DIGEST)
    assert placed is not None
    content = bytearray(BUILT.content)
    content[placed.start_bytes] ^= 1
    with pytest.raises(InstallerFault, match="damaged at"):
        list(opened(bytes(content), tmp_path).chunks(str(LAYER_DIGEST)))


def test_a_swapped_index_is_refused(tmp_path: Path) -> None:
    other = build({"evil/driver:1.0": MANIFEST}, BLOBS, key_sets=[b"{}"])
    index = next(placed for placed in other.layout.members if placed.member.path == INDEX)
    size_bytes = index.member.size_bytes
    content = other.content[index.content_bytes : index.content_bytes + size_bytes]
    with pytest.raises(InstallerFault, match=r"index\.json differs from the statement"):
        opened(BUILT.with_content(INDEX, content), tmp_path)


def test_a_stripped_signature_is_none(tmp_path: Path) -> None:
    bare = Envelope(BUILT.envelope.payload_type, BUILT.envelope.payload)
    content = BUILT.with_content(STATEMENT, bare.to_bytes(bare.padded_size_bytes))
    assert list(opened(content, tmp_path).names) == [NAME]
    with pytest.raises(InstallerFault, match=r"not signed with k\.pub: 0 of .* and it has 0 signatures"):
        opened(content, tmp_path, {"k.pub": PUBLIC})


def test_a_statement_is_not_read_before_its_signature_is_checked(tmp_path: Path) -> None:
    unread = Envelope(BUILT.envelope.payload_type, b"[" + BUILT.envelope.payload[1:], BUILT.envelope.signatures)
    content = BUILT.with_content(STATEMENT, unread.to_bytes(unread.padded_size_bytes))
    with pytest.raises(InstallerFault, match="not signed"):
        opened(content, tmp_path, {"k.pub": PUBLIC})
    with pytest.raises(InstallerFault, match="not JSON"):
        opened(content, tmp_path)


def with_predicate(**changes: object) -> bytes:
    """Return the bundle with another statement, as somebody with a key could make it."""
    value = json.loads(BUILT.envelope.payload)
    value["predicate"] |= changes
    content = Envelope(BUILT.envelope.payload_type, json.dumps(value).encode()).to_bytes()
    (placed,) = (each for each in BUILT.layout.documents() if each.member.path == STATEMENT)
    written = own_header(STATEMENT, len(content)) + content + bytes(-len(content) % 512)
    return BUILT.content[: placed.start_bytes] + written + BUILT.content[placed.end_bytes :]


MEMBERS = json.loads(BUILT.envelope.payload)["predicate"]["members"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"format": 2}, "later installer"),
        ({"members": [*MEMBERS, MEMBERS[-1]]}, "lists .* twice"),
        ({"members": [*MEMBERS, ["../x", 1]]}, "member"),
        ({"members": [*MEMBERS, [f"blobs/sha256/{'a' * 64}", -1]]}, "member"),
        ({"members": MEMBERS[:-1]}, "its statement gives it"),
        ({"members": MEMBERS[1:]}, "its statement gives it"),
        ({"members": None}, "no list of members"),
    ],
)
def test_another_statement_is_refused(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    assert list(opened(with_predicate(), tmp_path).names) == [NAME]
    with pytest.raises(InstallerFault, match=told):
        opened(with_predicate(**changes), tmp_path)


@pytest.mark.parametrize("content", [b"", bytes(4096), BUILT.content[:-512], BUILT.content + bytes(512), b"x" * 9999])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InstallerFault):
        opened(content, tmp_path)


@given(st.data())
def test_a_mutated_head_raises_only_faults(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    head_bytes = BUILT.layout.blobs()[0].start_bytes
    content = bytearray(BUILT.content)
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, head_bytes), st.integers(0, 255)), min_size=1)):
        content[place] = value
    try:
        opened(bytes(content), tmp_path_factory.getbasetemp())
    except InstallerFault:
        return


def test_a_delta_says_that_it_is_one(tmp_path: Path) -> None:
    built = build({NAME: MANIFEST}, BLOBS, since=Since(serial=1), left_out=[LAYER_DIGEST])
    with pytest.raises(InstallerFault, match=r"delta.*fix: use a full bundle"):
        opened(built.content, tmp_path).blob_size_bytes(str(LAYER_DIGEST))


@pytest.mark.parametrize("named", ["b.tar", "b.tar.parts.json", "b.tar.part-002"])
def test_parts_are_read_from_any_folder(tmp_path: Path, named: str) -> None:
    parts = split(BUILT, tmp_path, 1000)
    (tmp_path / "other").mkdir()
    parts[2].rename(tmp_path / "other" / parts[2].name)
    source = BundleBytes.open(str(tmp_path / named), [str(tmp_path / "other")])
    assert source.read(0, source.size_bytes) == BUILT.content
    assert list(BundleDocuments(source, {}, 0).names) == [NAME]


def test_a_missing_part_is_named_when_it_is_needed(tmp_path: Path) -> None:
    parts = split(BUILT, tmp_path, len(BUILT.content) // 2)
    parts[1].unlink()
    source = BundleBytes.open(str(tmp_path / "b.tar"), [])
    assert source.read(0, 10) == BUILT.content[:10]
    with pytest.raises(InstallerFault, match=r"part 2 of \d is missing: b\.tar\.part-002; fix: .*--parts"):
        source.read(0, source.size_bytes)


def test_a_part_of_another_size_is_named(tmp_path: Path) -> None:
    parts = split(BUILT, tmp_path, 4096)
    parts[0].write_bytes(b"short")
    with pytest.raises(InstallerFault, match=r"part-001 has 5 bytes, and should have 4096"):
        BundleBytes.open(str(tmp_path / "b.tar"), [])


@pytest.mark.parametrize(
    "table", ["", "[]", "{}", '{"parts": []}', '{"parts": [{"name": "../x", "size_bytes": 1}]}', "[" * 9999]
)
def test_a_wrong_table_is_refused(tmp_path: Path, table: str) -> None:
    (tmp_path / "b.tar.parts.json").write_text(table)
    with pytest.raises(InstallerFault, match="not a table"):
        BundleBytes.open(str(tmp_path / "b.tar"), [])


def test_nothing_there_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(InstallerFault, match="does not exist") as caught:
        BundleBytes.open(str(tmp_path / "b.tar"), [])
    assert caught.value.exit_code == 2

"""A reader that is written from docs/BUNDLES.md alone, without code of the project, reads our bundles."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mirror.bundle.format.member_header import member_header
from mirror.oci import Digest
from tests.support.bundles import KEY, OTHER_KEY, BuiltBundle, build, small_plugin

STATEMENT = "plugin-mirror/statement.json"


def ustar(path: str, size: int, kind: bytes = b"0") -> bytes:
    name = path.encode()[:100].ljust(100, b"\0")
    owner = b"0000644\0" + b"0000000\0" * 2
    numbers = b"%011o\0" % size + b"00000000000\0" + b" " * 8
    block = name + owner + numbers + kind + bytes(100) + b"ustar\x0000" + bytes(64) + b"0000000\0" * 2 + bytes(167)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def record(key: str, value: str) -> bytes:
    rest = len(f" {key}={value}\n".encode())
    length = next(length for length in range(rest, rest + 9) if len(str(length)) + rest == length)
    return f"{length} {key}={value}\n".encode()


def header(path: str, size: int) -> bytes:
    path_record = record("path", path) if len(path.encode()) > 100 else b""
    size_record = record("size", str(size)) if size >= 8**11 else b""
    records = path_record + size_record
    pax = ustar("pax", len(records), b"x") + records + bytes(-len(records) % 512) if records else b""
    return pax + ustar(path, 0 if size_record else size)


def read(tar: bytes, key: Ed25519PublicKey) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the predicate of the statement and all members of a bundle. Check everything that the page demands."""
    at, documents = 0, {}
    for path in ("oci-layout", "index.json", STATEMENT):
        size = int(tar[at + 124 : at + 135], 8)
        assert tar[at : at + 512] == header(path, size)
        documents[path] = tar[at + 512 : at + 512 + size]
        at += 512 + size + -size % 512
    envelope = json.loads(documents[STATEMENT])
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    key.verify(base64.b64decode(envelope["signatures"][0]["sig"]), signed)
    predicate = json.loads(payload)["predicate"]
    assert predicate["format"] == 1
    members, at, contents = predicate["members"], 0, {}
    statement = [STATEMENT, len(documents[STATEMENT]), f"sha256:{hashlib.sha256(documents[STATEMENT]).hexdigest()}"]
    for path, size, *digest in [*members[:2], statement, *members[2:]]:
        expected = header(path, size)
        assert tar[at : at + len(expected)] == expected
        at += len(expected)
        contents[path] = tar[at : at + size]
        assert tar[at + size : at + size + -size % 512] == bytes(-size % 512)
        algorithm, hexadecimal = digest[0].split(":") if digest else path.split("/")[1:]
        assert hashlib.new(algorithm, contents[path]).hexdigest() == hexadecimal
        at += size + -size % 512
    assert tar[at:] == bytes(1024)
    return predicate, contents


def bundle() -> BuiltBundle:
    manifest, blobs = small_plugin()
    large = b"of another algorithm"
    sha512 = Digest("sha512", hashlib.sha512(large).hexdigest())
    return build({"acme/driver:1.0": manifest}, [*blobs, (sha512, large)], key_sets=[b"{}"], report=b"{}", serial=7)


def test_the_reader_reads_our_bundles():
    built = bundle()
    predicate, contents = read(built.content, KEY.public_key())
    assert (predicate["stream"], predicate["serial"]) == ("test", 7)
    assert list(contents) == [placed.member.path for placed in built.layout.members]
    (entry,) = json.loads(contents["index.json"])["manifests"]
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": "acme/driver:1.0"}
    assert len(contents["blobs/" + entry["digest"].replace(":", "/")]) == entry["size"]


@pytest.mark.parametrize("size", [8**11 - 1, 8**11])
@pytest.mark.parametrize("path", ["index.json", f"blobs/sha256/{'a' * 64}", f"blobs/sha512/{'a' * 128}"])
def test_the_page_specifies_headers(path: str, size: int):
    assert header(path, size) == member_header(path, size)


def test_the_reader_refuses_what_the_page_refuses():
    tar = bundle().content
    with pytest.raises(InvalidSignature):
        read(tar, OTHER_KEY.public_key())
    touched = bytearray(tar)
    touched[-1025 - 512] ^= 1  # in the last member or its padding
    with pytest.raises(AssertionError):
        read(bytes(touched), KEY.public_key())
    with pytest.raises(AssertionError):
        read(tar + bytes(512), KEY.public_key())

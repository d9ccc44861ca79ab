"""The bytes that the attacks send."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import socket
import tarfile
from urllib.parse import urlsplit

import pytest

from mirror.oci import Tag
from mirror.oci.errors import NameInvalid
from tests.bench import hostile
from tests.bench.content import MIB
from tests.bench.hostile_upstream import Answers, answering, informational, listing


def test_manifests_are_json_and_not_larger_than_they_may_be() -> None:
    manifests = hostile.manifests()
    assert all(3 * MIB < len(manifest) <= hostile.MANIFEST_BYTES for manifest in manifests)
    *_, of_layers = [json.loads(manifest) for manifest in manifests]
    assert len(of_layers["layers"]) == 10_000


def test_a_list_has_so_many_different_tags() -> None:
    names = json.loads(hostile.tag_list(50_000))["tags"]
    assert len(set(names)) == 50_000
    assert [str(Tag.parse(name)) for name in names[:1000]] == names[:1000]


def test_names_outside_the_grammar_are_no_tags() -> None:
    names = json.loads(hostile.list_outside_the_grammar(1000))["tags"]
    assert len(names) == 1000
    with pytest.raises(NameInvalid):
        Tag.parse(names[0])


@pytest.mark.parametrize("unpacked_bytes", [3 * MIB, 3 * MIB + 77])
def test_plugins_are_as_they_ought_to_be_and_unpack_to_a_thousand_times_their_size(unpacked_bytes: int) -> None:
    plugins = hostile.plugins(3, unpacked_bytes=unpacked_bytes)
    assert len({packed.layer_digest for packed in plugins}) == 3
    for packed in plugins:
        unpacked = gzip.decompress(packed.layer)
        config = json.loads(packed.config)
        assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(unpacked).hexdigest()}"]
        with tarfile.open(fileobj=io.BytesIO(unpacked)) as archive:
            zeros, program = archive.getmembers()
        assert (zeros.size, f"/{program.name}") == (unpacked_bytes, config["Entrypoint"][0])
        assert len(packed.layer) < unpacked_bytes / 500


def received(answers: Answers, path: str) -> bytes:
    with (
        answering(answers) as url,
        socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), timeout=30) as connection,
    ):
        connection.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_an_upstream_has_its_list_and_nothing_else() -> None:
    head, _, body = received(listing(b'{"tags":[]}'), "/v2/a/tags/list?n=1000").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"Content-Length: 11\r\n" in head
    assert body == b'{"tags":[]}'
    assert received(listing(b""), "/v2/a/manifests/1").startswith(b"HTTP/1.1 404 ")


def test_an_upstream_sends_so_many_informational_responses() -> None:
    *interim, last, rest = received(informational(1000), "/v2/a/manifests/1").split(b"\r\n\r\n")
    assert len(interim) == 1000
    assert all(each.startswith(b"HTTP/1.1 103 ") for each in interim)
    assert last.startswith(b"HTTP/1.1 404 ")
    assert rest == b""

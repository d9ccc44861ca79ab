"""Limits on the content of an incoming manifest."""

from __future__ import annotations

import json

import pytest

from mirror.oci import Manifest
from mirror.oci.errors import ManifestInvalid
from mirror.oci.incoming_manifest import MAX_QUOTES, MAX_VALUES, parse_incoming
from mirror.oci.manifest import MAX_MANIFEST_BYTES
from mirror.oci.media_types import OCI_INDEX, OCI_MANIFEST

HEAD = b'{"schemaVersion": 2, "manifests": [], "x": '


@pytest.mark.parametrize("value", [b"{}", b"[]", b"1", b'{"a":1}', b"1.5"])
def test_what_is_too_dense_is_refused_unread(value: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    dense = HEAD + b"[" + b",".join([value] * MAX_VALUES) + b"]}"
    assert len(dense) <= MAX_MANIFEST_BYTES
    monkeypatch.delattr(Manifest, "parse")
    with pytest.raises(ManifestInvalid, match="too many members"):
        parse_incoming(dense, OCI_INDEX)


def test_an_object_with_too_many_members_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    members = ",".join(f'"{number}":"{number}"' for number in range(MAX_QUOTES // 4))
    content = HEAD + b"{" + members.encode() + b"}}"
    assert len(content) <= MAX_MANIFEST_BYTES
    monkeypatch.delattr(Manifest, "parse")
    with pytest.raises(ManifestInvalid, match="too many members"):
        parse_incoming(content, OCI_INDEX)


def test_a_full_index_is_let_in() -> None:
    member = {
        "mediaType": OCI_MANIFEST,
        "size": 10,
        "platform": {"architecture": "amd64", "os": "linux", "variant": "v8"},
        "annotations": {f"annotation-{number}": "a, b" for number in range(8)},
    }
    members = [{**member, "digest": f"sha256:{number:064x}"} for number in range(9_000)]
    content = json.dumps({"schemaVersion": 2, "manifests": members}, separators=(",", ":")).encode()
    assert len(content) <= MAX_MANIFEST_BYTES
    assert len(parse_incoming(content, OCI_INDEX).manifests) == 9_000


def test_a_long_text_is_no_value() -> None:
    content = HEAD + b'"' + b"x" * (4 * MAX_VALUES) + b'"}'
    assert parse_incoming(content, OCI_INDEX) == Manifest.parse(content, OCI_INDEX)

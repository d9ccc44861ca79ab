"""Content of attackers: manifests, lists and layers that cost the reader far more than the sender. Pure."""

from __future__ import annotations

import hashlib
import itertools
import json
import struct
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.bench.content import GIB, MIB
from tests.harness.packing import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE, PackedPlugin, digest_of, packed_from

MANIFEST_BYTES = 4 * MIB
EMPTY = b"{}"

_LAYERS = 10_000
_DESCRIPTOR = {"mediaType": LAYER_TYPE, "digest": digest_of(EMPTY), "size": len(EMPTY)}
_CONFIG = _DESCRIPTOR | {"mediaType": "application/vnd.oci.empty.v1+json"}
_DEPTH = 100
_GZIP_HEAD = b"\x1f\x8b\x08\x00" + bytes(4) + b"\x00\xff"
_TAR_BLOCK_BYTES = 512
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def manifests() -> Sequence[bytes]:
    """Return manifests of just under 4 MiB that are expensive to parse in different ways.

    All of them refer to the same empty blob. Their contents are:

    - as many empty objects as fit
    - 179 900 members with different names, just below the limit of 720 000 quotation marks (`oci/incoming_manifest.py`)
    - nested lists
    - 10 000 layers with annotations
    - a plugin with 10 000 layers
    """
    layer = _DESCRIPTOR | {"annotations": {f"name.{number}": "\\" * 20 for number in range(3)}}
    return (
        _filled(b'"x":[', itertools.repeat(b"{}"), b"]"),
        _filled(b'"x":{', (b'"%x":"%08x"' % (number, number) for number in range(179_900)), b"}"),
        _filled(b'"x":[', itertools.repeat(b"[" * _DEPTH + b"]" * _DEPTH), b"]"),
        _of_layers(_CONFIG, layer),
        _of_layers(_DESCRIPTOR | {"mediaType": CONFIG_TYPE}, layer),
    )


def _filled(begin: bytes, items: Iterator[bytes], end: bytes) -> bytes:
    """Return a manifest with one more member, which fills the remaining space."""
    base = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": _CONFIG, "layers": [_DESCRIPTOR]}
    head = json.dumps(base).encode()[:-1] + b"," + begin
    parts, left_bytes = [], MANIFEST_BYTES - len(head) - len(end) - 1
    for item in items:
        left_bytes -= len(item) + 1
        if left_bytes < 0:
            break
        parts.append(item)
    return head + b",".join(parts) + end + b"}"


def _of_layers(config: Mapping[str, Any], layer: Mapping[str, Any]) -> bytes:
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": [layer] * _LAYERS}
    return json.dumps(manifest, separators=(",", ":")).encode()


def tag_list(count: int) -> bytes:
    """Return a `tags/list` response with `count` different tags, as short as possible."""
    names = itertools.islice(_short_names(), count)
    return b'{"name":"a","tags":["' + b'","'.join(names) + b'"]}'


def list_outside_the_grammar(count: int) -> bytes:
    """Return a `tags/list` response with `count` names that are not valid tags."""
    return b'{"name":"a","tags":[' + b",".join(itertools.repeat(b'"!"', count)) + b"]}"


def _short_names() -> Iterator[bytes]:
    for length in itertools.count(1):
        for digits in itertools.product(_DIGITS, repeat=length):
            yield "".join(digits).encode()


def plugins(count: int, *, unpacked_bytes: int = 2 * GIB) -> Sequence[PackedPlugin]:
    """Return different valid plugins whose layer unpacks to about a thousand times its compressed size.

    Each layer contains a file of zeros. Generating them is cheap: their common part is hashed once, and the gzip stream
    repeats one compressed block.
    """
    head, block = _entry("zeros", unpacked_bytes), bytes(MIB)
    blocks, rest_bytes = divmod(unpacked_bytes, MIB)
    rest = block[:rest_bytes] + bytes(-unpacked_bytes % _TAR_BLOCK_BYTES)
    crc, hasher = 0, hashlib.sha256()
    for piece in itertools.chain([head], itertools.repeat(block, blocks), [rest]):
        crc = zlib.crc32(piece, crc)
        hasher.update(piece)
    common = _GZIP_HEAD + _deflated(head) + _deflated(block) * blocks + _deflated(rest)
    common_bytes = len(head) + blocks * MIB + len(rest)
    return [_plugin(f"program{number}", common, common_bytes, crc, hasher.copy()) for number in range(count)]


def _plugin(name: str, common: bytes, common_bytes: int, crc: int, hasher: hashlib._Hash) -> PackedPlugin:
    """Return the plugin whose layer begins with `common` and ends with its program."""
    end = _entry(name, 0) + bytes(2 * _TAR_BLOCK_BYTES)
    hasher.update(end)
    trailer = struct.pack("<II", zlib.crc32(end, crc), (common_bytes + len(end)) % 2**32)
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{hasher.hexdigest()}"]}
    config = {"Entrypoint": [f"/{name}"], "Linux": {}, "Network": {}, "Interface": {"Types": None}, "rootfs": rootfs}
    return packed_from(json.dumps(config).encode(), common + _deflated(end, last=True) + trailer)


def _entry(name: str, size_bytes: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size_bytes, 0o755
    return entry.tobuf()


def _deflated(content: bytes, *, last: bool = False) -> bytes:
    """Compress `content` without references to earlier data, so that the result may follow any other deflate data."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush(zlib.Z_FINISH if last else zlib.Z_FULL_FLUSH)

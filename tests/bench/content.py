"""What the servers hold: a plugin, and blobs of any size that cost nothing to make."""

from __future__ import annotations

import hashlib
import json
import random
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.harness.packing import PackedPlugin, pack
from tests.harness.plugins import contiv_plugin

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

REPOSITORY = "bench/plugin"
TAG = "latest"

_MARK_BYTES = 16


@dataclass(frozen=True, slots=True)
class Body:
    """A blob: the same block over and over, the last one cut short, and a mark at the end that tells it apart."""

    size_bytes: int
    digest: str
    block: bytes
    mark: bytes

    @classmethod
    def of(cls, content: bytes) -> Body:
        """A blob of exactly these bytes."""
        return cls(len(content), f"sha256:{hashlib.sha256(content).hexdigest()}", content, b"")

    def pieces(self) -> Iterator[memoryview | bytes]:
        """Its bytes, a block at a time."""
        left_bytes = self.size_bytes - len(self.mark)
        whole = memoryview(self.block)
        while left_bytes:
            piece = whole[:left_bytes]
            left_bytes -= len(piece)
            yield piece
        if self.mark:
            yield self.mark


class Bodies:
    """Any number of different blobs of one size. What they have in common is hashed once, so a new one is for free."""

    def __init__(self, size_bytes: int, *, block: bytes | None = None) -> None:
        self.size_bytes = size_bytes
        self._block = random.Random(size_bytes).randbytes(MIB) if block is None else block
        self._common = hashlib.sha256()
        for piece in Body(size_bytes - _MARK_BYTES, "", self._block, b"").pieces():
            self._common.update(piece)

    def fresh(self) -> Body:
        """A blob that nobody has seen."""
        mark = secrets.token_bytes(_MARK_BYTES)
        hasher = self._common.copy()
        hasher.update(mark)
        return Body(self.size_bytes, f"sha256:{hasher.hexdigest()}", self._block, mark)


def with_layer(packed: PackedPlugin, layer: Body) -> bytes:
    """The manifest of a plugin with another layer, which need not be one: it is moved, not installed."""
    manifest = json.loads(packed.manifest)
    manifest["layers"][0] |= {"digest": layer.digest, "size": layer.size_bytes}
    return json.dumps(manifest, separators=(",", ":")).encode()


def plugin(folder: Path, *, payload_size_bytes: int) -> PackedPlugin:
    """Contiv's plugin with a layer of at least `payload_size_bytes`, packed as engines pack it; `folder` is used up."""
    return pack(contiv_plugin(folder, payload_size_bytes=payload_size_bytes))

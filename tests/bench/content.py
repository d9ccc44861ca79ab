"""Content of the servers: a plugin, and blobs of any size that are cheap to generate."""

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
    """A blob made of a repeated block, cut to size, and a final mark that makes the blob unique.

    Attributes:
        size_bytes: Size of the whole blob.
        digest: Digest of the whole blob, `sha256:…`.
        block: Bytes that are repeated.
        mark: Last bytes of the blob.
    """

    size_bytes: int
    digest: str
    block: bytes
    mark: bytes

    @classmethod
    def of(cls, content: bytes) -> Body:
        """Return a blob with exactly these bytes."""
        return cls(len(content), f"sha256:{hashlib.sha256(content).hexdigest()}", content, b"")

    def pieces(self) -> Iterator[memoryview | bytes]:
        """Yield the bytes of the blob, one block at a time."""
        left_bytes = self.size_bytes - len(self.mark)
        whole = memoryview(self.block)
        while left_bytes:
            piece = whole[:left_bytes]
            left_bytes -= len(piece)
            yield piece
        if self.mark:
            yield self.mark


class Bodies:
    """Any number of different blobs of one size. Their common part is hashed once, so that new blobs are cheap.

    Args:
        size_bytes: Size of each blob.
        block: Block to repeat, or None for 1 MiB of random bytes.
    """

    def __init__(self, size_bytes: int, *, block: bytes | None = None) -> None:
        self.size_bytes = size_bytes
        self._block = random.Random(size_bytes).randbytes(MIB) if block is None else block
        self._common = hashlib.sha256()
        for piece in Body(size_bytes - _MARK_BYTES, "", self._block, b"").pieces():
            self._common.update(piece)

    def fresh(self) -> Body:
        """Return a new blob with a digest that was never used before."""
        mark = secrets.token_bytes(_MARK_BYTES)
        hasher = self._common.copy()
        hasher.update(mark)
        return Body(self.size_bytes, f"sha256:{hasher.hexdigest()}", self._block, mark)


def with_layer(packed: PackedPlugin, layer: Body) -> bytes:
    """Return the manifest of `packed` with another layer.

    The layer need not be a valid tar archive, since the plugin is only pulled and never installed.
    """
    manifest = json.loads(packed.manifest)
    manifest["layers"][0] |= {"digest": layer.digest, "size": layer.size_bytes}
    return json.dumps(manifest, separators=(",", ":")).encode()


def plugin(folder: Path, *, payload_size_bytes: int) -> PackedPlugin:
    """Pack contiv's plugin with a layer of at least `payload_size_bytes`, like an engine. Its files are in `folder`."""
    return pack(contiv_plugin(folder, payload_size_bytes=payload_size_bytes))

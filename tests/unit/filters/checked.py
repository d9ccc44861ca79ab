"""A registry that checks plugins, and a registry that counts the blobs read from it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

from mirror.filters.plugin_checks import PluginChecker, PluginChecks
from mirror.filters.shared_layers import SharedLayerReader
from mirror.oci import Descriptor, Digest, Manifest, Repository, media_types
from mirror.oci.errors import ManifestUnknown, RepositoryUnknown
from mirror.plugin.findings.finding import Finding
from mirror.plugin.rootfs.layer_limits import DEFAULT_LIMITS, LayerLimits
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.memory import MemoryRegistry
from mirror.registry.port import Blob, Registry
from mirror.registry.streams import single_chunk
from mirror.wire.ranges import RangeRequest
from tests.support.layers import LAYER, TAR

HERE = Repository("acme/driver")


CONFIG = json.dumps({"rootfs": {"type": "layers", "diff_ids": [str(Digest.of(TAR))]}}).encode()


class Ledger:
    def __init__(self) -> None:
        self.codes: dict[Digest, list[str]] = {}

    async def record_findings(self, digest: Digest, findings: tuple[Finding, ...]) -> None:
        self.codes[digest] = [finding.code for finding in findings]


class Watched(DelegatingRegistry):
    """A registry that notes which blobs are read.

    Attributes:
        begun: digests of blobs of which a chunk was read, once for each reading.
        reads: digests of blobs that were read to their end, once for each reading.
    """

    def __init__(self, inner: Registry) -> None:
        super().__init__(inner)
        self.begun: list[Digest] = []
        self.reads: list[Digest] = []

    def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AbstractAsyncContextManager[Blob]:
        return _Counting(self.inner.open_blob(repository, digest, part, size_bytes), digest, self.begun, self.reads)


class _Counting(AbstractAsyncContextManager[Blob]):
    def __init__(
        self, opened: AbstractAsyncContextManager[Blob], digest: Digest, begun: list[Digest], reads: list[Digest]
    ) -> None:
        self._opened, self._digest, self._begun, self._reads = opened, digest, begun, reads

    async def __aenter__(self) -> Blob:
        blob = await self._opened.__aenter__()
        self.size_bytes, self.span, self.file, self._blob = blob.size_bytes, blob.span, None, blob
        return self

    async def __aexit__(self, *exception: Any) -> bool | None:
        return await self._opened.__aexit__(*exception)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._begun.append(self._digest)
        async for chunk in self._blob:
            yield chunk
        self._reads.append(self._digest)


class Checked:
    """A registry in memory behind the plugin checks."""

    def __init__(self, limits: LayerLimits = DEFAULT_LIMITS, *, enforce: bool = True) -> None:
        self.behind = Watched(MemoryRegistry())
        self.ledger = Ledger()
        self.registry = PluginChecks(
            self.behind, PluginChecker(self.ledger.record_findings, SharedLayerReader(limits), enforce=enforce)
        )

    async def blob(self, content: bytes, media_type: str, repository: Repository = HERE) -> Descriptor:
        upload = await self.registry.begin_upload(repository)
        await upload.append(single_chunk(content))
        held = await upload.commit(Digest.of(content))
        return Descriptor(media_type, held.digest, held.size_bytes)

    async def plugin(self, config: bytes = CONFIG, *layers: bytes, **members: Any) -> Manifest:
        """Return a plugin's manifest and store its blobs."""
        described = await self.blob(config, media_types.DOCKER_PLUGIN_CONFIG)
        held = [await self.blob(layer, media_types.DOCKER_LAYER_GZIP) for layer in layers or (LAYER,)]
        return manifest(described, held, **members)

    async def holds(self, plugin: Manifest) -> bool:
        try:
            await self.registry.resolve(HERE, plugin.digest)
        except (ManifestUnknown, RepositoryUnknown):
            return False
        return True


def manifest(config: Descriptor, layers: list[Descriptor], /, **members: Any) -> Manifest:
    body = {
        "schemaVersion": 2,
        "mediaType": media_types.DOCKER_MANIFEST,
        "config": config.to_json(),
        "layers": [layer.to_json() for layer in layers],
        **members,
    }
    return Manifest.parse(json.dumps(body).encode(), media_types.DOCKER_MANIFEST)

"""Plugins of a bundle that is served: the plugins that name a blob."""

from __future__ import annotations

from collections.abc import Sequence

from mirror.bundle.bundled_repository import BundledRepository
from mirror.bundle.reader import BundleReader
from mirror.oci import Digest, Manifest, Repository
from mirror.oci.errors import NotFound


class BundledPlugins:
    """Implements :class:`mirror.records.admission.verdicts.PluginBlobs` for a bundle.

    Args:
        bundle: the bundle.
    """

    def __init__(self, bundle: BundleReader) -> None:
        self._bundle = bundle

    async def plugin(self, repository: Repository, digest: Digest) -> Manifest | None:
        try:
            manifest = await self._bundle.get_manifest(repository, digest)
        except NotFound:
            return None
        return manifest if manifest.may_be_plugin else None

    async def holds_plugins(self, repository: Repository) -> bool:
        return bool((await self._content(repository)).plugins)

    async def plugins_naming(
        self, repository: Repository, blob: Digest, limit: int, limit_bytes: int
    ) -> Sequence[Digest]:
        content, found = await self._content(repository), list[Digest]()
        for digest in content.plugins.get(blob, ())[:limit]:
            limit_bytes -= content.manifests[digest].size_bytes
            if limit_bytes < 0:
                break
            found.append(digest)
        return found

    async def is_named_otherwise(self, repository: Repository, blob: Digest) -> bool:
        return blob in (await self._content(repository)).named_otherwise

    async def _content(self, repository: Repository) -> BundledRepository:
        try:
            return await self._bundle.content(repository)
        except NotFound:
            return BundledRepository()

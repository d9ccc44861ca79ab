"""A registry that is read from a bundle: what is written is bundled before the next read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mirror.bundle.format.bundle_head import read_head
from mirror.bundle.format.byte_source import FileSource
from mirror.bundle.reader import BundleReader
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag, media_types
from mirror.registry.memory import MemoryRegistry
from mirror.registry.port import Blob, Page
from mirror.wire.pagination import PageRequest
from mirror.wire.ranges import RangeRequest
from tests.support.builders import manifest_of
from tests.support.bundles import build


class RebundledRegistry(MemoryRegistry):
    """A registry in memory whose reads all go to a bundle with its content.

    A bundle has only blobs that a manifest names. So a manifest that nobody knows names the blobs of each repository.

    Args:
        folder: folder for the bundles.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._readers: dict[Path, BundleReader] = {}

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        return await (await self._bundled()).resolve(repository, target)

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        return await (await self._bundled()).get_manifest(repository, target)

    async def stat_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        return await (await self._bundled()).stat_blob(repository, digest)

    async def stat_pullable_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        return await (await self._bundled()).stat_pullable_blob(repository, digest)

    @asynccontextmanager
    async def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AsyncIterator[Blob]:
        async with (await self._bundled()).open_blob(repository, digest, part, size_bytes) as blob:
            yield blob

    async def list_repositories(self, page: PageRequest) -> Page[Repository]:
        return await (await self._bundled()).list_repositories(page)

    async def list_tags(self, repository: Repository, page: PageRequest) -> Page[Tag]:
        return await (await self._bundled()).list_tags(repository, page)

    async def list_referrers(
        self, repository: Repository, subject: Digest, artifact_type: str | None, page: PageRequest
    ) -> Page[Descriptor]:
        return await (await self._bundled()).list_referrers(repository, subject, artifact_type, page)

    async def _bundled(self) -> BundleReader:
        names: dict[str, Manifest] = {}
        contents: dict[Digest, bytes] = {}
        for repository, held in self._repositories.items():
            names |= {f"{repository}@{digest}": manifest for digest, manifest in held.manifests.items()}
            names |= {f"{repository}:{tag}": held.manifests[digest] for tag, digest in held.tags.items()}
            if held.blobs:
                listed = [
                    Descriptor(media_types.OCTET_STREAM, digest, len(content)).to_json()
                    for digest, content in held.blobs.items()
                ]
                finder = manifest_of({"config": listed[0], "layers": listed, "annotations": {"of": str(repository)}})
                names[f"{repository}@{finder.digest}"] = finder
            contents |= held.blobs
        built = build(names, contents.items())
        # Each content has a file of its own, because earlier readers may be open.
        path = self._folder / f"{built.envelope.digest.hex}.tar"
        if path not in self._readers:
            path.write_bytes(built.content)
            source = await FileSource.open(path)
            self._readers[path] = BundleReader(await read_head(source), source)
        return self._readers[path]

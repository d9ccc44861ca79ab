"""Lookup of manifests held by our own registry, including incomplete pulled-through manifests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import ManifestUnknown, NotFound
from mirror.records.origins import IncompleteManifests, Origins
from mirror.registry.port import Registry


@dataclass(frozen=True, slots=True)
class HeldManifests:
    """Finds manifests that are held here.

    Attributes:
        registry: our own registry.
        origins: knows the origin of pulled-through tags.
        incomplete: knows manifests whose blobs are not all here yet.
        plugin_anywhere: returns a plugin's manifest and one repository holding it; None if no repository does.
    """

    registry: Registry
    origins: Origins
    incomplete: IncompleteManifests
    plugin_anywhere: Callable[[Digest], Awaitable[tuple[Repository, Manifest] | None]]

    async def require(self, repository: Repository, target: Tag | Digest) -> Manifest:
        """Return a manifest.

        Raises:
            ManifestUnknown: the manifest is neither held nor being pulled through.
        """
        manifest = await self.find(repository, target)
        if manifest is None:
            raise ManifestUnknown(
                f"{repository} has no tag {target} here; fix: name a digest, which may also arrive later",
                name=repository,
                reference=target,
            )
        return manifest

    async def find(self, repository: Repository, target: Tag | Digest) -> Manifest | None:
        """Return a manifest that is held or being pulled through; None if there is none.

        For a tag, the result is the manifest served to hosts.
        """
        # While a new pulled-through manifest is incomplete, the registry still has the old one under the tag.
        # Hosts get the new one, which the tag's origin names.
        if isinstance(target, Tag):
            origin = await self.origins.origin(repository, target)
            pulled = None if origin is None else await self.find(repository, origin.digest)
            if pulled is not None:
                return pulled
        try:
            return await self.registry.get_manifest(repository, target)
        except NotFound:
            return await self.incomplete.incomplete(repository, target) if isinstance(target, Digest) else None

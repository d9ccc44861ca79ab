"""Plugins as our own registry holds them, those included that are being pulled through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import ManifestUnknown, NotFound
from mirror.records.origins import IncompleteManifests, Origins
from mirror.registry.port import Registry


@dataclass(frozen=True, slots=True)
class HeldManifests:
    """Finds manifests that are held.

    Attributes:
        registry: our own registry.
        origins: tells where tags were pulled through from.
        incomplete: has manifests whose content is not all here.
        plugin_anywhere: gives a plugin's manifest, under whichever name it is held; None: it is not here.
    """

    registry: Registry
    origins: Origins
    incomplete: IncompleteManifests
    plugin_anywhere: Callable[[Digest], Awaitable[tuple[Repository, Manifest] | None]]

    async def require(self, repository: Repository, target: Tag | Digest) -> Manifest:
        """Find a manifest. Raises ManifestUnknown: it is neither held nor being pulled through."""
        manifest = await self.find(repository, target)
        if manifest is None:
            raise ManifestUnknown(
                f"no tag {target} of {repository} is here: name a digest, which may come later",
                name=repository,
                reference=target,
            )
        return manifest

    async def find(self, repository: Repository, target: Tag | Digest) -> Manifest | None:
        """A manifest that is held or is being pulled through, else None; of a tag, the one that hosts are given."""
        if isinstance(target, Tag):
            origin = await self.origins.origin(repository, target)
            pulled = None if origin is None else await self.find(repository, origin.digest)
            if pulled is not None:
                return pulled
        try:
            return await self.registry.get_manifest(repository, target)
        except NotFound:
            return await self.incomplete.incomplete(repository, target) if isinstance(target, Digest) else None

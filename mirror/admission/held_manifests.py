"""Plugins as our own registry holds them, those included that are being pulled through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mirror.oci.digest import Digest
from mirror.oci.errors import NotFound
from mirror.oci.manifest import Manifest
from mirror.oci.names import Repository, Tag
from mirror.registry.origins import IncompleteManifests, Origins
from mirror.registry.port import Registry


class PluginsAnywhere(Protocol):
    """Plugins, whatever repository holds them."""

    async def plugin_anywhere(self, digest: Digest) -> tuple[Repository, Manifest] | None:
        """A plugin's manifest and a repository that holds it; None: no repository does."""
        ...


@dataclass(frozen=True, slots=True)
class HeldManifests:
    """Finds manifests that are held.

    Attributes:
        registry: our own registry.
        origins: tells where tags were pulled through from.
        incomplete: has manifests whose content is not all here.
        plugins: finds plugins by their digest alone.
    """

    registry: Registry
    origins: Origins
    incomplete: IncompleteManifests
    plugins: PluginsAnywhere

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

"""Content that a store holds, as the two sides of a bundle compare it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from mirror.oci import Digest, Repository


@dataclass(frozen=True, slots=True)
class HeldContent:
    """Everything that a store holds.

    Attributes:
        digests: digests of blobs and complete manifests that a repository holds.
        names: digest of each name, by ``NAME:TAG`` and ``NAME@DIGEST``. What came with a bundle has its name there too.
        streams: serial of the last imported bundle, by stream.
    """

    digests: frozenset[Digest]
    names: Mapping[str, Digest]
    streams: Mapping[str, int]


class BundleContents(Protocol):
    """Port that lists the content of a store."""

    async def held_content(self) -> HeldContent:
        """Return everything that the store holds.

        Manifests that still wait for content are left out, and so is content that no repository holds.
        """
        ...

    async def holders(self, digests: Collection[Digest]) -> Mapping[Digest, Repository]:
        """Return a repository that holds the blob or complete manifest, for each digest that any repository holds."""
        ...

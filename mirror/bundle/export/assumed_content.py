"""The receiver of a bundle as the destination of a copy: it holds what a delta assumes, and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from mirror.bundle.delta.delta_base import DeltaBase
from mirror.oci import Descriptor, Digest, Repository, Tag
from mirror.oci.errors import ManifestUnknown
from mirror.oci.media_types import OCTET_STREAM
from mirror.records.absent_content import AbsentContent
from mirror.registry.memory import MemoryRegistry


class AssumedContent(MemoryRegistry):
    """Registry that resolves the digests that the receiver has.

    Args:
        base: content that the receiver has; None for nothing.
    """

    def __init__(self, base: DeltaBase | None) -> None:
        super().__init__()
        self._base = base

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        if self._base is None or not isinstance(target, Digest) or target not in self._base.digests:
            raise ManifestUnknown(f"the receiver is not known to hold {repository} {target}", name=repository)
        return Descriptor(OCTET_STREAM, target, 0)


class NoAbsentContent:
    """Implements :class:`mirror.records.absent_content.AbsentContents` without records.

    A copy into a destination with such records goes on when the source lacks a member of an index, and tells so.
    """

    async def record_absent(
        self, repository: Repository, manifest: Digest, contents: Collection[AbsentContent]
    ) -> None:
        """Do nothing."""

    async def absent_content(
        self, repository: Repository, *, manifest: Digest | None = None, digest: Digest | None = None
    ) -> Sequence[AbsentContent]:
        """Return nothing."""
        return ()

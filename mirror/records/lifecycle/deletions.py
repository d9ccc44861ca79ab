"""Deletions by an operator: tags, manifests and whole repositories, and the protocol of the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mirror.oci import Digest, Repository, Tag


@dataclass(frozen=True, slots=True)
class Deletion:
    """Deletion of a tag, or of a manifest with its tags.

    Attributes:
        digest: digest of the manifest.
        tags: the tags that go.
        others: tags of the manifest that stay.
        indexes: digests of the indexes of the repository that the manifest is part of.
        has_gone: True if the manifest goes too.
    """

    digest: Digest
    tags: Sequence[Tag]
    others: Sequence[Tag]
    indexes: Sequence[Digest]
    has_gone: bool


@dataclass(frozen=True, slots=True)
class RepositoryContent:
    """Number of tags, manifests and blobs in a repository."""

    tags: int
    manifests: int
    blobs: int

    def __bool__(self) -> bool:
        return bool(self.tags or self.manifests or self.blobs)


class Deletions(Protocol):
    """Port to the deletions of a store. All methods raise StorageFault."""

    async def plan(self, repository: Repository, target: Tag | Digest) -> Deletion:
        """Return the result that :meth:`delete` would have. Raises the same errors."""
        ...

    async def delete(self, repository: Repository, target: Tag | Digest) -> Deletion:
        """Delete a tag, or a manifest with its tags. Pulled-through content that is not complete counts too.

        Raises:
            ManifestUnknown, RepositoryUnknown: there is no such tag or manifest.
            ReferenceInUse: the manifest is part of an index that would be left incomplete.
        """
        ...

    async def content(self, repository: Repository) -> RepositoryContent:
        """Count the content of a repository.

        Raises:
            RepositoryUnknown: the repository holds nothing.
        """
        ...

    async def empty(self, repository: Repository, came_before: datetime, most: int) -> int:
        """Delete a part of the content of a repository, tags and manifests first, in one transaction.

        Args:
            repository: the repository.
            came_before: content that has come later stays.
            most: most manifests or blobs to delete.

        Returns:
            The number of manifests and blobs deleted; 0 if none is left.
        """
        ...

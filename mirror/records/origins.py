"""Records of pull-through: where content came from, when that was confirmed, and what is missing.

:class:`Origins` tells where a tag came from; :class:`IncompleteManifests` holds manifests whose content is not all
here. Our store is both.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mirror.oci import Digest, Manifest, Repository, Tag


@dataclass(frozen=True, slots=True)
class Origin:
    """Where something that was pulled through came from.

    Attributes:
        upstream, source: the upstream's name, and the repository there.
        digest: what it was there.
        checked_at: when that was last so, as far as is known.
        asked_at: when the upstream was last asked, whatever it answered.
    """

    upstream: str
    source: Repository
    digest: Digest
    checked_at: datetime
    asked_at: datetime


class Origins(Protocol):
    """Where tags and digests came from. What was pushed, and what a mirror rule brought, has no origin here."""

    async def origin(self, repository: Repository, target: Tag | Digest) -> Origin | None:
        """Where it came from, as pull-through last saw it; cheap, because every pull asks."""
        ...

    async def record_origin(self, repository: Repository, target: Tag | Digest, origin: Origin) -> None:
        """Note it, in place of what was known. A tag that has no origin any more was pushed meanwhile, and stays so."""
        ...

    async def is_ours(self, repository: Repository) -> bool:
        """Tell whether something was pushed to the repository, or is being pushed."""
        ...

    async def forget(self, repository: Repository, target: Tag | Digest) -> bool:
        """Forget a tag that was pulled through, or an incomplete manifest with the tags that point to it.

        Returns:
            Whether there was something to forget.
        """
        ...


class IncompleteManifests(Protocol):
    """Manifests that were pulled through, until everything that they name is in their repository.

    They are not in the lists of the repository, nor can they be read as others are: what counts on a manifest to be all
    there does not meet them.
    """

    async def keep_incomplete(
        self, repository: Repository, manifest: Manifest, origin: Origin, tag: Tag | None = None
    ) -> None:
        """Keep a manifest durably, with its origin and that of its tag. One that is complete becomes as others are."""
        ...

    async def incomplete(self, repository: Repository, digest: Digest) -> Manifest | None:
        """An incomplete manifest of the repository; None where there is none."""
        ...

    async def awaited(self, repository: Repository, digest: Digest) -> tuple[int, Origin] | None:
        """Size in bytes of a blob that an incomplete manifest of the repository names, and where that came from."""
        ...

    async def arrived(self, repository: Repository, digest: Digest) -> None:
        """A blob is in the repository now: manifests that lacked nothing else become as others are, with their tags."""
        ...

"""Records of pull-through: origins of content, and manifests whose blobs have not all arrived.

:class:`Origins` stores where tags and digests came from. :class:`IncompleteManifests` stores manifests that are not
complete. The store implements both.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.records.absent_content import AbsentContent


@dataclass(frozen=True, slots=True)
class Origin:
    """Origin of pulled-through content.

    Attributes:
        upstream: name of the upstream.
        source: repository at the upstream.
        digest: digest at the upstream.
        checked_at: time at which the upstream last confirmed the digest, in UTC.
        asked_at: time at which the upstream was last asked, in UTC, whatever it answered.
    """

    upstream: str
    source: Repository
    digest: Digest
    checked_at: datetime
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class OtherTags:
    """Tags of a repository that no rule has brought.

    Attributes:
        pushed: tags that a client has pushed.
        pulled: origins of tags that were pulled through.
        immutable: tags that may not move, whoever brought them.
    """

    pushed: Collection[Tag] = ()
    pulled: Mapping[Tag, Origin] = field(default_factory=dict)
    immutable: frozenset[Tag] = frozenset()


class Origins(Protocol):
    """Port that stores origins of tags and digests. Pushed content and content of mirror rules have no origin."""

    async def origin(self, repository: Repository, target: Tag | Digest) -> Origin | None:
        """Return the last recorded origin of a tag or digest; None if there is none.

        Must be cheap: every pull calls this method.
        """
        ...

    async def record_origin(self, repository: Repository, target: Tag | Digest, origin: Origin) -> None:
        """Record an origin in place of the earlier one.

        The origin of a tag that has lost its origin is not recorded: the tag was pushed meanwhile, and a push wins.
        """
        ...

    async def is_ours(self, repository: Repository) -> bool:
        """Return True if the repository was pushed to, or a push to it is under way."""
        ...

    async def forget(self, repository: Repository, target: Tag | Digest) -> bool:
        """Forget a pulled-through tag, or an incomplete manifest with the tags that point to it.

        Returns:
            True if there was something to forget.
        """
        ...


class IncompleteManifests(Protocol):
    """Port that stores pulled-through manifests until their repository holds everything that they name.

    Lists and ordinary reads do not see incomplete manifests, so code that expects complete manifests never meets one.
    """

    async def keep_incomplete(
        self,
        repository: Repository,
        manifest: Manifest,
        origin: Origin,
        tag: Tag | None = None,
        absent: Collection[AbsentContent] = (),
    ) -> None:
        """Store a manifest durably, with its origin and the origin of its tag.

        A manifest that is complete, apart from ``absent``, is stored as an ordinary one.
        """
        ...

    async def gave_up(self, repository: Repository, digest: Digest) -> None:
        """Record that no upstream has a member of an index any more. Indexes do not wait for the member from now on."""
        ...

    async def incomplete(self, repository: Repository, digest: Digest) -> Manifest | None:
        """Return an incomplete manifest of the repository; None if there is none."""
        ...

    async def awaited(self, repository: Repository, digest: Digest) -> tuple[int, Origin] | None:
        """Return the size in bytes of a blob that an incomplete manifest names, and the origin of the manifest.

        None if no incomplete manifest of the repository names the blob.
        """
        ...

    async def arrived(self, repository: Repository, digest: Digest) -> None:
        """Record that the repository now holds a blob.

        Manifests that lacked nothing else become ordinary ones, together with their tags.
        """
        ...

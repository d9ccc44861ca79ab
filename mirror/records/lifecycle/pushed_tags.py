"""Tags that clients have pushed: what retention and immutable tags need to know about them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeAlias

from mirror.oci import Digest, Repository, Tag

#: Returns True for a tag that must neither move nor be deleted once it exists.
ImmutableTags: TypeAlias = Callable[[Repository, Tag], bool]


def none_immutable(_repository: Repository, _tag: Tag) -> bool:
    """Return False: every tag may move."""
    return False


@dataclass(frozen=True, slots=True)
class PushedTag:
    """A tag that a client has pushed, and that no rule or pull has brought.

    Attributes:
        tag: the tag.
        digest: digest of its manifest.
        pushed_at: time at which the tag was last pushed, in UTC.
        kept_by: reason for which nobody may drop the tag, such as ``a pin``; empty if there is none.
    """

    tag: Tag
    digest: Digest
    pushed_at: datetime
    kept_by: str = ""


@dataclass(frozen=True, slots=True)
class RepositoryTags:
    """The pushed tags of a repository, and their use.

    Attributes:
        tags: the tags.
        pulled: names of tags, and digests, that were pulled in the time asked about.
        members: the members of each index of the repository.
        others: digests of the tags of the repository that no client has pushed.
    """

    tags: Sequence[PushedTag] = ()
    pulled: frozenset[str] = frozenset()
    members: Mapping[Digest, Collection[Digest]] = field(default_factory=dict)
    others: Collection[Digest] = frozenset()


@dataclass(frozen=True, slots=True)
class RetiredTag:
    """A tag that retention drops.

    Attributes:
        repository: the repository.
        tag: the tag, as it was when the decision was made.
        reason: sentence with the reason.
    """

    repository: Repository
    tag: PushedTag
    reason: str

    @property
    def name(self) -> str:
        """``NAME:TAG``."""
        return f"{self.repository}:{self.tag.tag}"


class PushedTags(Protocol):
    """Port to the pushed tags of a store. All methods raise CatalogFault."""

    async def repositories(self) -> Sequence[Repository]:
        """Return the repositories that have a pushed tag."""
        ...

    async def tags_of(self, repository: Repository, pulled_since: datetime | None) -> RepositoryTags:
        """Return the pushed tags of a repository, and what was pulled since a time; None for no pulls."""
        ...

    async def pulls_known_since(self) -> datetime | None:
        """Return the time from which on every pull was recorded; None if pulls are not recorded."""
        ...

    async def retire(self, tags: Sequence[RetiredTag]) -> Sequence[RetiredTag]:
        """Drop tags in one transaction. Return those that were still as they had been, and are dropped now."""
        ...

"""Reviews: content that nothing may need any more, and decisions about it.

Every change that may leave content without a user writes a review in its own transaction. A review is decided once a
grace has passed. The decision looks at the catalog in the transaction that removes the rows, so it cannot be outdated.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from mirror.oci import Repository
from mirror.oci.name_pattern import NamePattern
from mirror.records.lifecycle.review_causes import ReviewCause


class ReviewKind(StrEnum):
    """Kind of the content that a review is about."""

    #: A manifest of a repository, incomplete ones included.
    MANIFEST = "manifest"
    #: A blob of a repository.
    BLOB = "blob"
    #: Bytes, in no repository.
    CONTENT = "content"


#: Default of the grace of every cause.
DEFAULT_GRACE: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Grace:
    """Time between an event and the decision about what it left behind, by cause.

    Attributes:
        default: the grace of causes that are not in ``by_cause``.
        by_cause: the grace of the other causes.
        bytes: time between a decision and the removal of the bytes. Readers under way keep what they have opened; this
            time is for clients that know a digest and have not asked for it yet.
    """

    default: timedelta = DEFAULT_GRACE
    by_cause: Mapping[ReviewCause, timedelta] = field(default_factory=dict)
    bytes: timedelta = timedelta(hours=1)

    def of(self, cause: ReviewCause) -> timedelta:
        """Return the grace of a cause."""
        return self.by_cause.get(cause, self.default)

    @classmethod
    def everywhere(cls, grace: timedelta) -> Grace:
        """Return the same grace for every cause and for bytes."""
        return cls(grace, {}, grace)


@dataclass(frozen=True, slots=True)
class UntaggedRule:
    """Time that manifests stay that no tag and no other manifest needs.

    Attributes:
        pattern: the repositories that the rule is for.
        keep: time since the manifest lost its last user or was last pulled; None for ever.
    """

    pattern: NamePattern
    keep: timedelta | None


@dataclass(frozen=True, slots=True)
class CollectionRules:
    """Input of decisions besides the catalog.

    Attributes:
        grace: time before a decision.
        untagged: rules for untagged manifests; the first whose pattern matches applies.
        untagged_default: the same without a matching rule; None for ever.
        uploading: repositories with an open upload, by name. Their blobs stay.
        all_since: start of a run that decides every earlier review once, whatever its grace; None for reviews that are
            due.
    """

    grace: Grace
    untagged: Sequence[UntaggedRule] = ()
    untagged_default: timedelta | None = timedelta(days=30)
    uploading: Collection[str] = ()
    all_since: datetime | None = None

    def untagged_of(self, repository: str) -> timedelta | None:
        """Return how long a repository keeps untagged manifests; None for ever."""
        name = Repository(repository)
        found = next((rule for rule in self.untagged if rule.pattern.match(name) is not None), None)
        return self.untagged_default if found is None else found.keep


@dataclass(frozen=True, slots=True)
class DecidedReviews:
    """Result of one step of decisions.

    Attributes:
        decided: number of reviews that were decided.
        removed: number of rows of manifests, blobs and content removed from the catalog.
        doomed: number of files that are no longer needed.
        doomed_bytes: total size of these files.
        protected: number of reviews that found a user, by name of the protector.
        untagged_until: the earliest time at which a manifest is removed that only ``storage.untagged`` keeps; None if
            there is no such manifest, or all of them stay for ever.
    """

    decided: int = 0
    removed: int = 0
    doomed: int = 0
    doomed_bytes: int = 0
    protected: Mapping[str, int] = field(default_factory=dict)
    untagged_until: datetime | None = None

    def __add__(self, other: DecidedReviews) -> DecidedReviews:
        names = {*self.protected, *other.protected}
        ends = [end for end in (self.untagged_until, other.untagged_until) if end is not None]
        return DecidedReviews(
            self.decided + other.decided,
            self.removed + other.removed,
            self.doomed + other.doomed,
            self.doomed_bytes + other.doomed_bytes,
            {name: self.protected.get(name, 0) + other.protected.get(name, 0) for name in sorted(names)},
            min(ends, default=None),
        )


@dataclass(frozen=True, slots=True)
class FreedBytes:
    """Files removed from the disk.

    Attributes:
        files: number of files.
        size_bytes: their total size.
    """

    files: int = 0
    size_bytes: int = 0

    def __add__(self, other: FreedBytes) -> FreedBytes:
        return FreedBytes(self.files + other.files, self.size_bytes + other.size_bytes)


@dataclass(frozen=True, slots=True)
class WaitingContent:
    """Work that the collection has still to do.

    Attributes:
        reviews: number of reviews, by cause.
        due: number of reviews that are due.
        overdue: number of reviews that have been due for a day or more.
        often_tried: number of reviews that found a user more than ten times.
        doomed: files to be removed, and their size.
        freed: files removed so far, by cause.
    """

    reviews: Mapping[ReviewCause, int]
    due: int
    overdue: int
    often_tried: int
    doomed: FreedBytes
    freed: Mapping[ReviewCause, FreedBytes]


class Reviews(Protocol):
    """Port to the reviews of a store. All methods raise CatalogFault."""

    async def decide(self, rules: CollectionRules, most: int) -> DecidedReviews:
        """Decide up to ``most`` reviews that are due, in one transaction.

        A step that decides nothing means that nothing is due. Only then do caches and the usage of quotas show all that
        earlier steps have removed.
        """
        ...

    async def remove_bytes(self, grace: timedelta, most: int) -> FreedBytes:
        """Remove up to ``most`` files that were doomed at least ``grace`` ago. Raises StorageFault too."""
        ...

    async def removable(self, grace: timedelta) -> FreedBytes:
        """Count the files that :meth:`remove_bytes` would remove."""
        ...

    async def waiting(self, grace: Grace) -> WaitingContent:
        """Count what is still to be done."""
        ...

    async def doom_orphans(self, older_than: timedelta, prefix: str) -> int:
        """Find files without a row below one folder of the blobs, and doom them.

        Args:
            older_than: age of the last change of a file that counts.
            prefix: first two hexadecimal digits of the digests.

        Returns:
            The number of files found.
        """
        ...

    async def compare(self) -> Mapping[ReviewKind, int]:
        """Find content without a user that no review is about, and write a review for it.

        Returns:
            The number of rows found of each kind. A number above 0 means that a change has forgotten its review.
        """
        ...

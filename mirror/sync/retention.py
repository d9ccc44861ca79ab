"""Retention: selection of the tags that a rule may drop. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from mirror.oci import Digest, Tag
from mirror.oci.errors import ConfigurationFault
from mirror.transfer.tags.tag_selection import newest_first


@dataclass(frozen=True, slots=True)
class Retention:
    """Conditions of retention. A rule keeps each tag that meets at least one condition.

    Attributes:
        newest: number of tags to keep in each repository, newest version first. None if the condition is not set.
        pulled_within: time within which a kept tag was pulled or copied. None if the condition is not set.
    """

    newest: int | None = None
    pulled_within: timedelta | None = None

    def __post_init__(self) -> None:
        if self.newest is None and self.pulled_within is None:
            raise ConfigurationFault("keep: give newest, pulled_within, or both")
        if self.newest is not None and self.newest < 1:
            raise ConfigurationFault(f"keep.newest is {self.newest}: it must be at least 1")


@dataclass(frozen=True, slots=True)
class RetainedTag:
    """A tag that a rule has copied or is about to copy.

    Attributes:
        digest: local digest.
        brought_at: time at which the digest was copied.
        original: upstream digest. Differs from ``digest`` if the tag is a copy with changes.
    """

    digest: Digest
    brought_at: datetime
    original: Digest


def surplus(
    tags: Mapping[Tag, RetainedTag],
    retention: Retention,
    pinned: Mapping[Tag, Digest],
    pulled: Collection[str],
    now: datetime,
) -> frozenset[Tag]:
    """Select the tags that need not be kept.

    Pinned tags are always kept, and so is the last tag pointing to a pinned digest.

    Args:
        tags: tags of one repository that the rule has copied or is about to copy.
        retention: conditions of retention.
        pinned: pinned tags with their digests.
        pulled: names of tags, and digests, pulled within ``retention.pulled_within``.
        now: current time.
    """
    kept = set(pinned) & set(tags)
    if retention.newest is not None:
        kept.update(newest_first(tags)[: retention.newest])
    if retention.pulled_within is not None:
        since = now - retention.pulled_within
        # A pull may name the tag, or only the digest: engines resolve the tag first and then read by digest.
        kept.update(
            tag
            for tag, one in tags.items()
            if one.brought_at >= since or tag.name in pulled or str(one.digest) in pulled
        )
    # A pin names an upstream digest, while the local tag may point to a copy with changes: compare the originals.
    for digest in set(pinned.values()) - {tags[tag].original for tag in kept}:
        kept.update(newest_first(tag for tag, one in tags.items() if one.original == digest)[:1])
    return frozenset(tags.keys() - kept)

"""Retention: the choice of the tags that a rule has brought and need not keep. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from mirror.oci import Digest, Tag
from mirror.oci.errors import ConfigurationFault
from mirror.transfer.tag_selection import newest_first


@dataclass(frozen=True, slots=True)
class Retention:
    """The conditions of retention: a rule keeps the tags that meet one of them.

    Attributes:
        newest: a number: the newest tags of a repository, by the version in the tag.
        pulled_within: a span: the tags that were pulled, or brought, within that time.
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
    """A tag that a rule has brought, or is about to.

    Attributes:
        digest: the local digest.
        brought_at: when the digest was brought.
        original: the upstream digest, which is another one where the tag is a copy with changes.
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
    """Choose the tags that need not be kept.

    A pinned tag is always kept, and so is the last tag that leads to a digest that is pinned.

    Args:
        tags: the tags that the rule has brought into one repository, or is about to.
        retention: the conditions.
        pinned: tags that are held, and their digests.
        pulled: tags and digests that were pulled within ``retention.pulled_within``.
        now: the moment of the choice.
    """
    kept = set(pinned) & set(tags)
    if retention.newest is not None:
        kept.update(newest_first(tags)[: retention.newest])
    if retention.pulled_within is not None:
        since = now - retention.pulled_within
        kept.update(
            tag
            for tag, one in tags.items()
            if one.brought_at >= since or tag.name in pulled or str(one.digest) in pulled
        )
    for digest in set(pinned.values()) - {tags[tag].original for tag in kept}:
        kept.update(newest_first(tag for tag, one in tags.items() if one.original == digest)[:1])
    return frozenset(tags.keys() - kept)

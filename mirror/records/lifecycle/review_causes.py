"""Events that leave content without a user."""

from __future__ import annotations

from enum import StrEnum


class ReviewCause(StrEnum):
    """Event that left content without a user. Each cause has a grace of its own."""

    #: A blob was pushed or mounted, or a manifest was pushed without a tag. Whatever is to use it comes later.
    STORED = "stored"
    #: Content was pulled through, or brought by a mirror rule or a bundle.
    FETCHED = "fetched"
    #: A tag was moved to another manifest.
    MOVED = "moved"
    #: A client, a rule or an operator deleted a tag, manifest or blob.
    DELETED = "deleted"
    #: Retention dropped a tag.
    RETIRED = "retired"
    #: The budget of pull-through evicted a tag.
    EVICTED = "evicted"
    #: A comparison of the whole catalog found content that no review was about.
    FOUND = "found"
    #: A file of the data folder has no row in the catalog.
    ORPHAN = "orphan"

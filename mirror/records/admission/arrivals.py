"""Records of the sources of plugins: the upstream or the repository that each came from, and when it was first seen.

A context variable tells the store about the source, because manifests pass through wrappers that other callers use as
well, as with :data:`mirror.runtime.current_rule.RULE`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from mirror.oci import Digest, Repository


@dataclass(frozen=True, slots=True)
class ContentSource:
    """Source of the manifests that are stored.

    Attributes:
        upstream: name of the upstream; empty for a repository of this registry.
        repository: repository at the source.
        original: digest of the manifest at the source, if it differs from the stored one, which is a derived copy.
    """

    upstream: str
    repository: Repository
    original: Digest | None = None


#: Source of what the current task stores. None for what clients push.
SOURCE: Final[ContextVar[ContentSource | None]] = ContextVar("source", default=None)


@contextmanager
def coming_from(source: ContentSource) -> Iterator[None]:
    """Name the source of all manifests that are stored in a context, and in tasks that are created there."""
    before = SOURCE.set(source)
    try:
        yield
    finally:
        SOURCE.reset(before)


@dataclass(frozen=True, slots=True)
class FirstSight:
    """The first time that this mirror saw a manifest at an upstream.

    Attributes:
        upstream: name of the upstream.
        seen_at: the time, in UTC, by the clock of this mirror.
    """

    upstream: str
    seen_at: datetime


class Arrivals(Protocol):
    """Port that stores the sources of plugins by repository and digest.

    What a repository held already when it came from a source has no first sight: it was pushed, and a push is a fact.
    A copy within this registry has the sources of its original.
    """

    async def first_sight(self, repository: Repository, digest: Digest) -> FirstSight | None:
        """Return the first sight of a plugin, the earliest if it came from several upstreams.

        None if the plugin did not come from an upstream.
        """
        ...

    async def names(self, repository: Repository, digest: Digest) -> frozenset[Repository]:
        """Return the names that a plugin has at its sources."""
        ...

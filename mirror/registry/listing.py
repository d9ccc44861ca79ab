"""Iteration over complete lists, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from mirror.oci import Repository, Tag
from mirror.registry.port import Entry, Lister, Page
from mirror.wire.pagination import PageRequest


def all_repositories(lister: Lister) -> AsyncIterator[Repository]:
    """Iterate over every repository in ASCII order."""
    return _all(lister.list_repositories)


def all_tags(lister: Lister, repository: Repository) -> AsyncIterator[Tag]:
    """Iterate over every tag of a repository in ASCII order.

    Raises:
        RepositoryUnknown: the repository does not exist; raised by the first step of the iteration.
    """
    return _all(partial(lister.list_tags, repository))


async def _all(give: Callable[[PageRequest], Awaitable[Page[Entry]]]) -> AsyncIterator[Entry]:
    last: str | None = None
    while True:
        page = await give(PageRequest(last=last))
        for entry in page.entries:
            yield entry
        # A page may claim to be followed by more and yet be empty. Its last entry is needed to ask for the next page.
        if not page.more or not page.entries:
            return
        last = str(page.entries[-1])

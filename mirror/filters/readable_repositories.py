"""List of repositories for a caller who may read only some of them."""

from __future__ import annotations

from operator import attrgetter
from typing import Final

from mirror.access.rights import AccessAction, Rights
from mirror.oci import Repository
from mirror.registry.port import Lister, Page
from mirror.wire.pagination import PageRequest

# Bounds on the names read at a time. The first part fits the page. Later parts grow, so readable names that lie far
# apart cost few calls.
_LEAST_PART: Final = 16
_LARGEST_PART: Final = 1000
_GROWTH: Final = 4


async def list_readable_repositories(inner: Lister, rights: Rights, page: PageRequest) -> Page[Repository]:
    """List the repositories from which a caller may pull.

    Only the ranges of names which can contain such repositories are read, in parts of growing size. The number of calls
    to ``inner`` depends neither on the page size nor on the number of other repositories. It is at most one for each
    range, plus one for each thousand names in the range.

    Args:
        inner: lists all repositories.
        rights: rights of the caller.
        page: requested part of the caller's list.
    """
    if page.size == 0:
        return Page(())
    allowed: list[Repository] = []
    position = page.last or ""
    part_size = min(max(page.size + 1, _LEAST_PART), _LARGEST_PART)
    for span in sorted(rights.spans(AccessAction.PULL), key=attrgetter("before")):
        # Ranges may overlap; no name is read twice.
        position = max(position, span.before)
        while span.last is None or position < span.last:
            part = await inner.list_repositories(PageRequest(part_size, position or None))
            for repository in part.entries:
                if rights.allows(AccessAction.PULL, repository):
                    # One name beyond the page was found, so there is a next page.
                    if len(allowed) == page.size:
                        return Page(tuple(allowed), more=True)
                    allowed.append(repository)
            if not part.more:
                return Page(tuple(allowed))
            position = part.entries[-1].name
            part_size = min(part_size * _GROWTH, _LARGEST_PART)
    return Page(tuple(allowed))

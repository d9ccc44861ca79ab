"""The list of repositories as somebody sees it who may read a part of them."""

from __future__ import annotations

from operator import attrgetter
from typing import Final

from mirror.access.rights import AccessAction, Rights
from mirror.oci import Repository
from mirror.registry.port import Lister, Page
from mirror.wire.pagination import PageRequest

_LEAST_PART: Final = 16
_LARGEST_PART: Final = 1000
_GROWTH: Final = 4


async def list_readable_repositories(inner: Lister, rights: Rights, page: PageRequest) -> Page[Repository]:
    """Names of the repositories that may be pulled from.

    Only the runs of names are read in which such repositories can lie, in parts that grow. So how often ``inner`` is
    asked depends neither on the length of the page nor on how many repositories there are beside them: it is at most
    once a run, and once more for each thousand names in it.

    Args:
        inner: lists all repositories.
        rights: what the caller may do.
        page: which part of what they may see is wanted.
    """
    if page.size == 0:
        return Page(())
    allowed: list[Repository] = []
    position = page.last or ""
    part_size = min(max(page.size + 1, _LEAST_PART), _LARGEST_PART)
    for span in sorted(rights.spans(AccessAction.PULL), key=attrgetter("before")):
        position = max(position, span.before)
        while span.last is None or position < span.last:
            part = await inner.list_repositories(PageRequest(part_size, position or None))
            for repository in part.entries:
                if rights.allows(AccessAction.PULL, repository):
                    if len(allowed) == page.size:
                        return Page(tuple(allowed), more=True)
                    allowed.append(repository)
            if not part.more:
                return Page(tuple(allowed))
            position = part.entries[-1].name
            part_size = min(part_size * _GROWTH, _LARGEST_PART)
    return Page(tuple(allowed))

"""Pagination of names by ``?n=``, ``?last=`` and ``Link`` (distribution-spec, "Listing Tags")."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from mirror.oci.errors import ClientFault

#: Largest page, in entries, and the page size if ``n`` is absent.
MAX_PAGE = 10_000
_LINK = re.compile(r"<([^<>]*)>((?:\s*;\s*(?:[^,;\"]|\"[^\"]*\")+)*)")
_ORIGIN = re.compile(r"\A(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/]*")
# One link may have several relations, separated by spaces.
_REL_NEXT = re.compile(r";\s*rel\s*=\s*(?:\"(?:[^\"]*\s)?next(?:\s[^\"]*)?\"|next)\s*(?:;|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A requested part of a sorted list.

    Attributes:
        limit: most entries wanted, from 0 to :data:`MAX_PAGE`; None for :data:`MAX_PAGE`.
        last: the page begins after this entry; None to begin at the start of the list.
    """

    limit: int | None = None
    last: str | None = None

    @classmethod
    def parse(cls, query: Mapping[str, Sequence[str]]) -> PageRequest:
        """Parse ``n`` and ``last``. A number above :data:`MAX_PAGE` counts as :data:`MAX_PAGE`.

        Raises:
            ClientFault: ``n`` is not a whole number.
        """
        numbers, lasts = query.get("n", ()), query.get("last", ())
        limit: int | None = None
        if numbers and numbers[0]:
            text = numbers[0]
            if not (text.isascii() and text.isdigit()):
                raise ClientFault(f"n={text[:32]} is not a number of entries", n=text[:32])
            # Longer numbers exceed MAX_PAGE anyway, and int() raises above its limit of digits.
            significant = text.lstrip("0") or "0"
            limit = MAX_PAGE if len(significant) > 9 else min(int(significant), MAX_PAGE)
        return cls(limit, lasts[0] if lasts and lasts[0] else None)

    @property
    def size(self) -> int:
        """Most entries in the requested page."""
        return MAX_PAGE if self.limit is None else self.limit

    def query(self) -> Iterable[tuple[str, str]]:
        """Yield the query parameters ``n`` and ``last`` as pairs, without absent ones."""
        if self.limit is not None:
            yield "n", str(self.limit)
        if self.last is not None:
            yield "last", self.last


def next_link(url: str) -> str:
    """Return the value of a ``Link`` header pointing to the next page at ``url``."""
    return f'<{url}>; rel="next"'


def parse_next_link(header: str | None) -> str | None:
    """Return path and query of the next page in a ``Link`` header; None if there is no next page.

    Scheme and host of the link are dropped, so that the next request goes to the same registry.
    """
    for match in _LINK.finditer(header or ""):
        if _REL_NEXT.search(match[2]):
            url, _, query = match[1].partition("#")[0].partition("?")
            path = _ORIGIN.sub("", url)  # an invalid host must not end the list
            # A request line has no spaces and no control characters.
            return f"{path}?{quote(query, safe=string.punctuation)}" if query else path
    return None

"""Pages of names: ``?n=`` and ``?last=`` on the way in, ``Link`` on the way out (distribution-spec, "Listing Tags")."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from mirror.oci.errors import ClientFault

#: Longest page given, in entries; also what is given where ``n`` is absent.
MAX_PAGE = 10_000
_LINK = re.compile(r"<([^<>]*)>((?:\s*;\s*[^,;]+)*)")
_REL_NEXT = re.compile(r";\s*rel\s*=\s*\"?next\"?\s*(?:;|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which part of a sorted list is wanted.

    Attributes:
        limit: most entries wanted, 0 to :data:`MAX_PAGE`; None for as many as one page holds.
        last: the entry after which the page begins, itself left out; None for the start.
    """

    limit: int | None = None
    last: str | None = None

    @classmethod
    def parse(cls, query: Mapping[str, Sequence[str]]) -> PageRequest:
        """Read ``n`` and ``last``.

        Raises:
            ClientFault: ``n`` is not a whole number.
        """
        numbers, lasts = query.get("n", ()), query.get("last", ())
        limit: int | None = None
        if numbers and numbers[0]:
            text = numbers[0]
            if not (text.isascii() and text.isdigit()):
                raise ClientFault(f"n={text[:32]} is not a number of entries", n=text[:32])
            limit = MAX_PAGE if len(text) > 9 else min(int(text), MAX_PAGE)
        return cls(limit, lasts[0] if lasts and lasts[0] else None)

    @property
    def size(self) -> int:
        """Most entries in the page asked for."""
        return MAX_PAGE if self.limit is None else self.limit

    def query(self) -> Iterable[tuple[str, str]]:
        """The parameters, for a URL."""
        if self.limit is not None:
            yield "n", str(self.limit)
        if self.last is not None:
            yield "last", self.last


def next_link(url: str) -> str:
    """A ``Link`` header that leads to the page at ``url``."""
    return f'<{url}>; rel="next"'


def parse_next_link(header: str | None) -> str | None:
    """The path and query of the next page in a ``Link`` header, without scheme and host; None where there is none."""
    for match in _LINK.finditer(header or ""):
        if _REL_NEXT.search(match[2]):
            try:
                parts = urlsplit(match[1])
            except ValueError:
                return None
            return f"{parts.path}?{parts.query}" if parts.query else parts.path
    return None

"""Entity tags and the conditions ``If-None-Match`` and ``If-Range`` (RFC 9110, sections 8.8.3 and 13.1).

The entity tag of content is its digest in quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mirror.oci import Digest

_ANY: Final = "*"
# One element of the list with the comma after it. Clients of docker-registry send digests without quotes as well.
# Possessive quantifiers, so that hostile input cannot make the matcher backtrack.
_ELEMENT: Final = re.compile(r'[ \t,]*+(?:W/)?+(?:"([!#-~\x80-\U0010ffff]*+)"|([!#-+\--~]++))[ \t]*+(?:,|\Z)')


def entity_tag(digest: Digest) -> str:
    """Return the ``ETag`` of content with this digest."""
    return f'"{digest}"'


@dataclass(frozen=True, slots=True)
class IfNoneMatch:
    """The content that a client has already.

    Attributes:
        tags: the opaque parts of its entity tags, without quotes. Weak tags are included, because the comparison is
            weak (RFC 9110, section 13.1.2).
        is_any: True for ``*``, which matches any existing content.
    """

    tags: frozenset[str] = frozenset()
    is_any: bool = False

    @classmethod
    def parse(cls, lines: Iterable[str]) -> IfNoneMatch:
        """Parse the values of the ``If-None-Match`` headers, which form one list.

        A list with a malformed element is ignored, so that the client gets the content.
        """
        text = ",".join(lines).strip(" \t,")
        if text == _ANY:
            return cls(is_any=True)
        tags: set[str] = set()
        position = 0
        while position < len(text):
            found = _ELEMENT.match(text, position)
            # "*" is not an element of a list.
            if found is None or found[2] == _ANY:
                return cls()
            tags.add(found[2] if found[1] is None else found[1])
            position = found.end()
        return cls(frozenset(tags))

    def matches(self, digest: Digest) -> bool:
        """Return True if the client has the content with this digest, so that the answer is 304."""
        return self.is_any or str(digest) in self.tags


def if_range_matches(header: str, digest: Digest) -> bool:
    """Return True if ``If-Range`` names the content with this digest, so that ``Range`` counts.

    The comparison is strong: a weak tag never matches, nor does a date, because no answer has ``Last-Modified``.
    """
    return header.strip(" \t") == entity_tag(digest)

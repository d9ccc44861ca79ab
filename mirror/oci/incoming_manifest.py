"""Parsing of manifests from clients and upstreams, with a bound on the time that parsing takes."""

from __future__ import annotations

from typing import Final

from mirror.oci.digest import Digest
from mirror.oci.errors import ManifestInvalid
from mirror.oci.manifest import Manifest

#: Approximate limit of values in an incoming manifest. Commas and opening brackets are counted, also those in strings,
#: because counting bytes is much cheaper than parsing. An index of 10 000 members with a dozen annotations each has
#: 200 000 values. Without this limit, parsing a dense manifest of 4 MiB would take a second.
MAX_VALUES: Final = 256 * 1024
#: Limit of quotation marks: an object member with a string value has four. The index above has 700 000. The parser
#: reads one object without interruption, which takes a tenth of a second for so many members.
MAX_QUOTES: Final = 720_000


def parse_incoming(content: bytes, media_type: str, digest: Digest | None = None) -> Manifest:
    """Return the manifest in bytes from a client or an upstream.

    Args and errors as for :meth:`Manifest.parse`.

    Raises:
        ManifestInvalid: also if the manifest has too many values.
    """
    # Each value takes at least one byte of its own, so smaller manifests need no count.
    if len(content) > MAX_VALUES and (
        sum(map(content.count, (b",", b"[", b"{"))) > MAX_VALUES or content.count(b'"') > MAX_QUOTES
    ):
        raise ManifestInvalid(f"the manifest has too many members: at most {MAX_VALUES} values are accepted")
    return Manifest.parse(content, media_type, digest)

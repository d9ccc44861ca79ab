"""Manifests that come from a client or an upstream: read as all are, within a bound on what that costs."""

from __future__ import annotations

from typing import Final

from mirror.oci.digest import Digest
from mirror.oci.errors import ManifestInvalid
from mirror.oci.manifest import Manifest

#: Most values of an incoming manifest, about: its commas and opening brackets are counted, also those within texts.
#: An index of 10 000 members with a dozen annotations each has 200 000. Of what is denser, 4 MiB would take a second.
MAX_VALUES: Final = 256 * 1024
#: Most quotation marks: four for each member of an object whose value is a text. The same index has 700 000. One object
#: is read in one go, which nothing else can interrupt: with so many members, for a tenth of a second.
MAX_QUOTES: Final = 720_000


def parse_incoming(content: bytes, media_type: str, digest: Digest | None = None) -> Manifest:
    """Read a manifest that comes in.

    Args and errors as for :meth:`Manifest.parse`.

    Raises:
        ManifestInvalid: also where it has too many values.
    """
    if len(content) > MAX_VALUES and (
        sum(map(content.count, (b",", b"[", b"{"))) > MAX_VALUES or content.count(b'"') > MAX_QUOTES
    ):
        raise ManifestInvalid(f"the manifest has too many members: at most {MAX_VALUES} values are accepted")
    return Manifest.parse(content, media_type, digest)

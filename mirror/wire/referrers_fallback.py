"""Tags used for referrers by registries without the API (distribution-spec, "Referrers Tag Schema") and by cosign."""

from __future__ import annotations

import re

from mirror.oci import Digest, Tag

_DIGEST_TAG = re.compile(r"sha(?:256|512)-[0-9a-f]{64}(?:\.[A-Za-z0-9._-]+)?")


def fallback_tag(subject: Digest) -> Tag:
    """Return the tag under which clients keep the index of referrers of ``subject``."""
    # The specification cuts the algorithm at 32 and the hex digits at 64 characters, so sha512 digests are shortened.
    return Tag(f"{subject.algorithm[:32]}-{subject.hex[:64]}")


def is_digest_tag(tag: Tag) -> bool:
    """Return True if the tag names a digest: a referrers index or, with a suffix, a cosign signature."""
    return _DIGEST_TAG.fullmatch(tag.name) is not None

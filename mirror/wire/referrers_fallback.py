"""Referrers where a registry has no API for them (distribution-spec, "Referrers Tag Schema"; cosign's own tags)."""

from __future__ import annotations

import re

from mirror.oci import Digest, Tag

_DIGEST_TAG = re.compile(r"sha(?:256|512)-[0-9a-f]{64}(?:\.[A-Za-z0-9._-]+)?")


def fallback_tag(subject: Digest) -> Tag:
    """The tag under which clients keep an index of what refers to ``subject``."""
    return Tag(f"{subject.algorithm[:32]}-{subject.hex[:64]}")


def is_digest_tag(tag: Tag) -> bool:
    """Whether a tag is made of a digest: that of an index of referrers, or, with an ending, of a signature."""
    return _DIGEST_TAG.fullmatch(tag.name) is not None

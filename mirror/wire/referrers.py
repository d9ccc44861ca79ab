"""Referrers where a registry has no API for them (distribution-spec, "Referrers Tag Schema")."""

from __future__ import annotations

from mirror.oci.digest import Digest
from mirror.oci.names import Tag


def fallback_tag(subject: Digest) -> Tag:
    """The tag under which clients keep an index of what refers to ``subject``."""
    return Tag(f"{subject.algorithm[:32]}-{subject.hex[:64]}")

"""Manifests that engines may read in another way than they look.

Names of members match whatever their case for Go's decoder, and a later member is laid over an earlier one of the same
name. What is an image here could be a plugin to an engine. No builder writes a name twice.
"""

from __future__ import annotations

import json
from typing import Any

from mirror.plugin.config import fold_key


def manifest_given_twice(content: bytes) -> str | None:
    """The name of a member that is there twice, in whatever case, and may say which config is meant, or of what type.

    Args:
        content: a manifest that :class:`mirror.oci.manifest.Manifest` has read.
    """
    members: list[tuple[str, Any]] = json.loads(content, object_pairs_hook=list)
    configs = [value for key, value in members if fold_key(key) == "config" and isinstance(value, list)]
    return next((twice for one in [members, *configs] if (twice := _twice(one)) is not None), None)


def _twice(members: list[tuple[str, Any]]) -> str | None:
    seen: set[str] = set()
    for key, _ in members:
        if fold_key(key) in seen:
            return key
        seen.add(fold_key(key))
    return None

"""Manifests and configurations that engines may read in another way than they look.

Names of members match whatever their case for Go's decoder. It keeps what an earlier member of the same name has set,
where a later one is null or does not say; which parts of a list it keeps depends on its version. No builder writes a
name twice, so what does is not trusted.
"""

from __future__ import annotations

import json
from typing import Any

from mirror.plugin.config import fold_key


class _Twice(ValueError):
    pass


def member_given_twice(content: bytes) -> str | None:
    """The name of a member that an object of the configuration has more than once, whatever its case; None: none has.

    Args:
        content: a configuration that :class:`mirror.plugin.config.PluginConfig` can read.
    """
    try:
        json.loads(content.decode("utf-8", "replace"), object_pairs_hook=_once)
    except _Twice as error:
        return str(error)
    return None


def manifest_given_twice(content: bytes) -> str | None:
    """The same of a manifest, where it matters: which config is meant, and of what type it is.

    Args:
        content: a manifest that :class:`mirror.oci.manifest.Manifest` has read.
    """
    members: list[tuple[str, Any]] = json.loads(content, object_pairs_hook=list)
    try:
        _once(members)
        for key, value in members:
            if fold_key(key) == "config" and isinstance(value, list):
                _once(value)
    except _Twice as error:
        return str(error)
    return None


def _once(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        folded = fold_key(key)
        if folded in seen:
            raise _Twice(key)
        seen.add(folded)

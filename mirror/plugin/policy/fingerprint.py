"""Fingerprints of a plugin: texts by which the same content is recognised under another digest. Pure.

A manifest has other digests under other algorithms, and under one more space. Two manifests with the same config and
the same layers are the same plugin to an engine, whatever else they say: how often they name a layer, or what they name
besides that engines pass over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mirror.oci import Digest, Manifest, media_types
from mirror.oci.digest import ALGORITHMS

#: What the fingerprint of a content begins with; those of bytes are digests.
_CONTENT: Final = "content-sha256:"


def bytes_fingerprints(manifest: bytes) -> tuple[str, ...]:
    """Compute the fingerprints of a manifest's bytes: their digest under every algorithm that is known here."""
    return tuple(str(Digest.of(manifest, algorithm)) for algorithm in ALGORITHMS)


def content_digests(manifest: Manifest) -> Sequence[Digest]:
    """Digests of the config of a plugin, then of the layers that engines unpack; empty where it has no config."""
    if manifest.config is None:
        return ()
    layers = (one.digest for one in manifest.layers if one.media_type in media_types.PLUGIN_LAYERS)
    return (manifest.config.digest, *layers)


def content_fingerprint(digests: Sequence[Digest]) -> str:
    """Compute the fingerprint of a plugin's content.

    Args:
        digests: sha256 digests of what :func:`content_digests` names.
    """
    if any(digest.algorithm != "sha256" for digest in digests):
        raise ValueError("content is told by sha256 digests alone: one content must have one fingerprint")
    config, *layers = [digest.hex for digest in digests]
    return _CONTENT + Digest.of("\n".join([config, *sorted(set(layers))]).encode()).hex


def is_content_fingerprint(fingerprint: str) -> bool:
    """Tell whether a fingerprint is that of config and layers, and not of a manifest's bytes."""
    return fingerprint.startswith(_CONTENT)

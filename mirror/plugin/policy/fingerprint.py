"""Fingerprints of a plugin: texts that identify the same content under another digest. Pure.

The digest of a manifest changes with the algorithm and with each added space. For an engine, two manifests with the
same config and the same layers are the same plugin, even if they repeat a layer or name other content that engines
ignore.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mirror.oci import Digest, Manifest, media_types
from mirror.oci.digest import ALGORITHMS

#: Prefix of fingerprints of content. Fingerprints of bytes are digests.
_CONTENT: Final = "content-sha256:"


def bytes_fingerprints(manifest: bytes) -> tuple[str, ...]:
    """Return the fingerprints of a manifest's bytes: their digest under every supported algorithm."""
    return tuple(str(Digest.of(manifest, algorithm)) for algorithm in ALGORITHMS)


def content_digests(manifest: Manifest) -> Sequence[Digest]:
    """Return the digests of a plugin's config and of the layers that engines unpack; empty without a config."""
    if manifest.config is None:
        return ()
    layers = (one.digest for one in manifest.layers if one.media_type in media_types.PLUGIN_LAYERS)
    return (manifest.config.digest, *layers)


def content_fingerprint(digests: Sequence[Digest]) -> str:
    """Return the fingerprint of a plugin's content. Order and repetition of layers do not matter.

    Args:
        digests: sha256 digests of the blobs that :func:`content_digests` names, in its order.

    Raises:
        ValueError: a digest is not sha256.
    """
    if any(digest.algorithm != "sha256" for digest in digests):
        raise ValueError("only sha256 digests identify content: each content must have one fingerprint")
    config, *layers = [digest.hex for digest in digests]
    # A rejection must hold however often, and in whatever order, a manifest names the layers (ADR 20).
    return _CONTENT + Digest.of("\n".join([config, *sorted(set(layers))]).encode()).hex


def is_content_fingerprint(fingerprint: str) -> bool:
    """Return True for a fingerprint of config and layers, False for the digest of a manifest."""
    return fingerprint.startswith(_CONTENT)

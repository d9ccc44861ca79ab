"""Readings of the layers of plugins, as documents of :mod:`mirror.plugin.reading.layers_reading`."""

from __future__ import annotations

from typing import Protocol

from mirror.oci import Digest


class Readings(Protocol):
    """Port that stores the reading of a plugin's layers by the digest of its manifest. Readings are derived data."""

    async def reading(self, digest: Digest, version: str) -> bytes | None:
        """Return the document of a manifest; None if there is none of this version."""
        ...

    async def record_reading(self, digest: Digest, version: str, document: bytes) -> None:
        """Record a document in place of an earlier one of the same manifest.

        Nothing is recorded if the store does not hold the manifest. Old documents of other manifests may be dropped.

        Raises:
            StorageFault: the store cannot be written.
        """
        ...

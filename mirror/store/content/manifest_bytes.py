"""Manifests, read from where their bytes are kept."""

from __future__ import annotations

from mirror.oci import Digest, Manifest
from mirror.oci.errors import ClientFault, StorageDamaged
from mirror.store.content.blob_files import BlobStorage


def load_manifest(blobs: BlobStorage, digest: Digest, media_type: str, size_bytes: int) -> Manifest:
    """Read and verify a manifest. Blocks.

    Raises:
        StorageDamaged: its bytes are not there, or are not what they were.
    """
    content = blobs.read(digest, size_bytes)
    try:
        return Manifest.parse_stored(content, media_type, digest)
    except ClientFault as error:
        raise StorageDamaged(f"the file of manifest {digest} is damaged: {error}", digest=digest) from error

"""Reads manifests from the blob storage."""

from __future__ import annotations

from mirror.oci import Digest, Manifest
from mirror.oci.errors import ClientFault, StorageDamaged
from mirror.store.content.blob_files import BlobStorage


def load_manifest(blobs: BlobStorage, digest: Digest, media_type: str, size_bytes: int) -> Manifest:
    """Read and verify a manifest. Blocks.

    Raises:
        StorageDamaged: the bytes of the manifest are missing, or are not those that were stored.
    """
    content = blobs.read(digest, size_bytes)
    try:
        return Manifest.parse_stored(content, media_type, digest)
    except ClientFault as error:
        blobs.suspects.add(digest)
        raise StorageDamaged(f"the file of manifest {digest} is damaged: {error}", digest=digest) from error

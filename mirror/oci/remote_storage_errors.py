"""Exception classes of storage on other machines, in the tree of :mod:`mirror.oci.errors`.

::

    StorageFault
    ├── BucketFault                  the bucket refuses requests
    │   └── BucketUnreachable        no connection to the bucket, or no answer in time; temporary
    ├── StorageDamaged
    │   └── NotCached                bytes that are in the bucket and not in the data folder
    └── CatalogFault
        └── CatalogUnreachable       the database does not answer, or not now; temporary
"""

from __future__ import annotations

from mirror.oci.errors import CatalogFault, StorageDamaged, StorageFault


class NotCached(StorageDamaged):
    """Stored bytes are not in the data folder, which is the cache of a bucket."""


class BucketFault(StorageFault):
    """The bucket that holds the blobs refuses requests."""

    reason = "bucket"


class BucketUnreachable(BucketFault):
    """The bucket that holds the blobs cannot be connected to, is too busy, or did not answer in time."""

    temporary = True
    reason = "bucket_unreachable"


class CatalogUnreachable(CatalogFault):
    """The database of the catalog does not answer, or not now."""

    temporary = True

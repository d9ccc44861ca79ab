"""The services that the parts of a store share."""

from __future__ import annotations

from dataclasses import dataclass

from mirror.records.lifecycle.pushed_tags import ImmutableTags, none_immutable
from mirror.runtime.clock import Clock
from mirror.store.catalog.catalog_cache import CatalogCache
from mirror.store.catalog.database import Catalog
from mirror.store.catalog.manifest_loader import ManifestLoader
from mirror.store.content.blob_files import BlobStorage
from mirror.store.content.cold_content import ColdReads
from mirror.store.uploads.adoption import Adoption


@dataclass(frozen=True, slots=True)
class StoreServices:
    """The services that each part of a store gets.

    Attributes:
        catalog: the database.
        cache: rows and manifests in memory.
        blobs: the files of blobs and manifests.
        manifests: loads manifests for their rows.
        clock: the time of day.
        adoption: stores finished files.
        cold: reads content that is in the bucket only.
        immutable: the tags that may not move.
    """

    catalog: Catalog
    cache: CatalogCache
    blobs: BlobStorage
    manifests: ManifestLoader
    clock: Clock
    adoption: Adoption
    cold: ColdReads
    immutable: ImmutableTags = none_immutable

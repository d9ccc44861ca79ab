"""The section ``storage``: the data folder, and its upkeep."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field

from mirror.settings.late_sections import late_section
from mirror.settings.section import Section
from mirror.settings.section_values import LONGEST_DAYS, MOST_BYTES, MOST_COUNT, FilePath
from mirror.settings.storage.collection_settings import CollectionSettings, UntaggedSettings, as_rules
from mirror.settings.storage.scrub_settings import ScrubSettings
from mirror.store.content.kept_free import KeptFree

if TYPE_CHECKING:
    from mirror.settings.storage.blob_settings import BlobSettings
    from mirror.settings.storage.catalog_settings import CatalogSettings
else:
    BlobSettings = late_section("storage.blob_settings:BlobSettings")
    CatalogSettings = late_section("storage.catalog_settings:CatalogSettings")


class StorageSettings(Section):
    """Settings of the data folder."""

    path: FilePath = Field(Path("data"), description="data folder with blobs and catalog, created if it is missing")
    catalog: CatalogSettings | None = Field(
        None, description="database of the catalog; without it, the catalog is a file in the data folder"
    )
    upload_expiry_hours: float = Field(
        24, gt=0, le=LONGEST_DAYS * 24, description="age at which an idle upload session expires, in hours"
    )
    empty_upload_expiry_minutes: float = Field(
        60,
        gt=0,
        le=LONGEST_DAYS * 24 * 60,
        description="age at which an upload session without any content expires, in minutes",
    )
    least_free_bytes: int = Field(
        64 * 1024 * 1024,
        ge=0,
        le=MOST_BYTES,
        description="space in bytes that new blobs leave free on the disk of the data folder. Blobs that would need it "
        "are refused, and /readyz says that writes fail while less is free",
    )
    least_free_inodes: int = Field(
        1000,
        ge=0,
        le=MOST_COUNT,
        description="the same for inodes (files and folders); at most a tenth of all inodes of the disk",
    )

    names_snapshot_minutes: float = Field(
        5,
        gt=0,
        le=LONGEST_DAYS * 24 * 60,
        description="least time between two snapshots of the names in the catalog, from which 'plugin-mirror recover' "
        "rebuilds a lost catalog, in minutes",
    )

    collection: CollectionSettings = CollectionSettings.model_construct()
    untagged: Annotated[tuple[UntaggedSettings, ...], BeforeValidator(as_rules)] = Field(
        (UntaggedSettings.model_construct(),),
        description="how long manifests stay that no tag and no other manifest needs; the first rule whose pattern "
        "matches the repository applies, and without one they stay for ever",
    )

    scrub: ScrubSettings = ScrubSettings.model_construct()
    blobs: BlobSettings | None = Field(
        None, description="a bucket that holds the blobs, with the data folder as its cache; omitted: the data folder"
    )

    @property
    def kept_free(self) -> KeptFree:
        """The part of the disk that new content leaves free."""
        return KeptFree(self.least_free_bytes, self.least_free_inodes)

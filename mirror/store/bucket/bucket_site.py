"""Guard against the bucket of another site: an object in the bucket and a row in the catalog have the same id."""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, insert, select

from mirror.oci.errors import ConfigurationFault
from mirror.store.bucket import object_rows
from mirror.store.catalog.database import Catalog
from mirror.store.catalog.tables.object_tables import site

if TYPE_CHECKING:
    from mirror.store.bucket.bucket import Bucket

#: Key of the marker.
MARKER: Final = "plugin-mirror.json"
_FORMAT: Final = 1


async def require_site(catalog: Catalog, bucket: Bucket, now: datetime) -> None:
    """Check that a bucket belongs to this catalog. An empty bucket belongs to it from then on.

    Raises:
        ConfigurationFault: the bucket is that of another site, is not a bucket of this program, or has a later format.
        BucketUnreachable, BucketFault: the bucket failed.
        CatalogFault: the catalog failed.
    """
    place = bucket.access.url
    own = await catalog.read(_find_site) or await catalog.write_uncached(lambda connection: _site(connection, now))
    found = await bucket.find(MARKER)
    if found is None:
        await _require_unused(catalog, bucket)
        await bucket.put(MARKER, json.dumps({"format": _FORMAT, "site": own}).encode())
        found = await bucket.find(MARKER)  # another site may have begun with the same empty bucket
    marker = _parsed(found or b"")
    if not isinstance(marker.get("format"), int):
        raise ConfigurationFault(
            f"{place} has a {MARKER} that this program has not written; fix: use another bucket or prefix"
        )
    if marker["format"] != _FORMAT:
        raise ConfigurationFault(
            f"{place} has format {marker['format']}, and this version knows format {_FORMAT}; "
            "fix: use the version that made it"
        )
    if marker.get("site") != own:
        raise ConfigurationFault(
            f"{place} belongs to site {str(marker.get('site'))[:36]}, and this data folder to site {own}; fix: use "
            "another prefix for this site, or the data folder with the catalog of the other one"
        )


async def require_no_bucket(catalog: Catalog) -> None:
    """Check that content of the catalog is not in a bucket. Raises ConfigurationFault."""
    if await catalog.read(object_rows.has_objects):
        raise ConfigurationFault(
            "the content of this data folder is in a bucket, and storage.blobs is not configured; fix: configure it "
            "again"
        )


async def require_migrated(catalog: Catalog) -> None:
    """Check that the content of the catalog is not in the data folder alone. Raises ConfigurationFault."""

    def read(connection: Connection) -> bool:
        return object_rows.has_content_without_object(connection) and not object_rows.has_objects(connection)

    if await catalog.read(read):
        raise ConfigurationFault(
            "the content of this data folder is on its disk, and storage.blobs wants it in a bucket; fix: remove "
            "storage.blobs, or begin with an empty folder and bring the content over with 'plugin-mirror bundle export "
            "--all' and 'bundle import'"
        )


async def _require_unused(catalog: Catalog, bucket: Bucket) -> None:
    place = bucket.access.url
    if await catalog.read(object_rows.has_objects):
        raise ConfigurationFault(
            f"{place} has no {MARKER}, and the catalog has content in a bucket; fix: correct storage.blobs.url, or "
            "bring the objects back"
        )
    async for listed in bucket.list_objects("blobs"):
        raise ConfigurationFault(
            f"{place} has no {MARKER}, and objects such as {listed.key}; fix: use another bucket or prefix"
        )


def _find_site(connection: Connection) -> str | None:
    found: str | None = connection.execute(select(site.c.id)).scalars().first()
    return found


def _site(connection: Connection, now: datetime) -> str:
    """Return the id of the site. Another process may have chosen it meanwhile."""
    found = _find_site(connection)
    if found is None:
        found = str(uuid.uuid4())
        connection.execute(insert(site), {"id": found, "made_at": now})
    return found


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}

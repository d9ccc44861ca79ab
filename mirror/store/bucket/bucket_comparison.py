"""Comparison of the list of a bucket with the catalog. Nothing else trusts a list."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from mirror.oci import Digest
from mirror.store.bucket import object_rows
from mirror.store.bucket.bucket import Bucket, ListedObject
from mirror.store.catalog.database import Catalog

#: A younger object may belong to a write that began after its row was looked for.
_YOUNG: Final = timedelta(days=1)
_IN_A_STEP: Final = 500


@dataclass(slots=True)
class BucketComparison:
    """Result of a comparison.

    Attributes:
        objects: number of objects with content in the bucket.
        size_bytes: their size.
        strays: objects of which no row tells.
        wrong: objects that are missing or have another size, with the problem.
    """

    objects: int = 0
    size_bytes: int = 0
    strays: list[ListedObject] = field(default_factory=list)
    wrong: list[tuple[object_rows.StoredObject, str]] = field(default_factory=list)


async def compare(catalog: Catalog, bucket: Bucket, now: datetime) -> BucketComparison:
    """List a bucket, and compare it with the rows of the catalog.

    Raises:
        BucketUnreachable, BucketFault: the bucket failed.
        CatalogFault: the catalog failed.
    """
    result, sizes, unsure = BucketComparison(), dict[str, int](), list[ListedObject]()
    async for listed in bucket.list_objects("blobs"):
        result.objects += 1
        result.size_bytes += listed.size_bytes
        sizes[listed.key] = listed.size_bytes
        if now - listed.changed_at > _YOUNG:
            unsure.append(listed)
    # Looked up after the list: what is not known now was not known before.
    keys = [listed.key for listed in unsure]
    unknown = await catalog.read_long(partial(object_rows.unknown_keys, keys=keys))
    result.strays = [listed for listed in unsure if listed.key in unknown]
    after = ""
    while step := await catalog.read_long(partial(object_rows.next_stored, after=after, most=_IN_A_STEP)):
        after = step[-1].key
        for stored in step:
            if sizes.get(stored.key) != stored.size_bytes and (problem := await _problem(bucket, stored)):
                result.wrong.append((stored, problem))
    return result


async def _problem(bucket: Bucket, stored: object_rows.StoredObject) -> str:
    """Ask about one object: it may have been written after the list."""
    held_bytes = await bucket.find_size(stored.key)
    if held_bytes is None:
        return "the object is missing from the bucket"
    if held_bytes != stored.size_bytes:
        return f"the object in the bucket has {held_bytes} bytes, not {stored.size_bytes}"
    return ""


async def doom_wrong(catalog: Catalog, result: BucketComparison, now: datetime) -> list[Digest]:
    """Doom the objects that a comparison found wrong, so that their content gets others. Return their digests."""
    for stored, _ in result.wrong:
        await catalog.write_uncached(partial(object_rows.doom_object, key=stored.key, now=now))
    return [stored.digest for stored, _ in result.wrong]

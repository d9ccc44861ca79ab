"""A server of the version before, which runs on after a newer one has updated the catalog."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, delete, insert

from mirror.oci import Manifest
from mirror.store.catalog import rows
from mirror.store.catalog.tables.content_tables import manifests, tags
from mirror.store.registry import Store
from tests.support.builders import OTHER, REPOSITORY, push_blob, push_image
from tests.support.clocks import HandClock
from tests.support.collecting import collect_now, content_of, kept_bytes
from tests.support.damage import scrub


async def push_as_before(store: Store, clock: HandClock, image: Manifest) -> None:
    """Push a manifest, whose bytes are there, without the rows that came with the collection."""

    def write(connection: Connection) -> None:
        key = {"repository_id": rows.ensure_repository(connection, REPOSITORY), "digest": str(image.digest)}
        row = {**key, "media_type": image.media_type, "created_at": clock.now()}
        connection.execute(insert(manifests), row)
        connection.execute(insert(tags), {**key, "name": "1.0", "updated_at": clock.now()})

    await store.services.catalog.write(write)


async def test_its_images_stay_and_a_scrub_reads_what_they_name(folder: Path, store: Store, clock: HandClock) -> None:
    image = await push_image(store, "image", repository=OTHER)
    for blob in image.blobs:
        await store.mount_blob(REPOSITORY, blob.digest, OTHER)
    await push_as_before(store, clock, image)
    await store.delete_manifest(OTHER, image.digest)
    assert "a manifest that cannot be read" in (await collect_now(store, clock)).decided.protected
    assert kept_bytes(folder) == content_of(image)

    await scrub(store)
    await push_blob(store, b"in no manifest")
    await collect_now(store, clock)
    assert kept_bytes(folder) == content_of(image)


async def test_what_it_deletes_is_found(folder: Path, store: Store, clock: HandClock) -> None:
    await push_image(store, "image", "1.0")
    await collect_now(store, clock)
    await store.services.catalog.write(lambda connection: connection.execute(delete(manifests)))
    await store.records.reviews.compare()
    await collect_now(store, clock)
    assert kept_bytes(folder) == set()

"""Writing to the store: bytes first, row second."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, bindparam, select

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import TagPushed
from mirror.oci.media_types import OCTET_STREAM
from mirror.records.admission.arrivals import SOURCE
from mirror.runtime.current_rule import RULE
from mirror.store.catalog import rows
from mirror.store.catalog.damage_rows import is_whole
from mirror.store.catalog.manifest_rows import hold_manifest, referrer_columns
from mirror.store.catalog.pushes.charged_push import PUSH, pusher
from mirror.store.catalog.pushes.push_rows import charge_blob
from mirror.store.catalog.tables.content_tables import blobs, repositories, repository_blobs
from mirror.store.catalog.tables.content_tables import tags as tags_table
from mirror.store.catalog.tag_guards import require_movable
from mirror.store.records.admission.arrival_rows import note_arrival
from mirror.store.store_services import StoreServices

_HELD_SOMEWHERE = (
    select(blobs.c.size_bytes)
    .join(repository_blobs, repository_blobs.c.digest == blobs.c.digest)
    .where(blobs.c.digest == bindparam("digest"), is_whole(blobs.c.digest))
    .limit(1)
)
_HELD_THERE = _HELD_SOMEWHERE.join(repositories, repositories.c.id == repository_blobs.c.repository_id).where(
    repositories.c.name == bindparam("source")
)
_PUSHED = (
    select(tags_table.c.name)
    .join(repositories, repositories.c.id == tags_table.c.repository_id)
    .where(
        repositories.c.name == bindparam("name"),
        tags_table.c.name.in_(bindparam("wanted", expanding=True)),
        tags_table.c.pushed,
    )
    .limit(1)
)


class StoreWriter:
    """The part of :class:`mirror.registry.port.Writer` without uploads."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._blobs = services.blobs
        self._adoption = services.adoption
        self._clock = services.clock
        self._immutable = services.immutable

    async def mount_blob(self, repository: Repository, digest: Digest, source: Repository | None) -> Descriptor | None:
        def find(connection: Connection) -> int | None:
            wanted = {"digest": str(digest), "source": source and source.name}
            return connection.execute(_HELD_SOMEWHERE if source is None else _HELD_THERE, wanted).scalar_one_or_none()

        if await self._catalog.read(find) is None:
            return None  # the most frequent answer, which needs no writer's turn

        charged, now = PUSH.get(), self._clock.now()

        def mount(connection: Connection) -> int | None:
            # Looked up again: the blob may have been deleted before this turn.
            size_bytes = find(connection)
            if size_bytes is not None:
                charge_blob(connection, charged, repository, digest, now)
                rows.add_blob(connection, repository, digest, now, pusher(charged))
            return size_bytes

        size_bytes = await self._catalog.write(mount)
        return None if size_bytes is None else Descriptor(OCTET_STREAM, digest, size_bytes)

    async def find_blob(self, digest: Digest) -> Descriptor | None:
        """Find a blob in any repository, as :meth:`mount_blob` without a source does. Return None if there is none."""
        wanted = {"digest": str(digest)}
        size_bytes = await self._catalog.read(lambda connection: connection.scalar(_HELD_SOMEWHERE, wanted))
        return None if size_bytes is None else Descriptor(OCTET_STREAM, digest, size_bytes)

    async def put_manifest(
        self, repository: Repository, manifest: Manifest, tags: Collection[Tag] = ()
    ) -> tuple[str, ...]:
        referrer = referrer_columns(manifest)
        # Read here: the transaction runs in a thread that has no context of its own.
        now, pushed, charged, source = self._clock.now(), not RULE.get(), PUSH.get(), SOURCE.get()

        def hold(connection: Connection) -> None:
            if not pushed:
                _require_unpushed(connection, repository, tags)
            require_movable(connection, repository, manifest.digest, tags, self._immutable)
            if source is not None:
                note_arrival(connection, repository, manifest, source, now)
            hold_manifest(
                connection,
                repository,
                manifest,
                tags,
                now=now,
                referrer=referrer,
                pushed=pushed,
                charged=charged,
            )
            # In the transaction that moves the tags: pull-through must not take them for its own any more.
            rows.forget_origins(connection, repository, [tag.name for tag in tags], now)

        async with self._blobs.staged(manifest.content) as file:
            size_bytes = manifest.size_bytes
            await self._adoption.adopt(file, manifest.digest, size_bytes=size_bytes, now=now, hold=hold)
        return ()


def _require_unpushed(connection: Connection, repository: Repository, tags: Collection[Tag]) -> None:
    """Raise TagPushed if a client has pushed one of the tags.

    A rule decides before it copies the blobs. A client may push meanwhile, and a push wins (ADR 37).
    """
    wanted = {"name": repository.name, "wanted": [tag.name for tag in tags]}
    tag = connection.execute(_PUSHED, wanted).scalar_one_or_none() if tags else None
    if tag is not None:
        raise TagPushed(
            f"{repository}:{tag} was pushed here during the run; fix: delete the tag here to have it mirrored",
            name=repository,
            reference=tag,
        )

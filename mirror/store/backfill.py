"""Work that is done once in a data folder of an earlier version: rows that are derived from the bytes of manifests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import structlog
from sqlalchemy import Connection, bindparam, or_, select
from sqlalchemy import and_ as both

from mirror.oci import Digest, Manifest, Repository
from mirror.oci.digest import new_hasher
from mirror.oci.errors import StorageFault
from mirror.plugin.policy import fingerprint
from mirror.store.catalog import child_rows, rows
from mirror.store.catalog.child_rows import KEPT
from mirror.store.catalog.tables.access_tables import decisions
from mirror.store.catalog.tables.catalog_format import MANIFESTS_INDEXED
from mirror.store.catalog.tables.content_tables import ChildKind, blobs, finished_work
from mirror.store.content.manifest_bytes import load_manifest
from mirror.store.records.sql_records import SqlRecords
from mirror.store.storage_threads import in_thread
from mirror.store.store_services import StoreServices

_LOG = structlog.get_logger(__name__)

#: Manifests that are read between two transactions. Only one of them is in memory at a time.
_IN_A_STEP: Final = 200

_IS_FINISHED = select(finished_work.c.name).where(finished_work.c.name == MANIFESTS_INDEXED)
_NEXT = (
    select(KEPT.c.repository, KEPT.c.digest, KEPT.c.media_type, blobs.c.size_bytes)
    .join(blobs, blobs.c.digest == KEPT.c.digest)
    .where(
        or_(
            KEPT.c.repository > bindparam("after_repository"),
            both(KEPT.c.repository == bindparam("after_repository"), KEPT.c.digest > bindparam("after_digest")),
        )
    )
    .order_by(KEPT.c.repository, KEPT.c.digest)
    .limit(_IN_A_STEP)
)
_REJECTED = select(decisions.c.repository, decisions.c.digest).where(decisions.c.approved.is_(False))


@dataclass(frozen=True, slots=True)
class _Indexed:
    """A held manifest and what it names; None if the manifest is damaged."""

    repository: str
    digest: str
    named: Sequence[tuple[str, ChildKind]] | None
    of_plugin: bool


class Backfill:
    """The part of an update that migrations cannot do, because they see only rows."""

    def __init__(self, services: StoreServices, records: SqlRecords) -> None:
        self._catalog = services.catalog
        self._blobs = services.blobs
        self._clock = services.clock
        self._records = records

    async def run(self) -> None:
        """Index the manifests of an earlier data folder, and find the fingerprints that its rejections cover.

        An interrupted run starts again from the beginning. Damaged manifests are skipped and logged.

        Raises:
            CatalogFault, StorageFull: the catalog cannot be read or written.
        """
        if await self._catalog.read(lambda connection: connection.execute(_IS_FINISHED).scalar_one_or_none()):
            return
        looked_at, plugins, damaged = 0, 0, 0
        after = {"after_repository": "", "after_digest": ""}
        while True:
            # A transaction for each step: other processes can write in between.
            step = await self._catalog.read(partial(_next, after))
            found = await in_thread("index manifests", self._manifests_of, step)
            if found:
                await self._catalog.write(partial(_index, found))
            looked_at += len(found)
            plugins += sum(one.of_plugin for one in found)
            damaged += sum(one.named is None for one in found)
            if len(step) < _IN_A_STEP:
                break
            after = {"after_repository": step[-1].repository, "after_digest": step[-1].digest}
        rejected = await self._cover_rejected()
        # Recorded last: an interrupted run must be repeated.
        row = {"name": MANIFESTS_INDEXED, "finished_at": self._clock.now()}
        await self._catalog.write(lambda connection: rows.put(connection, finished_work, row))
        if looked_at:
            told = {"manifests": looked_at, "plugins": plugins, "rejected": rejected, "damaged": damaged}
            _LOG.info("manifest index built for an earlier data folder", **told)

    def _manifests_of(self, step: Sequence[Any]) -> list[_Indexed]:
        """Return what manifests name. Blocks."""
        found = []
        for row in step:
            try:
                manifest = load_manifest(self._blobs, Digest.parse(row.digest), row.media_type, row.size_bytes)
            except StorageFault as error:
                _LOG.warning("stored manifest could not be read", name=row.repository, error=str(error), **error.detail)
                found.append(_Indexed(row.repository, row.digest, None, of_plugin=False))
                continue
            named = child_rows.children_of(manifest)
            found.append(_Indexed(row.repository, row.digest, named, of_plugin=manifest.may_be_plugin))
        return found

    async def _cover_rejected(self) -> int:
        """Make earlier rejections cover the content of their plugins, in every repository. Return their number."""
        from mirror.store.records.admission.sql_decisions import cover  # late: nearly all folders are up to date

        rejected = await self._catalog.read(lambda connection: connection.execute(_REJECTED).all())
        for row in rejected:
            repository, digest = Repository(row.repository), Digest.parse(row.digest)
            try:
                found = await self._records.plugins.plugin_anywhere(digest)
            except StorageFault:
                continue  # the step above has logged the damaged manifest
            if found is not None:
                covered = await self._fingerprints(found[1])
                await self._catalog.write(partial(cover, repository=repository, digest=digest, fingerprints=covered))
        return len(rejected)

    async def _fingerprints(self, manifest: Manifest) -> set[str]:
        """Return all fingerprints of a held plugin. Blobs without a sha256 digest are read and hashed."""
        found = set(fingerprint.bytes_fingerprints(manifest.content))
        content = fingerprint.content_digests(manifest)
        if not content:
            return found
        sizes_bytes = {one.digest: one.size_bytes for one in (manifest.config, *manifest.layers) if one is not None}
        try:
            named = [await self._sha256(one, sizes_bytes[one]) for one in content]
        except StorageFault:
            return found  # a blob is missing: the content is covered when it comes
        return {*found, fingerprint.content_fingerprint(named)}

    async def _sha256(self, digest: Digest, size_bytes: int) -> Digest:
        if digest.algorithm == "sha256":
            return digest
        hasher = new_hasher("sha256")
        async with self._blobs.open(digest, size_bytes, None) as blob:
            async for chunk in blob:
                hasher.update(chunk)
        return Digest("sha256", hasher.hexdigest())


def _next(after: Mapping[str, str], connection: Connection) -> Sequence[Any]:
    return connection.execute(_NEXT, after).all()


def _index(found: Sequence[_Indexed], connection: Connection) -> None:
    for one in found:
        if one.named is None:
            child_rows.write_unread(connection, one.repository, one.digest)
        else:
            child_rows.write(connection, one.repository, one.digest, one.named, of_plugin=one.of_plugin)

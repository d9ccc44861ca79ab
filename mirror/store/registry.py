"""The store: a registry in a data folder, for many processes at once."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from mirror.records.lifecycle.pushed_tags import ImmutableTags, none_immutable
from mirror.runtime.clock import Clock, SystemClock
from mirror.runtime.files import private_files
from mirror.store.backfill import Backfill
from mirror.store.bucket.bucket_site import require_migrated, require_no_bucket
from mirror.store.catalog.catalog_cache import CatalogCache
from mirror.store.catalog.database import Catalog
from mirror.store.catalog.databases.catalog_database import CatalogDatabase
from mirror.store.catalog.databases.sqlite_database import SqliteDatabase
from mirror.store.catalog.generation import Generation
from mirror.store.catalog.manifest_loader import ManifestLoader
from mirror.store.content.blob_files import FilesystemBlobStorage
from mirror.store.content.cold_content import ColdReads
from mirror.store.content.data_layout import DataLayout, is_ours
from mirror.store.content.disk_room import DiskRoom
from mirror.store.content.filesystem import Filesystem
from mirror.store.content.folder_access import require_access
from mirror.store.content.folder_use import require_restored, shared_use
from mirror.store.content.kept_free import KeptFree
from mirror.store.content.volume import Volume
from mirror.store.deleter import StoreDeleter
from mirror.store.lister import StoreLister
from mirror.store.monitoring import Monitoring
from mirror.store.reader import StoreReader
from mirror.store.records.sql_records import SqlRecords
from mirror.store.storage_threads import in_thread
from mirror.store.store_services import StoreServices
from mirror.store.uploads.adoption import Adoption
from mirror.store.uploads.session_limits import SessionLimits
from mirror.store.uploads.upload_sessions import UploadSessions
from mirror.store.writer import StoreWriter

if TYPE_CHECKING:  # imported with a bucket only
    from mirror.store.bucket.bucket import Bucket
    from mirror.store.bucket.cache_budget import CacheBudget
    from mirror.store.bucket.stored_objects import StoredObjects
    from mirror.store.uploads.download_leases import DownloadLeases

_LOG = structlog.get_logger(__name__)
_CACHE_BYTES = 64 * 1024 * 1024
#: Space that is kept back for SQLite on a full disk.
_RESERVE_BYTES = 1024 * 1024


class Store:
    """Implements :class:`mirror.registry.port.Registry`, composed of parts. Made by :meth:`open`.

    Attributes:
        services: the catalog and the other services that the parts share.
        records: the records kept beside content.
        monitoring: the state of the store for its operator.
        uploads: the upload sessions of clients.
        downloads: the downloads from upstreams; a :class:`mirror.transfer.partial_store.PartialStore`.
        cold_downloads: the same for stored content that is in the bucket only; None without a bucket.
        objects: the objects of the bucket; None without a bucket.
        cache_budget: makes room in the data folder as the cache of the bucket; None without a bucket.
    """

    def __init__(self, services: StoreServices, uploads: UploadSessions, volume: Volume) -> None:
        self.services = services
        self.objects = services.adoption.objects
        self.cache_budget: CacheBudget | None = None
        self.cold_downloads: DownloadLeases | None = None
        self._volume = volume
        self.records = SqlRecords(services)
        self.monitoring = Monitoring(services, uploads, volume)
        self.uploads = uploads
        self.downloads = uploads.downloads
        self.token_key = volume.token_key
        self.audit_key = volume.audit_key
        # Methods are bound, not forwarded: a forwarding coroutine would add its cost to each pull.
        reader, writer = StoreReader(services), StoreWriter(services)
        deleter, lister = StoreDeleter(services), StoreLister(services)
        self.resolve, self.get_manifest = reader.resolve, reader.get_manifest
        self.stat_blob, self.open_blob = reader.stat_blob, reader.open_blob
        self.stat_pullable_blob = reader.stat_blob
        self.begin_upload, self.resume_upload = uploads.begin, uploads.resume
        self.mount_blob, self.put_manifest = writer.mount_blob, writer.put_manifest
        self.find_blob = writer.find_blob
        self.delete_tag, self.delete_manifest = deleter.delete_tag, deleter.delete_manifest
        self.delete_blob, self.check_deletable = deleter.delete_blob, deleter.check_deletable
        self.list_repositories, self.list_tags = lister.list_repositories, lister.list_tags
        self.list_referrers = lister.list_referrers

    def _use_cache(self, layout: DataLayout, objects: StoredObjects, limit_bytes: int | None) -> None:
        """Use the data folder as the cache of a bucket, and read cold content as a command does."""
        from mirror.store.bucket.cache_budget import CacheBudget
        from mirror.store.bucket.object_source import ObjectSource
        from mirror.store.uploads.cold_fetching import WholeFetching
        from mirror.store.uploads.cold_lease import ColdLease

        blobs, catalog = self.services.blobs, self.services.catalog
        self.cold_downloads = self.uploads.downloads_by(ColdLease)
        self.cache_budget = CacheBudget(layout, blobs, catalog, self._volume, limit_bytes)
        self.services.cold.content = WholeFetching(blobs, self.cold_downloads, ObjectSource(objects))

    def adapt(self, *, session_limits: SessionLimits, kept_free: KeptFree, keeps_changes: bool) -> None:
        """Work with other settings from now on. The arguments are those of :meth:`open`."""
        self.uploads.limits = session_limits
        self._volume.keep_free(kept_free)
        self.services.catalog.keep_changes(wanted=keeps_changes)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: Path,
        *,
        clock: Clock | None = None,
        max_blob_bytes: int | None = None,
        session_limits: SessionLimits | None = None,
        cache_bytes: int = _CACHE_BYTES,
        filesystem: Filesystem | None = None,
        kept_free: KeptFree | None = None,
        private_state: Path | None = None,
        immutable: ImmutableTags = none_immutable,
        keeps_changes: bool = False,
        database: Callable[[DataLayout], CatalogDatabase] = SqliteDatabase,
        bucket: Bucket | None = None,
        cache_limit_bytes: int | None = None,
    ) -> AsyncIterator[Store]:
        """Open the store in a data folder. Create the store or update its tables, if needed.

        Any number of processes may open the same data folder. A forked process must open the store itself.

        Args:
            path: the data folder, on a local disk. It is created if its parent exists.
            clock: the time of day; None for the clock of the machine.
            max_blob_bytes: largest blob accepted; None for no limit.
            session_limits: limits on the number of open upload sessions; None for the defaults.
            cache_bytes: approximate memory for cached manifests.
            filesystem: changes the files; None for the operating system's.
            kept_free: the part of the disk that new content leaves free; None for none.
            private_state: folder of :func:`mirror.store.private_state.private_state`; None for a writable data folder.
            immutable: the tags that may not move.
            keeps_changes: True to record who changes what, for the readers of changes.
            database: opens the database of the catalog.
            bucket: the bucket that holds the content; the data folder is its cache then. None for the data folder.
            cache_limit_bytes: size of the cache; None for what the disk has.

        Raises:
            StorageFault, StorageFull, CatalogFault: the folder cannot be used.
            ConfigurationFault: the content of the folder is in a bucket and none is given, or the other way round.
        """
        layout = DataLayout(path, private_state)
        clock = clock or SystemClock()
        filesystem = filesystem or Filesystem()
        tables = database(layout)
        try:
            await in_thread(f"open the data folder {path}", _prepare, layout, filesystem, tables)
        except BaseException:
            tables.close()
            raise
        blobs = FilesystemBlobStorage(layout, filesystem, is_cache=bucket is not None)
        async with (
            _shared(layout),
            Generation.open(layout.generation) as generation,
            Catalog.open(tables, generation, blobs.flush, keeps_changes=keeps_changes) as catalog,
        ):
            # The names of the catalog and its log must be as durable as the changes acknowledged in them.
            await in_thread(f"open the data folder {path}", filesystem.sync_folder, layout.state)
            objects: StoredObjects | None = None
            if private_state is None:
                await (require_no_bucket(catalog) if bucket is None else require_migrated(catalog))
            if private_state is None and bucket is not None:
                from mirror.store.bucket.stored_objects import StoredObjects

                objects = StoredObjects(catalog, bucket, clock)
            adoption, cold = Adoption(catalog, blobs, objects), ColdReads()
            room = DiskRoom(path, kept_free or KeptFree())
            uploads = UploadSessions(
                layout,
                filesystem=filesystem,
                room=room,
                clock=clock,
                adoption=adoption,
                max_blob_bytes=max_blob_bytes,
                limits=session_limits or SessionLimits(),
            )
            volume = Volume(layout, filesystem, room)
            cache = CatalogCache(generation, cache_bytes)
            manifests = ManifestLoader(catalog, blobs, cache, cold)
            services = StoreServices(catalog, cache, blobs, manifests, clock, adoption, cold, immutable)
            store = cls(services, uploads, volume)
            if objects is not None:
                store._use_cache(layout, objects, cache_limit_bytes)
            await Backfill(services, store.records).run()
            yield store


@asynccontextmanager
async def _shared(layout: DataLayout) -> AsyncIterator[None]:
    with ExitStack() as stack:
        await in_thread(f"open the data folder {layout.root}", stack.enter_context, shared_use(layout))
        yield


def _prepare(layout: DataLayout, filesystem: Filesystem, tables: CatalogDatabase) -> None:
    if layout.private_state is None:
        require_access(layout)
        require_restored(layout)
        _prepare_root(layout, filesystem)
    for folder in layout.folders():
        filesystem.make_folder(folder)
    # Synced even if they existed: the process that created them may have died before its sync.
    for parent in {folder.parent for folder in layout.folders()}:
        filesystem.sync_folder(parent)
    tables.make_ready()
    if layout.private_state is None:
        _keep_reserve(layout)


def _prepare_root(layout: DataLayout, filesystem: Filesystem) -> None:
    is_new = not layout.root.exists()
    filesystem.make_folder(layout.root)
    if is_new:
        layout.root.chmod(0o700)  # even if the parent is shared with a group
    _keep_private(layout)
    with suppress(PermissionError):  # an administrator may have made the folder where this user cannot read
        filesystem.sync_folder(layout.root.parent)


def _keep_private(layout: DataLayout) -> None:
    """Take rights away from other users of the machine. The folder holds password hashes and private content."""
    changed = private_files.tighten(layout.root, is_ours)
    if changed:
        _LOG.info("data folder closed to other users", path=str(layout.root), files=changed)


def _keep_reserve(layout: DataLayout) -> None:
    """Reserve some space and inodes, or release them on a full disk. SQLite needs a little of both even to read."""
    found = os.statvfs(layout.state)
    free_bytes = found.f_bavail * found.f_frsize
    if free_bytes < _RESERVE_BYTES:
        layout.reserve.unlink(missing_ok=True)
    elif free_bytes > 4 * _RESERVE_BYTES and not layout.reserve.exists():
        with suppress(OSError):  # the store works without a reserve
            descriptor = private_files.open_file(layout.reserve, os.O_WRONLY | os.O_CREAT)
            try:
                os.posix_fallocate(descriptor, 0, _RESERVE_BYTES)
            finally:
                os.close(descriptor)
    spare = layout.spare_files
    if found.f_files and found.f_favail < len(spare):
        for file in spare:
            file.unlink(missing_ok=True)
    elif found.f_favail > 4 * len(spare):
        with suppress(OSError):
            for file in spare:
                os.close(private_files.open_file(file, os.O_WRONLY | os.O_CREAT))

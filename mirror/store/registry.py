"""The store: a registry in a data folder, for many processes at once."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import structlog

from mirror.runtime import private_files
from mirror.runtime.clock import Clock, SystemClock
from mirror.store.admissions import StoreAdmissions
from mirror.store.blobs import FilesystemBlobs
from mirror.store.cache import Cache
from mirror.store.catalog.engine import Catalog
from mirror.store.catalog.loss import require_catalog
from mirror.store.catching_up import StoreCatchingUp
from mirror.store.deleter import StoreDeleter
from mirror.store.derivations import StoreDerivations
from mirror.store.filesystem import Filesystem
from mirror.store.findings import StoreFindings
from mirror.store.generation import Generation
from mirror.store.hosts import StoreHosts
from mirror.store.incomplete import StoreIncomplete
from mirror.store.journal import StoreJournal
from mirror.store.layout import Layout, is_ours
from mirror.store.lister import StoreLister
from mirror.store.open_sessions import SessionLimits
from mirror.store.origins import StoreOrigins
from mirror.store.reader import StoreReader
from mirror.store.spool import StoreSpool
from mirror.store.threads import in_thread
from mirror.store.uploads import Uploads
from mirror.store.users import StoreUsers
from mirror.store.verdicts import StoreVerdicts
from mirror.store.volume import Volume
from mirror.store.watched import StoreWatched
from mirror.store.writer import StoreWriter

_LOG = structlog.get_logger(__name__)
_CACHE_BYTES = 64 * 1024 * 1024
_RESERVE_BYTES = 1024 * 1024


class Store(
    StoreReader,
    StoreWriter,
    StoreDeleter,
    StoreLister,
    StoreSpool,
    StoreIncomplete,
    StoreOrigins,
    StoreFindings,
    StoreDerivations,
    StoreVerdicts,
    StoreCatchingUp,
    StoreAdmissions,
    StoreJournal,
    StoreUsers,
    StoreHosts,
    StoreWatched,
):
    """Implements :class:`mirror.registry.port.Registry`; remembers findings, and what mirroring did.

    Made by :meth:`open`.
    """

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
    ) -> AsyncIterator[Store]:
        """Open the store in a data folder; create it, or bring it up to date, where that is needed.

        Any number of processes may have it open. Each must open it for itself, after it was forked.

        Args:
            path: the data folder, on a local disk; it is created, its parent must exist.
            clock: the time of day; the machine's own where not given.
            max_blob_bytes: largest blob accepted; None for no limit.
            session_limits: how many upload sessions clients may have open; the defaults where not given.
            cache_bytes: memory for manifests that were read, about.
            filesystem: what changes files; the operating system's where not given.

        Raises:
            StorageFault, StorageFull, CatalogFault: the folder cannot be used.
        """
        layout = Layout(path)
        clock = clock or SystemClock()
        filesystem = filesystem or Filesystem()
        await in_thread(f"open the data folder {path}", _prepare, layout, filesystem)
        blobs = FilesystemBlobs(layout, filesystem)
        async with (
            Generation.open(layout.generation) as generation,
            Catalog.open(layout, generation, blobs.settle) as catalog,
        ):
            # The catalog's own name must last as well as what is acknowledged in it.
            await in_thread(f"open the data folder {path}", filesystem.sync_folder, layout.root)
            uploads = Uploads(
                layout,
                filesystem=filesystem,
                clock=clock,
                blobs=blobs,
                catalog=catalog,
                max_blob_bytes=max_blob_bytes,
                limits=session_limits or SessionLimits(),
            )
            volume = Volume(layout, filesystem)
            cache = Cache(generation, cache_bytes)
            store = cls(catalog=catalog, blobs=blobs, uploads=uploads, volume=volume, cache=cache, clock=clock)
            await store.catch_up()
            yield store

    async def expire_uploads(self, older_than: timedelta, empty_older_than: timedelta | None = None) -> int:
        """Remove uploads, and what crashes have left of them, that nobody has written to for ``older_than``.

        Args:
            older_than: how long.
            empty_older_than: the same for uploads that hold nothing yet; as ``older_than`` where it is not given.

        Returns:
            How many were removed.
        """
        return await self._uploads.expire(older_than, empty_older_than)


def _prepare(layout: Layout, filesystem: Filesystem) -> None:
    is_new = not layout.root.exists()
    filesystem.make_folder(layout.root)
    if is_new:
        layout.root.chmod(0o700)  # whatever holds for the folder around it
    _keep_private(layout)
    folders = list(layout.folders())
    for folder in folders:
        filesystem.make_folder(folder)
    # Synced although they may have existed: whoever created them may have died before it could.
    for parent in {folder.parent for folder in folders}:
        filesystem.sync_folder(parent)
    with suppress(PermissionError):  # a folder that others made for us may lie where we cannot look
        filesystem.sync_folder(layout.root.parent)
    require_catalog(layout)
    with suppress(FileExistsError):  # the database gives its own files the rights of this one
        os.close(private_files.open_file(layout.catalog, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    _keep_reserve(layout)


def _keep_private(layout: Layout) -> None:
    """Keep what is there from other users of the machine: it holds hashes of passwords, and content for a few."""
    changed = private_files.tighten(layout.root, is_ours)
    if changed:
        _LOG.info("other users of the machine can no longer read the data folder", path=str(layout.root), files=changed)


def _keep_reserve(layout: Layout) -> None:
    """Keep some space back, or give it up where there is no other: the database needs a little even to be read."""
    free_bytes = shutil.disk_usage(layout.root).free
    if free_bytes < _RESERVE_BYTES:
        layout.reserve.unlink(missing_ok=True)
    elif free_bytes > 4 * _RESERVE_BYTES and not layout.reserve.exists():
        with suppress(OSError):  # without it we are no worse off than others
            descriptor = private_files.open_file(layout.reserve, os.O_WRONLY | os.O_CREAT)
            try:
                os.posix_fallocate(descriptor, 0, _RESERVE_BYTES)
            finally:
                os.close(descriptor)

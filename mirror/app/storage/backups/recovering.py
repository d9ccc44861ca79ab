"""Command ``recover``: a lost or damaged catalog is rebuilt from the blobs and the last snapshot of names."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from mirror.app.bucket.data_folder_only import require_data_folder_only
from mirror.app.services import open_store, require_data_folder
from mirror.oci import Repository
from mirror.oci.errors import ConfigurationFault
from mirror.records.changes.change import Change, ChangeKind
from mirror.runtime.clock import SystemClock
from mirror.settings import Settings
from mirror.store.content.blob_files import FilesystemBlobStorage
from mirror.store.content.data_layout import DataLayout
from mirror.store.content.filesystem import Filesystem
from mirror.store.content.folder_use import require_restored, sole_use
from mirror.store.recovery.catalog_exchange import catalog_problem, discard, exchange
from mirror.store.recovery.catalog_rebuilding import RebuiltCatalog, prepare, rebuild
from mirror.store.recovery.unnamed_manifests import FoundManifests, ManifestRecovery
from mirror.store.registry import Store
from mirror.store.storage_threads import in_thread

_CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class Recovery:
    """Result of a recovery.

    Attributes:
        problem: the reason for which the catalog was rebuilt; empty if it is whole, and nothing was changed.
        rebuilt: what is known about the rebuilt catalog.
        found: what the bytes of manifests told.
        repositories: number of repositories in the rebuilt catalog.
        tags: number of its tags.
        aside: path of the old catalog; None if there was none, or nothing was changed.
        is_done: True if the rebuilt catalog is in place.
    """

    problem: str
    rebuilt: RebuiltCatalog
    found: FoundManifests
    repositories: int = 0
    tags: int = 0
    aside: Path | None = None
    is_done: bool = False


async def recover(settings: Settings, repository: Repository, *, dry_run: bool = False) -> Recovery:
    """Rebuild the catalog, unless it is whole. No other process may use the data folder.

    Args:
        settings: ``storage.path`` is the data folder.
        repository: the repository for manifests whose names are not known.
        dry_run: True to put the rebuilt catalog nowhere.

    Raises:
        ConfigurationFault: there is no data folder, or the catalog is in another database.
        Busy: a server or another command uses the data folder.
        CatalogFault, StorageFault: the catalog cannot be rebuilt. The data folder is as it was.
    """
    require_data_folder_only(
        settings,
        "a catalog is rebuilt from the content of the data folder",
        "put a copy of the catalog back (docs/STORAGE.md)",
    )
    path = settings.storage.path
    require_data_folder(path)
    if settings.storage.catalog is not None or DataLayout(path).moved_catalog.exists():
        raise ConfigurationFault(
            "the catalog is in another database, and recover rebuilds a catalog in the data folder; fix: restore a "
            "backup of the database, or one of 'plugin-mirror backup' into an empty database"
        )
    layout, filesystem = DataLayout(path), Filesystem()
    with ExitStack() as stack:
        await in_thread("lock the data folder", stack.enter_context, sole_use(layout))
        await in_thread("look at the data folder", require_restored, layout)
        if not (problem := await in_thread("read the catalog", catalog_problem, layout)):
            return Recovery("", RebuiltCatalog(), FoundManifests())
        await in_thread("make a folder for the catalog", prepare, layout, filesystem)
        blobs = FilesystemBlobStorage(layout, filesystem)
        rebuilt = await in_thread("rebuild the catalog", rebuild, layout, blobs)
        # The rebuilt catalog is a store's catalog from here on: the store updates its tables and reads the manifests.
        async with Store.open(path, private_state=layout.recovering) as store:
            manifests = ManifestRecovery(store.services, repository)
            await manifests.remove_broken()
            await manifests.recover(rebuilt.unknown)
            repositories, tags = await manifests.counts()
        aside = None
        if not dry_run:
            aside = await in_thread("put the catalog in place", exchange, layout, filesystem, _CLOCK.now())
        else:
            await in_thread("remove the catalog", discard, layout)
    if not dry_run:
        async with open_store(settings, must_exist=True) as store:
            await store.records.changes.note(Change(ChangeKind.CATALOG_RECOVERED, "catalog", reason=problem))
    return Recovery(problem, rebuilt, manifests.found, repositories, tags, aside, is_done=not dry_run)

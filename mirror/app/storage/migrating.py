"""Command ``migrate``: the catalog moves to the database that another configuration names."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from mirror.app.database.catalog_opening import catalog_database
from mirror.app.services import open_store
from mirror.oci.errors import ConfigurationFault
from mirror.settings import Settings
from mirror.store.backup.catalog_export import export_catalog, import_catalog, require_new
from mirror.store.catalog.databases.catalog_database import CatalogDatabase
from mirror.store.content.data_layout import DataLayout
from mirror.store.content.filesystem import Filesystem
from mirror.store.content.folder_use import sole_use
from mirror.store.storage_errors import storage_faults
from mirror.store.storage_threads import in_thread


@dataclass(frozen=True)
class Migration:
    """Result of a migration.

    Attributes:
        source: place of the old catalog.
        target: place of the new one.
        kept: place where the old catalog is kept.
    """

    source: str
    target: str
    kept: str


async def migrate(source: Settings, target: Settings) -> Migration:
    """Move the catalog. No other process may use the data folder. An interrupted move leaves the old catalog in use.

    Args:
        source: settings that name the present catalog.
        target: settings that name the new one. Their data folder is the same.

    Raises:
        ConfigurationFault: the settings do not fit, or the new database has a catalog already.
        Busy: a server or another command uses the data folder.
        CatalogFault, StorageFault: a database or the disk failed.
    """
    _require_other(source, target)
    # Opened once, so that a catalog of an earlier version is updated and complete.
    async with open_store(source, must_exist=True):
        pass
    if target.storage.catalog is not None:
        await require_new_catalog(target)
    return await move_catalog(source, target)


async def require_new_catalog(settings: Settings) -> None:
    """Check that the database of a catalog has none. Raises ConfigurationFault, CatalogFault."""

    def check() -> None:
        with closing(catalog_database(settings)(DataLayout(settings.storage.path))) as database:
            require_new(database)

    await in_thread("read the catalog", check)


async def move_catalog(source: Settings, target: Settings) -> Migration:
    """Move a catalog whose tables are those of this version. Raises the errors of :func:`migrate`."""
    return await in_thread("move the catalog", _move, source, target)


def _move(source: Settings, target: Settings) -> Migration:
    layout = DataLayout(source.storage.path)
    with (
        sole_use(layout),
        closing(catalog_database(source)(layout)) as before,
        closing(catalog_database(target)(layout)) as after,
    ):
        if target.storage.catalog is None:
            kept = _to_file(before, layout)
        else:
            import_catalog(before, after)
            before.close()
            kept = _set_aside(before, layout) if source.storage.catalog is None else before.place
        return Migration(before.place, after.place, kept)


def _to_file(database: CatalogDatabase, layout: DataLayout) -> str:
    if layout.catalog.exists():
        raise ConfigurationFault(
            f"{layout.catalog} exists, and nothing was changed; fix: move it away, if it is an old catalog"
        )
    partial = layout.catalog.with_name(f"{layout.catalog.name}.restoring")
    filesystem = Filesystem()
    with storage_faults(f"write {layout.catalog}"):
        filesystem.remove(partial)
        export_catalog(database, partial)
        filesystem.rename(partial, layout.catalog)
        filesystem.remove(layout.moved_catalog)  # older than the catalog that comes back
        filesystem.sync_folder(layout.state)
    return database.place


def _set_aside(database: CatalogDatabase, layout: DataLayout) -> str:
    """Give the file of the old catalog another name, so that no program goes on with it."""
    filesystem, copy = Filesystem(), layout.moved_catalog
    with storage_faults(f"rename {layout.catalog}"):
        filesystem.rename(layout.catalog, copy)
        filesystem.sync_folder(layout.state)
    return str(copy)


def _require_other(source: Settings, target: Settings) -> None:
    folders: list[Path] = [each.storage.path.absolute() for each in (source, target)]
    if folders[0] != folders[1]:
        raise ConfigurationFault(
            f"the configurations name two data folders, {folders[0]} and {folders[1]}; fix: name one folder in both; "
            "'plugin-mirror backup' and 'restore' move a folder"
        )
    if source.storage.catalog == target.storage.catalog:
        raise ConfigurationFault(
            "both configurations name the same catalog; fix: write the new one to storage.catalog of --to-config"
        )

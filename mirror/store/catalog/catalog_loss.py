"""Detects a lost catalog. Content without a catalog must not look like an empty registry. All calls block."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from mirror.oci.errors import CatalogFault
from mirror.store.content.data_layout import DataLayout

_MAGIC: Final = b"SQLite format 3\0"


def require_catalog(layout: DataLayout) -> None:
    """Check that the catalog exists, or that there is no content yet.

    Call this before the database opens the catalog: SQLite would remove the ``-wal`` beside an empty catalog.

    Raises:
        CatalogFault: there is content, and the catalog is missing or empty; or the file is not a database.
        OSError: the catalog cannot be read.
    """
    if layout.catalog.exists() and not layout.catalog.is_file():
        raise CatalogFault(f"{layout.catalog} is not a file; fix: {_advice(layout)}")
    begins = _begins(layout)
    if begins and begins != _MAGIC:
        raise CatalogFault(f"{layout.catalog} is not a database; fix: {_advice(layout)}")
    # Another process may be creating the catalog now. It stores content only after that. So the catalog is looked for
    # again after content was found.
    if not begins and has_content(layout) and not _begins(layout):
        raise CatalogFault(
            f"{layout.catalog} is {'empty' if layout.catalog.exists() else 'missing'}, but the data folder has "
            f"content; fix: {_advice(layout)}"
        )


def require_no_content(layout: DataLayout) -> None:
    """Check that there is no content. Call it in a writer's turn, before creating the tables of a catalog without any.

    Raises:
        CatalogFault: there is content.
        OSError: the data folder cannot be searched for content.
    """
    if has_content(layout):
        raise CatalogFault(f"{layout.catalog} has no tables, but the data folder has content; fix: {_advice(layout)}")


def damaged(layout: DataLayout, error: CatalogFault) -> CatalogFault:
    """Return the error for a catalog that the database cannot read, with a fix."""
    return CatalogFault(f"{layout.catalog} is damaged ({error.detail['code']}); fix: {_advice(layout)}", **error.detail)


def has_content(layout: DataLayout) -> bool:
    """Return True if there is content, or a log of changes that SQLite has not moved into the catalog yet."""
    blobs = layout.root / "blobs"
    wal = layout.catalog.with_name(f"{layout.catalog.name}-wal")
    with suppress(FileNotFoundError):
        if wal.stat().st_size:
            return True
    return any(file.is_file() for file in blobs.glob("*/*/*"))


def _begins(layout: DataLayout) -> bytes:
    """Return the first bytes of the catalog, or none if the file is missing or empty."""
    try:
        with layout.catalog.open("rb") as file:
            return file.read(len(_MAGIC))
    except FileNotFoundError:
        return b""


def _advice(layout: DataLayout) -> str:
    if layout.moved_catalog.exists():
        return (
            "'plugin-mirror migrate' has moved the catalog; name its database in storage.catalog, or move it back with "
            "'plugin-mirror migrate'"
        )
    copies = sorted(layout.state.glob("catalog-*.sqlite"))
    copy = f" ({copies[-1].name} in the same folder is a copy made before an update)" if copies else ""
    return (
        f"stop the server and run 'plugin-mirror recover'; or restore a backup of the catalog{copy}; or, to begin with "
        "an empty registry, configure an empty folder as the data folder"
    )

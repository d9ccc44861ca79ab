"""Content whose catalog is lost: it is not taken for the beginning of an empty registry. All calls block."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from mirror.oci.errors import CatalogFault
from mirror.store.content.data_layout import DataLayout

_MAGIC: Final = b"SQLite format 3\0"


def require_catalog(layout: DataLayout) -> None:
    """See that the catalog is there, or that there is nothing it would have to know.

    It is looked at before the database opens it, which would drop the ``-wal`` beside an empty one.

    Raises:
        CatalogFault: it is missing, empty, or no database.
        OSError: it cannot be read.
    """
    if layout.catalog.exists() and not layout.catalog.is_file():
        raise CatalogFault(f"{layout.catalog} is no file: {_advice(layout)}")
    begins = _begins(layout)
    if begins and begins != _MAGIC:
        raise CatalogFault(f"{layout.catalog} is not a database: {_advice(layout)}")
    # Content comes only after a catalog, so one that another process is making just now is seen the second time.
    if not begins and _lost(layout) and not _begins(layout):
        raise CatalogFault(
            f"{layout.catalog} is {'empty' if layout.catalog.exists() else 'missing'}, and there is content "
            f"that it must know: {_advice(layout)}"
        )


def require_no_content(layout: DataLayout) -> None:
    """See that a catalog without tables is the beginning of an empty registry. To be called in the turn of a writer.

    Raises:
        CatalogFault: there is content. OSError: it cannot be looked for.
    """
    if _lost(layout):
        raise CatalogFault(f"{layout.catalog} has no tables, and there is content that it must know: {_advice(layout)}")


def damaged(layout: DataLayout, error: CatalogFault) -> CatalogFault:
    """The error for a catalog that the database cannot make sense of, with what to do."""
    return CatalogFault(f"{layout.catalog} is damaged ({error}): {_advice(layout)}", **error.detail)


def _lost(layout: DataLayout) -> bool:
    """Tell whether there is content, or a log that the database has not moved into the catalog yet."""
    blobs = layout.root / "blobs"
    wal = layout.catalog.with_name(f"{layout.catalog.name}-wal")
    with suppress(FileNotFoundError):
        if wal.stat().st_size:
            return True
    return any(file.is_file() for file in blobs.glob("*/*/*"))


def _begins(layout: DataLayout) -> bytes:
    """The first bytes of the catalog; none where it is missing or empty."""
    try:
        with layout.catalog.open("rb") as file:
            return file.read(len(_MAGIC))
    except FileNotFoundError:
        return b""


def _advice(layout: DataLayout) -> str:
    copies = sorted(layout.root.glob("catalog-*.sqlite"))
    copy = f" ({copies[-1].name} in the same folder is one, made before an update)" if copies else ""
    return (
        f"put a backup of it in its place{copy}, or, to begin with an empty registry, name an empty folder as "
        "the data folder"
    )

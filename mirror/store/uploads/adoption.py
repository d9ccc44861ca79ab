"""Bytes first, row second: how a finished file becomes content that somebody holds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from mirror.oci import Digest
from mirror.oci.errors import CatalogFault, StorageFault
from mirror.store.catalog import rows
from mirror.store.catalog.database import Catalog
from mirror.store.content.blob_files import BlobStorage


async def adopt(
    catalog: Catalog,
    blobs: BlobStorage,
    file: Path,
    digest: Digest,
    *,
    size_bytes: int,
    now: datetime,
    hold: Callable[[Connection], None],
) -> None:
    """Make a file the content of ``digest``, and write the rows of who holds it, in one transaction.

    The file is given its place last, and that is made to last before the commit: rows that were committed always have
    their bytes, and bytes that have no row, as a writer sees it, are always garbage.

    Args:
        catalog, blobs: where to.
        file: finished, synced and verified; in its new place when this returns, still in its old one where it raises.
        digest, size_bytes: of the file.
        now: when.
        hold: writes the rows; what it raises is raised, and nothing is changed.

    Raises:
        StorageFull, StorageFault: the disk failed.
        CatalogFault: the catalog failed; the file may have moved, and is left to collection then.
    """

    def store(connection: Connection) -> None:
        rows.add_content(connection, digest, size_bytes, now)
        hold(connection)
        blobs.adopt(file, digest)

    def take_back(connection: Connection) -> None:
        if not rows.knows_content(connection, digest):
            blobs.withdraw(digest, file)

    try:
        await catalog.write(store)
    except CatalogFault:
        raise  # whether the rows are there, the next crash may decide: the bytes must stay
    except StorageFault:
        # A disk that is full must not be kept full by what it had no room for.
        with suppress(StorageFault):
            await catalog.write(take_back)
        raise

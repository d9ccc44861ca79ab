"""Derivations: the origins of derived copies."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from mirror.oci import Digest
from mirror.records.derivations import Derivation
from mirror.store.catalog import rows
from mirror.store.catalog.tables.content_tables import derivations
from mirror.store.store_services import StoreServices

_MADE = select(derivations).where(derivations.c.digest == bindparam("digest"))


class SqlDerivations:
    """Implements :class:`mirror.records.derivations.Derivations`. A row is removed with the bytes of its manifest."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog

    async def record_derivation(self, digest: Digest, derivation: Derivation) -> None:
        known = await self.derivation(digest)
        if known is not None and (known.original, known.changes) == (derivation.original, derivation.changes):
            return  # keeps the first author and time
        row = _row(digest, derivation)
        await self._catalog.write_uncached(lambda connection: rows.put_about(connection, digest, derivations, row))

    async def derivation(self, digest: Digest) -> Derivation | None:
        wanted = {"digest": str(digest)}
        row = await self._catalog.read(lambda connection: connection.execute(_MADE, wanted).one_or_none())
        return None if row is None else derivation_of(row)


def derivation_of(row: Row[Any]) -> Derivation:
    """Read a derivation from a row."""
    original = Digest.parse(row.original)
    return Derivation(row.source, original, row.made_by, row.made_at, row.changes, tuple(row.changed))


def keep_derivation(connection: Connection, digest: Digest, derivation: Derivation) -> None:
    """Write the derivation of a manifest, unless one is recorded. Only inside :meth:`Catalog.write`."""
    if connection.execute(_MADE, {"digest": str(digest)}).one_or_none() is None:
        rows.put_about(connection, digest, derivations, _row(digest, derivation))


def _row(digest: Digest, derivation: Derivation) -> dict[str, object]:
    return {
        "digest": str(digest),
        "source": derivation.source,
        "original": str(derivation.original),
        "made_by": derivation.made_by,
        "made_at": derivation.made_at,
        "changes": dict(derivation.changes),
        "changed": list(derivation.changed),
    }

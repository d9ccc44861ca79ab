"""How copies with changes came about, kept beside them."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from mirror.oci.digest import Digest
from mirror.registry.derivations import Derivation
from mirror.store.catalog import rows
from mirror.store.catalog.tables import derivations
from mirror.store.parts import StoreParts


class StoreDerivations(StoreParts):
    """Implements :class:`mirror.registry.derivations.Derivations`. Goes when the manifest's bytes do."""

    async def record_derivation(self, digest: Digest, derivation: Derivation) -> None:
        known = await self.derivation(digest)
        if known is not None and (known.original, known.changes) == (derivation.original, derivation.changes):
            return
        values = {
            "source": derivation.source,
            "original": str(derivation.original),
            "made_by": derivation.made_by,
            "made_at": derivation.made_at,
            "changes": dict(derivation.changes),
            "changed": list(derivation.changed),
        }

        async def record(connection: AsyncConnection) -> None:
            if await rows.knows_content(connection, digest):
                await rows.put(connection, derivations, {"digest": str(digest)}, values)

        await self._catalog.write_aside(record)

    async def derivation(self, digest: Digest) -> Derivation | None:
        statement = select(derivations).where(derivations.c.digest == str(digest))
        async with self._catalog.read() as connection:
            row = (await connection.execute(statement)).one_or_none()
        if row is None:
            return None
        original = Digest.parse(row.original)
        return Derivation(row.source, original, row.made_by, row.made_at, row.changes, tuple(row.changed))

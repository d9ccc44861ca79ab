"""What was found out about plugins, kept beside them."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from mirror.oci.digest import Digest
from mirror.oci.errors import ManifestInvalid
from mirror.plugin.findings import Finding
from mirror.store.catalog import rows
from mirror.store.catalog.tables import findings as findings_table
from mirror.store.parts import StoreParts


class StoreFindings(StoreParts):
    """Findings by the digest of their manifest. They can always be found anew."""

    async def record_findings(self, digest: Digest, findings: tuple[Finding, ...]) -> None:
        """Keep what was found of a manifest that is held, in place of what was found before.

        Where the manifest's bytes are gone, or the same is known already, nothing is written.
        """
        if await self.recorded_findings(digest) == findings:
            return
        values = {"found": [finding.to_json() for finding in findings], "found_at": self._clock.now()}

        async def record(connection: AsyncConnection) -> None:
            if await rows.knows_content(connection, digest):
                await rows.put(connection, findings_table, {"digest": str(digest)}, values)

        await self._catalog.write(record)

    async def recorded_findings(self, digest: Digest) -> tuple[Finding, ...] | None:
        """What was found; None where nobody has looked, or another version that tells it in another way."""
        statement = select(findings_table.c.found).where(findings_table.c.digest == str(digest))
        async with self._catalog.read() as connection:
            found = (await connection.execute(statement)).scalar_one_or_none()
        if found is None:
            return None
        try:
            return tuple(Finding.from_json(item) for item in found)
        except (ManifestInvalid, TypeError):
            return None

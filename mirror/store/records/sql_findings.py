"""Findings about plugins, kept beside them."""

from __future__ import annotations

from sqlalchemy import bindparam, select

from mirror.oci import Digest
from mirror.oci.errors import ManifestInvalid
from mirror.plugin.findings.finding import Finding
from mirror.store.catalog import rows
from mirror.store.catalog.tables.content_tables import findings as findings_table
from mirror.store.store_services import StoreServices

_FOUND = select(findings_table.c.found).where(findings_table.c.digest == bindparam("digest"))


class SqlFindings:
    """Findings by the digest of their manifest. They are derived data and can be computed again."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._clock = services.clock

    async def record_findings(self, digest: Digest, findings: tuple[Finding, ...]) -> None:
        """Record the findings about a held manifest in place of earlier ones.

        Nothing is written if the bytes of the manifest are gone, or if the same findings are recorded already.
        """
        if await self.recorded_findings(digest) == findings:
            return
        found = [finding.to_json() for finding in findings]
        row = {"digest": str(digest), "found": found, "found_at": self._clock.now()}
        await self._catalog.write(lambda connection: rows.put_about(connection, digest, findings_table, row))

    async def recorded_findings(self, digest: Digest) -> tuple[Finding, ...] | None:
        """Return the findings. None if none are recorded, or another version recorded them in another form."""
        wanted = {"digest": str(digest)}
        found = await self._catalog.read(lambda connection: connection.execute(_FOUND, wanted).scalar_one_or_none())
        if found is None:
            return None
        try:
            return tuple(Finding.from_json(item) for item in found)
        except (ManifestInvalid, TypeError):
            return None

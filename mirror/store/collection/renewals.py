"""Renewals: an answer "you have it" moves the review of the content on, so that the client can rely on the answer."""

from __future__ import annotations

from datetime import datetime

import structlog
from sqlalchemy import Connection

from mirror.oci import Digest, Repository
from mirror.oci.errors import StorageFault
from mirror.records.lifecycle.reviews import ReviewKind
from mirror.store.catalog import review_rows
from mirror.store.store_services import StoreServices

_LOG = structlog.get_logger(__name__)


class Renewals:
    """Renews reviews that have waited for a while.

    Args:
        services: the catalog, its cache, and the clock.
    """

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._clock = services.clock

    def are_due(self, counts_from: datetime | None) -> bool:
        """Return True if a review counts from so long ago that an answer renews it."""
        return counts_from is not None and review_rows.is_old(counts_from, self._clock.now())

    async def renew(self, kind: ReviewKind, repository: Repository, digest: Digest) -> None:
        """Renew a review. The caller then reads the catalog again: what it has found may be outdated or gone.

        A catalog that cannot be written is no error: the client may then have to push the content again.
        """
        now = self._clock.now()

        def read(connection: Connection) -> datetime | None:
            return review_rows.counts_from(connection, kind, repository.name, str(digest))

        # Another process may have renewed it, which this process's cache does not show.
        if not review_rows.is_old(await self._catalog.read(read), now):
            return
        try:
            await self._catalog.write_uncached(
                lambda connection: review_rows.renew(connection, kind, repository.name, str(digest), now)
            )
        except StorageFault as error:
            _LOG.warning("review not renewed", error=str(error), **error.detail)

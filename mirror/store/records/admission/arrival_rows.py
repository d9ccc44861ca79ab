"""Rows about the sources of plugins. All functions run inside :meth:`Catalog.write`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select
from sqlalchemy.dialects.sqlite import insert  # PostgreSQL's insert() has the same methods

from mirror.oci import Manifest, Repository
from mirror.records.admission.arrivals import ContentSource
from mirror.store.catalog.child_rows import KEPT
from mirror.store.catalog.tables.access_tables import arrivals, first_sights

_HELD = select(KEPT.c.digest).where(KEPT.c.repository == bindparam("name"), KEPT.c.digest == bindparam("wanted"))
_OF = select(arrivals).where(arrivals.c.repository == bindparam("name"), arrivals.c.digest == bindparam("wanted"))
_SEEN = select(first_sights.c.seen_at).where(
    first_sights.c.upstream == bindparam("of_upstream"), first_sights.c.digest == bindparam("wanted")
)
_ARRIVED = insert(arrivals).on_conflict_do_nothing(index_elements=list(arrivals.primary_key))
_FIRST_SEEN = insert(first_sights).on_conflict_do_nothing(index_elements=list(first_sights.primary_key))


def note_arrival(
    connection: Connection, repository: Repository, manifest: Manifest, source: ContentSource, now: datetime
) -> None:
    """Note the source of a plugin before it is stored. Does nothing for other manifests.

    Args:
        connection: the connection of the transaction.
        repository: the repository that gets the plugin.
        manifest: its manifest.
        source: where it comes from.
        now: the present time.
    """
    if not manifest.may_be_plugin:
        return
    here = {"repository": repository.name, "digest": str(manifest.digest)}
    wanted = {"name": repository.name, "wanted": str(manifest.digest)}
    has_come, is_held = (connection.execute(statement, wanted).first() is not None for statement in (_OF, _HELD))
    was_pushed = is_held and not has_come
    original = str(source.original or manifest.digest)
    sources: Sequence[Row[Any]] = ()
    if not source.upstream:
        sources = connection.execute(_OF, {"name": source.repository.name, "wanted": original}).all()
        # A copy of what was pushed is as much a fact as the push.
        was_pushed = was_pushed or not any(known.upstream for known in sources)
    row = {**here, "upstream": source.upstream, "source": source.repository.name, "was_pushed": was_pushed}
    connection.execute(_ARRIVED, row)
    if source.upstream:
        seen = {"upstream": source.upstream, "digest": str(manifest.digest), "seen_at": now}
        connection.execute(_FIRST_SEEN, seen)
        return
    for known in sources:
        connection.execute(
            _ARRIVED,
            {**here, "upstream": known.upstream, "source": known.source, "was_pushed": was_pushed or known.was_pushed},
        )
        if known.upstream and source.original is not None:
            # A derived copy is as old as its original.
            seen_at = connection.execute(_SEEN, {"of_upstream": known.upstream, "wanted": original}).scalar_one()
            seen = {"upstream": known.upstream, "digest": str(manifest.digest), "seen_at": seen_at}
            connection.execute(_FIRST_SEEN, seen)

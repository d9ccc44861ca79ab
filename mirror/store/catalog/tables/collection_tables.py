"""Tables of the upkeep of storage: collection, holders of content, long work, damage, and quotas."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table

from mirror.store.catalog.tables.schema import UtcDateTime, keyed_table, metadata

#: Content that nothing may need any more, until the collection has decided about it. ``kind`` is a
#: :class:`mirror.records.lifecycle.reviews.ReviewKind`, ``repository`` is empty for content. The decision is due once
#: the grace of the cause has passed since ``counts_from``. ``since`` is the time of the first event, ``decided_at``
#: that of the last decision that postponed the review.
reviews = keyed_table(
    "reviews",
    Column("kind", String(8), primary_key=True),
    Column("repository", String(255), primary_key=True),
    Column("digest", String(140), primary_key=True),
    Column("cause", String(16), nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("counts_from", UtcDateTime, nullable=False),
    Column("decided_at", UtcDateTime),
    Column("attempts", Integer, nullable=False),
    Index(None, "cause", "counts_from"),
)

#: Content without a row in ``blobs``, whose bytes are removed later. A new push of the digest removes the row.
doomed_files = keyed_table(
    "doomed_files",
    Column("digest", String(140), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("cause", String(16), nullable=False),
    Column("doomed_at", UtcDateTime, nullable=False),
    Index(None, "doomed_at"),
)

#: Files and bytes removed from the disk, by day (``2026-11-29``, in UTC) and cause.
freed_content = keyed_table(
    "freed_content",
    Column("day", String(10), primary_key=True),
    Column("cause", String(16), primary_key=True),
    Column("files", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
)

#: Work under way that needs content to stay, such as an import. A row counts until ``until``, which its process moves
#: on while it works.
content_holders = keyed_table(
    "content_holders",
    Column("id", String(36), primary_key=True),
    Column("purpose", String(32), nullable=False),
    Column("detail", String, nullable=False),
    Column("began_at", UtcDateTime, nullable=False),
    Column("until", UtcDateTime, nullable=False),
)

#: The content that each holder needs. An empty repository stands for all repositories, an empty digest for all content.
held_content = keyed_table(
    "held_content",
    Column("holder", ForeignKey(content_holders.c.id, ondelete="CASCADE"), primary_key=True),
    Column("repository", String(255), primary_key=True),
    Column("digest", String(140), primary_key=True),
    Index(None, "digest"),
)

#: Tags and manifests that an operator has pinned. ``target`` is a tag or a digest.
pins = keyed_table(
    "pins",
    Column("repository", String(255), primary_key=True),
    Column("target", String(140), primary_key=True),
    Column("pinned_by", String(255), nullable=False),
    Column("pinned_at", UtcDateTime, nullable=False),
    Column("note", String, nullable=False),
)

#: Long work that goes on where it was after a restart, such as a scrub. ``position`` and ``state`` are the work's own.
long_work = keyed_table(
    "long_work",
    Column("name", String(64), primary_key=True),
    Column("started_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("position", String(255), nullable=False),
    Column("state", JSON, nullable=False),
)

#: Content whose bytes are damaged or missing. The row goes when the content is whole again, or no longer needed.
damaged_content = keyed_table(
    "damaged_content",
    Column("digest", String(140), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("problem", String, nullable=False),
    Column("found_at", UtcDateTime, nullable=False),
    Column("is_set_aside", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_attempt_at", UtcDateTime),
    Column("last_error", String, nullable=False),
)

#: Bytes that large uploads under way will add, by account of a quota. They count as used until ``until``.
quota_reservations = keyed_table(
    "quota_reservations",
    Column("scope", String(320), primary_key=True),
    Column("upload", String(140), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("until", UtcDateTime, nullable=False),
    Index(None, "upload"),
)

#: What pushes have added lately, by account of a quota. A process knows the usage of an account at one moment, and adds
#: the rows with higher ids, which are never used twice.
quota_additions = Table(
    "quota_additions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("scope", String(320), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("manifests", Integer, nullable=False),
    Column("tags", Integer, nullable=False),
    Column("added_at", UtcDateTime, nullable=False),
    Index(None, "scope", "id"),
    sqlite_autoincrement=True,
)

#: Pulls and bytes by upstream and rule (a mirror rule, or the ``to`` of a proxy rule): what clients received, and what
#: the upstream sent.
traffic = Table(
    "traffic",
    metadata,
    Column("upstream", String(64), primary_key=True),
    Column("rule", String(255), primary_key=True),
    Column("pulls", BigInteger, nullable=False),
    Column("served_bytes", BigInteger, nullable=False),
    Column("fetched_bytes", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

"""Tables of the bucket: the site, the objects that hold content, and those that are to be deleted."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, String

from mirror.store.catalog.tables.schema import UtcDateTime, keyed_table

#: The site of this catalog, in one row. The bucket has the same id.
site = keyed_table(
    "site",
    Column("id", String(36), primary_key=True),
    Column("made_at", UtcDateTime, nullable=False),
)

#: Objects in the bucket that hold content, or that a process is about to write. ``key`` is never used twice, ``state``
#: is a :class:`mirror.store.bucket.object_rows.ObjectState`.
bucket_objects = keyed_table(
    "bucket_objects",
    Column("key", String(255), primary_key=True),
    Column("digest", String(140), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("state", String(8), nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Index(None, "digest"),
    Index(None, "state", "made_at"),
)

#: Objects in the bucket that nothing needs, until they are deleted.
doomed_objects = keyed_table(
    "doomed_objects",
    Column("key", String(255), primary_key=True),
    Column("doomed_at", UtcDateTime, nullable=False),
    Index(None, "doomed_at"),
)

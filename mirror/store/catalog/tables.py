"""The catalog's tables. A change here is a migration beside, and a new :data:`HEAD`.

Names are compared byte by byte (SQLite's BINARY collation), which is the ASCII order that lists are given in.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
)

#: The migration that makes these tables.
HEAD: Final = "0001"

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)


class Moment(TypeDecorator[datetime]):
    """A time of day in UTC, also where the database keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC))


#: A row exists while the repository holds a blob or a manifest.
repositories = Table(
    "repositories",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
)

#: Content whose bytes are durable: blobs and manifests. A row may outlive its last holder until it is collected.
blobs = Table(
    "blobs",
    metadata,
    Column("digest", String(140), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("stored_at", Moment, nullable=False),
    sqlite_with_rowid=False,
)

#: Which repository holds which blob.
repository_blobs = Table(
    "repository_blobs",
    metadata,
    Column("repository_id", ForeignKey(repositories.c.id), primary_key=True),
    Column("digest", ForeignKey(blobs.c.digest), primary_key=True),
    Column("added_at", Moment, nullable=False),
    Index(None, "digest"),
    sqlite_with_rowid=False,
)

#: Which repository holds which manifest. ``artifact_type`` and ``annotations`` are those of its entry in the list of
#: referrers, and are kept only where it has a subject.
manifests = Table(
    "manifests",
    metadata,
    Column("repository_id", ForeignKey(repositories.c.id), primary_key=True),
    Column("digest", ForeignKey(blobs.c.digest), primary_key=True),
    Column("media_type", String(255), nullable=False),
    Column("subject", String(140)),
    Column("artifact_type", String),
    Column("annotations", JSON(none_as_null=True)),
    Column("created_at", Moment, nullable=False),
    Index(None, "digest"),
    Index(None, "repository_id", "subject", "digest"),
    sqlite_with_rowid=False,
)

tags = Table(
    "tags",
    metadata,
    Column("repository_id", Integer, primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("digest", String(140), nullable=False),
    Column("updated_at", Moment, nullable=False),
    ForeignKeyConstraint(
        ["repository_id", "digest"], ["manifests.repository_id", "manifests.digest"], ondelete="CASCADE"
    ),
    Index(None, "repository_id", "digest"),
    sqlite_with_rowid=False,
)

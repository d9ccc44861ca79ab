"""Tables of content: blobs, manifests and tags of repositories, and data about them."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    false,
)

from mirror.store.catalog.tables.schema import UtcDateTime, keyed_table, metadata


class ChildKind(StrEnum):
    """Way in which a manifest names a child."""

    #: The config, a layer, or a blob of an index.
    BLOB = "blob"
    #: A manifest of an index.
    MEMBER = "manifest"
    SUBJECT = "subject"
    #: The manifest is damaged, and may name anything. The child is empty.
    UNREAD = "unread"


#: Repositories. A row exists while the repository holds a blob or a manifest.
repositories = Table(
    "repositories",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
)

#: Blobs and manifests whose bytes are durable. A row may outlive its last holder until garbage collection.
blobs = keyed_table(
    "blobs",
    Column("digest", String(140), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("stored_at", UtcDateTime, nullable=False),
)

#: The blobs that each repository holds. ``pushed_by``, here and in the next tables, is the user who pushed.
repository_blobs = keyed_table(
    "repository_blobs",
    Column("repository_id", ForeignKey(repositories.c.id), primary_key=True),
    Column("digest", ForeignKey(blobs.c.digest), primary_key=True),
    Column("added_at", UtcDateTime, nullable=False),
    Column("pushed_by", String(255)),
    Index(None, "digest"),
)

#: The manifests that each repository holds. ``artifact_type`` and ``annotations`` are those of the manifest's entry in
#: the list of referrers. They are set only if the manifest has a subject.
manifests = keyed_table(
    "manifests",
    Column("repository_id", ForeignKey(repositories.c.id), primary_key=True),
    Column("digest", ForeignKey(blobs.c.digest), primary_key=True),
    Column("media_type", String(255), nullable=False),
    Column("subject", String(140)),
    Column("artifact_type", String),
    Column("annotations", JSON(none_as_null=True)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("pushed_by", String(255)),
    Index(None, "digest"),
    Index(None, "repository_id", "subject", "digest"),
)

#: The tags of each repository. Deleting a manifest deletes its tags. ``pushed`` is true if a client put the tag, and
#: false if a mirror rule or pull-through brought it (ADR 37).
tags = keyed_table(
    "tags",
    Column("repository_id", Integer, primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("digest", String(140), nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("pushed", Boolean, nullable=False, server_default=false()),
    Column("pushed_by", String(255)),
    ForeignKeyConstraint(
        ["repository_id", "digest"], ["manifests.repository_id", "manifests.digest"], ondelete="CASCADE"
    ),
    Index(None, "repository_id", "digest"),
)

#: Pulled-through manifests that name content which is not in their repository yet.
incomplete_manifests = keyed_table(
    "incomplete_manifests",
    Column("repository", String(255), primary_key=True),
    Column("digest", ForeignKey(blobs.c.digest), primary_key=True),
    Column("media_type", String(255), nullable=False),
    Column("kept_at", UtcDateTime, nullable=False),
    Index(None, "digest"),
)

#: Blobs and index members that incomplete manifests name.
incomplete_children = keyed_table(
    "incomplete_children",
    Column("repository", String(255), primary_key=True),
    Column("digest", String(140), primary_key=True),
    Column("manifest", String(140), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    ForeignKeyConstraint(
        ["repository", "manifest"],
        ["incomplete_manifests.repository", "incomplete_manifests.digest"],
        ondelete="CASCADE",
    ),
    Index(None, "repository", "manifest"),
)

#: Content that a manifest names and its repository lacks for a known reason. A row may be older than its manifest.
absent_content = keyed_table(
    "absent_content",
    Column("repository", String(255), primary_key=True),
    Column("manifest", String(140), primary_key=True),
    Column("digest", String(140), primary_key=True),
    Column("reason", String(32), nullable=False),
    Column("detail", String, nullable=False),
    Index(None, "repository", "digest"),
)

#: What each manifest names, incomplete manifests included. ``kind`` is a :class:`ChildKind`. A manifest that names
#: nothing has one row with an empty child.
manifest_children = keyed_table(
    "manifest_children",
    Column("repository", String(255), primary_key=True),
    Column("child", String(140), primary_key=True),
    Column("manifest", String(140), primary_key=True),
    Column("kind", String(8), primary_key=True),
    Column("of_plugin", Boolean, nullable=False),
    Index(None, "repository", "manifest"),
    Index(None, "child"),
)

#: Findings about manifests, in all repositories. Derived data, removed with the bytes of the manifest.
findings = keyed_table(
    "findings",
    Column("digest", ForeignKey(blobs.c.digest, ondelete="CASCADE"), primary_key=True),
    Column("found", JSON, nullable=False),
    Column("found_at", UtcDateTime, nullable=False),
)

#: Readings of the layers of plugins, by manifest, in all repositories. Derived data, removed with the bytes of the
#: manifest. The table has row ids, because documents of megabytes in the tree of a primary key would slow each search.
readings = Table(
    "readings",
    metadata,
    Column("digest", ForeignKey(blobs.c.digest, ondelete="CASCADE"), primary_key=True),
    Column("version", String(64), nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("read_at", UtcDateTime, nullable=False),
    Column("document", LargeBinary, nullable=False),
)

#: Origin of derived copies, in all repositories. Removed with the bytes of the copy's manifest.
derivations = keyed_table(
    "derivations",
    Column("digest", ForeignKey(blobs.c.digest, ondelete="CASCADE"), primary_key=True),
    Column("source", String, nullable=False),
    Column("original", String(140), nullable=False),
    Column("made_by", String, nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("changes", JSON, nullable=False),
    Column("changed", JSON, nullable=False),
)

#: Origins of pulled-through tags and digests. A row may outlive its tag or manifest.
origins = keyed_table(
    "origins",
    Column("repository", String(255), primary_key=True),
    Column("target", String(140), primary_key=True),
    Column("upstream", String(64), nullable=False),
    Column("source", String(255), nullable=False),
    Column("digest", String(140), nullable=False),
    Column("checked_at", UtcDateTime, nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Index(None, "repository", "digest"),
)

#: Work that a version of the program does once in each data folder, see :mod:`mirror.store.backfill`.
finished_work = keyed_table(
    "finished_work",
    Column("name", String(64), primary_key=True),
    Column("finished_at", UtcDateTime, nullable=False),
)

"""Tables of content: which repository holds what, and what is known of it."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, ForeignKeyConstraint, Index, Integer, String, Table

from mirror.store.catalog.schema import UtcDateTime, keyed_table, metadata

#: A row exists while the repository holds a blob or a manifest.
repositories = Table(
    "repositories",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
)

#: Content whose bytes are durable: blobs and manifests. A row may outlive its last holder until it is collected.
blobs = keyed_table(
    "blobs",
    Column("digest", String(140), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("stored_at", UtcDateTime, nullable=False),
)

#: Which repository holds which blob.
repository_blobs = keyed_table(
    "repository_blobs",
    Column("repository_id", ForeignKey(repositories.c.id), primary_key=True),
    Column("digest", ForeignKey(blobs.c.digest), primary_key=True),
    Column("added_at", UtcDateTime, nullable=False),
    Index(None, "digest"),
)

#: Which repository holds which manifest. ``artifact_type`` and ``annotations`` are those of its entry in the list of
#: referrers, and are kept only where it has a subject.
manifests = keyed_table(
    "manifests",
    Column("repository_id", ForeignKey(repositories.c.id), primary_key=True),
    Column("digest", ForeignKey(blobs.c.digest), primary_key=True),
    Column("media_type", String(255), nullable=False),
    Column("subject", String(140)),
    Column("artifact_type", String),
    Column("annotations", JSON(none_as_null=True)),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "digest"),
    Index(None, "repository_id", "subject", "digest"),
)

tags = keyed_table(
    "tags",
    Column("repository_id", Integer, primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("digest", String(140), nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    ForeignKeyConstraint(
        ["repository_id", "digest"], ["manifests.repository_id", "manifests.digest"], ondelete="CASCADE"
    ),
    Index(None, "repository_id", "digest"),
)

#: Manifests that were pulled through, as long as something that they name is not in their repository.
incomplete_manifests = keyed_table(
    "incomplete_manifests",
    Column("repository", String(255), primary_key=True),
    Column("digest", ForeignKey(blobs.c.digest), primary_key=True),
    Column("media_type", String(255), nullable=False),
    Column("kept_at", UtcDateTime, nullable=False),
    Index(None, "digest"),
)

#: What an incomplete manifest names: blobs, and the members of an index.
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

#: Which plugins of a repository name which blobs, by their manifests, also those that are not complete yet.
plugin_blobs = keyed_table(
    "plugin_blobs",
    Column("repository", String(255), primary_key=True),
    Column("blob", String(140), primary_key=True),
    Column("manifest", String(140), primary_key=True),
    Index(None, "repository", "manifest"),
    Index(None, "blob"),
)

#: What was found out about a manifest, whoever holds it: derived data, which goes when the manifest's bytes do.
findings = keyed_table(
    "findings",
    Column("digest", ForeignKey(blobs.c.digest, ondelete="CASCADE"), primary_key=True),
    Column("found", JSON, nullable=False),
    Column("found_at", UtcDateTime, nullable=False),
)

#: How a manifest that is a copy with changes came about, whoever holds it. It goes when the manifest's bytes do.
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

#: Where tags and digests came from that were pulled through. A row may outlive what it tells of.
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

#: Work that is done once in a data folder, after the version that needs it has come.
finished_work = keyed_table(
    "finished_work",
    Column("name", String(64), primary_key=True),
    Column("finished_at", UtcDateTime, nullable=False),
)

"""The catalog's tables. A change here is a migration beside, and a new :data:`HEAD`.

Names are compared byte by byte (SQLite's BINARY collation), which is the ASCII order that lists are given in.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
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
HEAD: Final = "0009"

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

#: What was found out about a manifest, whoever holds it: derived data, which goes when the manifest's bytes do.
findings = Table(
    "findings",
    metadata,
    Column("digest", ForeignKey(blobs.c.digest, ondelete="CASCADE"), primary_key=True),
    Column("found", JSON, nullable=False),
    Column("found_at", Moment, nullable=False),
    sqlite_with_rowid=False,
)

#: How a manifest that is a copy with changes came about, whoever holds it. It goes when the manifest's bytes do.
derivations = Table(
    "derivations",
    metadata,
    Column("digest", ForeignKey(blobs.c.digest, ondelete="CASCADE"), primary_key=True),
    Column("source", String, nullable=False),
    Column("original", String(140), nullable=False),
    Column("made_by", String, nullable=False),
    Column("made_at", Moment, nullable=False),
    Column("changes", JSON, nullable=False),
    Column("changed", JSON, nullable=False),
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

#: Mirror rules, by name, also those that are no longer configured.
sync_rules = Table(
    "sync_rules",
    metadata,
    Column("rule", String(64), primary_key=True),
    Column("known_since", Moment, nullable=False),
    Column("last_success_at", Moment),
    sqlite_with_rowid=False,
)

#: Runs of mirror rules.
sync_runs = Table(
    "sync_runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("rule", String(64), nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("outcome", String(16), nullable=False),
    *(
        Column(name, Integer, nullable=False)
        for name in ("copied", "unchanged", "skipped", "failed", "gone", "dropped")
    ),
    Column("moved_bytes", BigInteger, nullable=False),
    Column("reason", String, nullable=False),
    Index(None, "rule", "id"),
)

#: What was planned and done in a run. ``tag`` is empty where the tags of a repository could not be listed.
sync_entries = Table(
    "sync_entries",
    metadata,
    Column("run_id", ForeignKey(sync_runs.c.id, ondelete="CASCADE"), primary_key=True),
    Column("repository", String(255), primary_key=True),
    Column("tag", String(128), primary_key=True),
    Column("outcome", String(16), nullable=False),
    Column("before", String(140)),
    Column("after", String(140)),
    Column("moved_bytes", BigInteger, nullable=False),
    Column("reason", String, nullable=False),
    sqlite_with_rowid=False,
)

#: What mirror rules have brought. A row may outlive its tag: it tells why the tag is not there.
mirrored_tags = Table(
    "mirrored_tags",
    metadata,
    Column("repository", String(255), primary_key=True),
    Column("tag", String(128), primary_key=True),
    Column("rule", String(64), nullable=False),
    Column("upstream", String(64), nullable=False),
    Column("source", String(255), nullable=False),
    Column("digest", String(140), nullable=False),
    Column("upstream_digest", String(140), nullable=False),
    Column("brought_at", Moment, nullable=False),
    Column("gone_at", Moment),
    Column("dropped_at", Moment),
    Column("original", String(140)),
    Column("changes", JSON(none_as_null=True)),
    Index(None, "rule"),
    sqlite_with_rowid=False,
)

#: How tags have moved, as mirror rules saw it.
tag_events = Table(
    "tag_events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("repository", String(255), nullable=False),
    Column("tag", String(128), nullable=False),
    Column("at", Moment, nullable=False),
    Column("change", String(16), nullable=False),
    Column("before", String(140)),
    Column("after", String(140)),
    Column("source", String(320), nullable=False),
    Column("difference", JSON, nullable=False),
    Index(None, "repository", "tag", "id"),
)

#: When a tag, or a digest, was last pulled; kept only where a rule asks for it.
pulls = Table(
    "pulls",
    metadata,
    Column("repository", String(255), primary_key=True),
    Column("target", String(140), primary_key=True),
    Column("pulled_at", Moment, nullable=False),
    sqlite_with_rowid=False,
)

#: Where tags and digests came from that were pulled through. A row may outlive what it tells of.
origins = Table(
    "origins",
    metadata,
    Column("repository", String(255), primary_key=True),
    Column("target", String(140), primary_key=True),
    Column("upstream", String(64), nullable=False),
    Column("source", String(255), nullable=False),
    Column("digest", String(140), nullable=False),
    Column("checked_at", Moment, nullable=False),
    Column("asked_at", Moment, nullable=False),
    Index(None, "repository", "digest"),
    sqlite_with_rowid=False,
)

#: Manifests that were pulled through, as long as something that they name is not in their repository.
incomplete_manifests = Table(
    "incomplete_manifests",
    metadata,
    Column("repository", String(255), primary_key=True),
    Column("digest", ForeignKey(blobs.c.digest), primary_key=True),
    Column("media_type", String(255), nullable=False),
    Column("kept_at", Moment, nullable=False),
    Index(None, "digest"),
    sqlite_with_rowid=False,
)

#: What an incomplete manifest names: blobs, and the members of an index.
incomplete_children = Table(
    "incomplete_children",
    metadata,
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
    sqlite_with_rowid=False,
)

#: What a person decided about a plugin under a name. A row outlives its plugin: a digest
#: that comes again is the same one.
decisions = Table(
    "decisions",
    metadata,
    Column("repository", String(255), primary_key=True),
    Column("digest", String(140), primary_key=True),
    Column("approved", Boolean, nullable=False),
    Column("decided_by", String(255), nullable=False),
    Column("decided_at", Moment, nullable=False),
    Column("note", String, nullable=False),
    sqlite_with_rowid=False,
)

#: What a decision that refuses covers: a row for each fingerprint of the content, see :mod:`mirror.plugin.fingerprint`.
rejections = Table(
    "rejections",
    metadata,
    Column("fingerprint", String(140), primary_key=True),
    Column("repository", String(255), primary_key=True),
    Column("digest", String(140), primary_key=True),
    ForeignKeyConstraint(["repository", "digest"], ["decisions.repository", "decisions.digest"], ondelete="CASCADE"),
    Index(None, "repository", "digest"),
    sqlite_with_rowid=False,
)

#: What a policy said of a plugin last, and what the plugin asks for. ``policy`` is the policy's fingerprint; empty for
#: verdicts of before there were any, which belong to whichever policy judges the plugin first.
verdicts = Table(
    "verdicts",
    metadata,
    Column("repository", String(255), primary_key=True),
    Column("digest", String(140), primary_key=True),
    Column("policy", String(64), primary_key=True),
    Column("action", String(8), nullable=False),
    Column("rule", String(64), nullable=False),
    Column("reason", String, nullable=False),
    Column("asked", JSON(none_as_null=True)),
    Column("grown", JSON, nullable=False),
    Column("noted_at", Moment, nullable=False),
    sqlite_with_rowid=False,
)

#: Which plugins of a repository name which blobs, by their manifests, also those that are not complete yet.
plugin_blobs = Table(
    "plugin_blobs",
    metadata,
    Column("repository", String(255), primary_key=True),
    Column("blob", String(140), primary_key=True),
    Column("manifest", String(140), primary_key=True),
    Index(None, "repository", "manifest"),
    Index(None, "blob"),
    sqlite_with_rowid=False,
)

#: Work that is done once in a data folder, after the version that needs it has come.
finished_work = Table(
    "finished_work",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("finished_at", Moment, nullable=False),
    sqlite_with_rowid=False,
)

#: Who may log in.
users = Table(
    "users",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("password_hash", String(100), nullable=False),
    Column("created_at", Moment, nullable=False),
    sqlite_with_rowid=False,
)

#: Long-lived secrets of users; of the secrets themselves only the SHA-256 is kept.
user_tokens = Table(
    "user_tokens",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("user", ForeignKey(users.c.name, ondelete="CASCADE"), nullable=False),
    Column("secret_hash", String(64), nullable=False, unique=True),
    Column("description", String, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Index(None, "user"),
    sqlite_with_rowid=False,
)

#: Docker Engines that have pulled plugins, by what they say of themselves. ``network`` is a part of the address, by
#: which it is bounded how many rows one site can fill.
hosts = Table(
    "hosts",
    metadata,
    Column("address", String(45), primary_key=True),
    Column("engine", String(64), primary_key=True),
    Column("os", String(16), primary_key=True),
    Column("architecture", String(16), primary_key=True),
    Column("network", String(49), nullable=False),
    Column("first_seen", Moment, nullable=False),
    Column("last_seen", Moment, nullable=False),
    Index(None, "network", "last_seen"),
    Index(None, "last_seen"),
    sqlite_with_rowid=False,
)

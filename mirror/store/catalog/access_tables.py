"""Tables of users, of hosts, and of what plugins are admitted."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, ForeignKey, ForeignKeyConstraint, Index, String

from mirror.store.catalog.schema import UtcDateTime, keyed_table

#: Who may log in.
users = keyed_table(
    "users",
    Column("name", String(64), primary_key=True),
    Column("password_hash", String(100), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

#: Long-lived secrets of users; of the secrets themselves only the SHA-256 is kept.
user_tokens = keyed_table(
    "user_tokens",
    Column("id", String(16), primary_key=True),
    Column("user", ForeignKey(users.c.name, ondelete="CASCADE"), nullable=False),
    Column("secret_hash", String(64), nullable=False, unique=True),
    Column("description", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Index(None, "user"),
)

#: Docker Engines that have pulled plugins, by what they say of themselves. ``network`` is a part of the address, by
#: which it is bounded how many rows one site can fill.
hosts = keyed_table(
    "hosts",
    Column("address", String(45), primary_key=True),
    Column("engine", String(64), primary_key=True),
    Column("os", String(16), primary_key=True),
    Column("architecture", String(16), primary_key=True),
    Column("network", String(49), nullable=False),
    Column("first_seen", UtcDateTime, nullable=False),
    Column("last_seen", UtcDateTime, nullable=False),
    Index(None, "network", "last_seen"),
    Index(None, "last_seen"),
)

#: What a person decided about a plugin under a name. A row outlives its plugin: a digest
#: that comes again is the same one.
decisions = keyed_table(
    "decisions",
    Column("repository", String(255), primary_key=True),
    Column("digest", String(140), primary_key=True),
    Column("approved", Boolean, nullable=False),
    Column("decided_by", String(255), nullable=False),
    Column("decided_at", UtcDateTime, nullable=False),
    Column("note", String, nullable=False),
)

#: Fingerprints that a rejection covers, one row for each, see :mod:`mirror.plugin.policy.fingerprint`.
rejections = keyed_table(
    "rejections",
    Column("fingerprint", String(140), primary_key=True),
    Column("repository", String(255), primary_key=True),
    Column("digest", String(140), primary_key=True),
    ForeignKeyConstraint(["repository", "digest"], ["decisions.repository", "decisions.digest"], ondelete="CASCADE"),
    Index(None, "repository", "digest"),
)

#: What a policy said of a plugin last, and what the plugin asks for. ``policy`` is the policy's fingerprint; empty for
#: verdicts of before there were any, which belong to whichever policy judges the plugin first.
verdicts = keyed_table(
    "verdicts",
    Column("repository", String(255), primary_key=True),
    Column("digest", String(140), primary_key=True),
    Column("policy", String(64), primary_key=True),
    Column("action", String(8), nullable=False),
    Column("rule", String(64), nullable=False),
    Column("reason", String, nullable=False),
    Column("asked", JSON(none_as_null=True)),
    Column("grown", JSON, nullable=False),
    Column("noted_at", UtcDateTime, nullable=False),
)

"""Tables of users, Docker hosts and admission."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, ForeignKey, ForeignKeyConstraint, Index, String

from mirror.store.catalog.tables.schema import UtcDateTime, keyed_table

#: Users who may log in.
users = keyed_table(
    "users",
    Column("name", String(64), primary_key=True),
    Column("password_hash", String(100), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

#: Access tokens of users. Only the SHA-256 of the secret is kept.
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

#: Docker Engines that have pulled plugins, by their address and their own statements about version and platform.
#: ``network`` is the network part of the address. The number of rows of one network is limited, because a client can
#: make up as many engines as it likes.
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

#: Decisions of people about plugins, by repository and digest. A row outlives its plugin, so that the decision still
#: holds when the same digest comes again.
decisions = keyed_table(
    "decisions",
    Column("repository", String(255), primary_key=True),
    Column("digest", String(140), primary_key=True),
    Column("approved", Boolean, nullable=False),
    Column("decided_by", String(255), nullable=False),
    Column("decided_at", UtcDateTime, nullable=False),
    Column("note", String, nullable=False),
)

#: Fingerprints that rejections cover, one row for each. See :mod:`mirror.plugin.policy.fingerprint`.
rejections = keyed_table(
    "rejections",
    Column("fingerprint", String(140), primary_key=True),
    Column("repository", String(255), primary_key=True),
    Column("digest", String(140), primary_key=True),
    ForeignKeyConstraint(["repository", "digest"], ["decisions.repository", "decisions.digest"], ondelete="CASCADE"),
    Index(None, "repository", "digest"),
)

#: Latest verdict of each policy on each plugin, and the privileges that the plugin requests. ``policy`` is the
#: fingerprint of the policy. It is empty for verdicts of a version without such fingerprints. Those belong to the
#: policy that judges the plugin first.
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

#: Sources of plugins. ``upstream`` is empty for a copy of another repository here. ``was_pushed`` is true if the
#: repository held the plugin already, without a source.
arrivals = keyed_table(
    "arrivals",
    Column("repository", String(255), primary_key=True),
    Column("digest", String(140), primary_key=True),
    Column("upstream", String(64), primary_key=True),
    Column("source", String(255), primary_key=True),
    Column("was_pushed", Boolean, nullable=False),
)

#: Time at which this mirror first saw each plugin at each upstream. A row stays when the plugin goes, so that a plugin
#: that comes back is no new one.
first_sights = keyed_table(
    "first_sights",
    Column("upstream", String(64), primary_key=True),
    Column("digest", String(140), primary_key=True),
    Column("seen_at", UtcDateTime, nullable=False),
)

"""Tables of mirroring: rules, their runs, and the tags that they have brought."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, Integer, String, Table

from mirror.store.catalog.tables.schema import UtcDateTime, keyed_table, metadata

#: Mirror rules by name, including rules that are no longer configured. ``fingerprint`` is that of the rule at its last
#: run.
sync_rules = keyed_table(
    "sync_rules",
    Column("rule", String(64), primary_key=True),
    Column("known_since", UtcDateTime, nullable=False),
    Column("last_success_at", UtcDateTime),
    Column("fingerprint", String(80)),
)

#: Runs of mirror rules.
sync_runs = Table(
    "sync_runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("rule", String(64), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("outcome", String(16), nullable=False),
    *(
        Column(name, Integer, nullable=False)
        for name in ("copied", "unchanged", "skipped", "failed", "gone", "dropped")
    ),
    Column("moved_bytes", BigInteger, nullable=False),
    Column("reason", String, nullable=False),
    Column("goes_on_at", UtcDateTime),
    Index(None, "rule", "id"),
)

#: Results of a run, one row for each tag. ``tag`` is empty if the tags of the repository could not be listed.
sync_entries = keyed_table(
    "sync_entries",
    Column("run_id", ForeignKey(sync_runs.c.id, ondelete="CASCADE"), primary_key=True),
    Column("repository", String(255), primary_key=True),
    Column("tag", String(128), primary_key=True),
    Column("outcome", String(16), nullable=False),
    Column("before", String(140)),
    Column("after", String(140)),
    Column("moved_bytes", BigInteger, nullable=False),
    Column("reason", String, nullable=False),
    Column("warnings", JSON(none_as_null=True)),
)

#: Tags that mirror rules have brought. A row may outlive its tag, and then tells why the tag is gone.
mirrored_tags = keyed_table(
    "mirrored_tags",
    Column("repository", String(255), primary_key=True),
    Column("tag", String(128), primary_key=True),
    Column("rule", String(64), nullable=False),
    Column("upstream", String(64), nullable=False),
    Column("source", String(255), nullable=False),
    Column("digest", String(140), nullable=False),
    Column("upstream_digest", String(140), nullable=False),
    Column("brought_at", UtcDateTime, nullable=False),
    Column("gone_at", UtcDateTime),
    Column("dropped_at", UtcDateTime),
    Column("original", String(140)),
    Column("changes", JSON(none_as_null=True)),
    Index(None, "rule"),
)

#: Changes of tags that mirror rules have seen.
tag_events = Table(
    "tag_events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("repository", String(255), nullable=False),
    Column("tag", String(128), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("change", String(16), nullable=False),
    Column("before", String(140)),
    Column("after", String(140)),
    Column("source", String(320), nullable=False),
    Column("difference", JSON, nullable=False),
    Index(None, "repository", "tag", "id"),
)

#: The time of the last pull of each tag or digest, and the number of pulls.
pulls = keyed_table(
    "pulls",
    Column("repository", String(255), primary_key=True),
    Column("target", String(140), primary_key=True),
    Column("pulled_at", UtcDateTime, nullable=False),
    Column("count", BigInteger, nullable=False, server_default="1"),
)

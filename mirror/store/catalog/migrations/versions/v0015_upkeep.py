"""Upkeep of storage: collection, holders, pins, long work, damage, quotas, and the children of all manifests."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Create the tables of collection. Replace the index of plugin blobs by one of the children of all manifests."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "reviews",
        sa.Column("kind", sa.String(8), primary_key=True),
        sa.Column("repository", sa.String(255), primary_key=True),
        sa.Column("digest", sa.String(140), primary_key=True),
        sa.Column("cause", sa.String(16), nullable=False),
        sa.Column("since", moment, nullable=False),
        sa.Column("counts_from", moment, nullable=False),
        sa.Column("decided_at", moment),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Index("ix_reviews_cause_counts_from", "cause", "counts_from"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "doomed_files",
        sa.Column("digest", sa.String(140), primary_key=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.String(16), nullable=False),
        sa.Column("doomed_at", moment, nullable=False),
        sa.Index("ix_doomed_files_doomed_at", "doomed_at"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "freed_content",
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("cause", sa.String(16), primary_key=True),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "content_holders",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("began_at", moment, nullable=False),
        sa.Column("until", moment, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "held_content",
        sa.Column("holder", sa.String(36), sa.ForeignKey("content_holders.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("repository", sa.String(255), primary_key=True),
        sa.Column("digest", sa.String(140), primary_key=True),
        sa.Index("ix_held_content_digest", "digest"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "pins",
        sa.Column("repository", sa.String(255), primary_key=True),
        sa.Column("target", sa.String(140), primary_key=True),
        sa.Column("pinned_by", sa.String(255), nullable=False),
        sa.Column("pinned_at", moment, nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "long_work",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("started_at", moment, nullable=False),
        sa.Column("updated_at", moment, nullable=False),
        sa.Column("finished_at", moment),
        sa.Column("position", sa.String(255), nullable=False),
        sa.Column("state", sa.JSON(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "damaged_content",
        sa.Column("digest", sa.String(140), primary_key=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("problem", sa.String(), nullable=False),
        sa.Column("found_at", moment, nullable=False),
        sa.Column("is_set_aside", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_attempt_at", moment),
        sa.Column("last_error", sa.String(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "quota_reservations",
        sa.Column("scope", sa.String(320), primary_key=True),
        sa.Column("upload", sa.String(140), primary_key=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("until", moment, nullable=False),
        sa.Index("ix_quota_reservations_upload", "upload"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "quota_additions",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("scope", sa.String(320), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("manifests", sa.Integer(), nullable=False),
        sa.Column("tags", sa.Integer(), nullable=False),
        sa.Column("added_at", moment, nullable=False),
        sa.Index("ix_quota_additions_scope_id", "scope", "id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "traffic",
        sa.Column("upstream", sa.String(64), primary_key=True),
        sa.Column("rule", sa.String(255), primary_key=True),
        sa.Column("pulls", sa.BigInteger(), nullable=False),
        sa.Column("served_bytes", sa.BigInteger(), nullable=False),
        sa.Column("fetched_bytes", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "manifest_children",
        sa.Column("repository", sa.String(255), primary_key=True),
        sa.Column("child", sa.String(140), primary_key=True),
        sa.Column("manifest", sa.String(140), primary_key=True),
        sa.Column("kind", sa.String(8), primary_key=True),
        sa.Column("of_plugin", sa.Boolean(), nullable=False),
        sa.Index("ix_manifest_children_repository_manifest", "repository", "manifest"),
        sa.Index("ix_manifest_children_child", "child"),
        sqlite_with_rowid=False,
    )
    # The plugins are known already. mirror.store.backfill reads the other manifests.
    op.execute(
        "INSERT INTO manifest_children (repository, child, manifest, kind, of_plugin) "
        "SELECT repository, blob, manifest, 'blob', true FROM plugin_blobs"
    )
    op.drop_table("plugin_blobs")
    if op.get_bind().dialect.name == "sqlite":  # no version before this one works with another database
        _count_as_unread()
    op.execute("DELETE FROM finished_work WHERE name = 'plugins indexed'")
    op.execute(
        "INSERT INTO finished_work (name, finished_at) SELECT 'manifests indexed', '1970-01-01 00:00:00.000000' "
        "WHERE NOT EXISTS (SELECT 1 FROM manifests) AND NOT EXISTS (SELECT 1 FROM incomplete_manifests)"
    )
    op.add_column("pulls", sa.Column("count", sa.BigInteger(), nullable=False, server_default="1"))
    for table in ("manifests", "repository_blobs", "tags"):
        op.add_column(table, sa.Column("pushed_by", sa.String(255)))


def _count_as_unread() -> None:
    # A server of the version before may run on until it is started again. It writes no children, and what it pushes
    # would look like garbage. Each new manifest counts as unread until its children are written.
    op.execute(
        "CREATE TRIGGER manifests_unread AFTER INSERT ON manifests BEGIN "
        "INSERT INTO manifest_children (repository, child, manifest, kind, of_plugin) "
        "SELECT r.name, '', NEW.digest, 'unread', 0 FROM repositories r WHERE r.id = NEW.repository_id AND NOT EXISTS "
        "(SELECT 1 FROM manifest_children c WHERE c.repository = r.name AND c.manifest = NEW.digest); END"
    )
    op.execute(
        "CREATE TRIGGER incomplete_manifests_unread AFTER INSERT ON incomplete_manifests BEGIN "
        "INSERT INTO manifest_children (repository, child, manifest, kind, of_plugin) "
        "SELECT NEW.repository, '', NEW.digest, 'unread', 0 WHERE NOT EXISTS "
        "(SELECT 1 FROM manifest_children c WHERE c.repository = NEW.repository AND c.manifest = NEW.digest); END"
    )

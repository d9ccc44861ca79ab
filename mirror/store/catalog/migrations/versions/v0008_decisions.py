"""Separate tables for decisions, rejections, verdicts and the plugin index."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Move admissions to tables of their own, and create the plugin index and the table of finished work."""
    _create()
    op.execute(
        "INSERT INTO decisions (repository, digest, approved, decided_by, decided_at, note) "
        "SELECT repository, digest, approved, decided_by, decided_at, coalesce(note, '') "
        "FROM admissions WHERE approved IS NOT NULL"
    )
    # Other fingerprints need the bytes of manifests. Backfill adds them when the store is opened.
    op.execute(
        "INSERT INTO rejections (fingerprint, repository, digest) "
        "SELECT digest, repository, digest FROM decisions WHERE NOT approved"
    )
    op.execute(
        "INSERT INTO verdicts (repository, digest, policy, action, rule, reason, asked, grown, noted_at) "
        "SELECT repository, digest, '', action, rule, coalesce(reason, ''), asked, grown, noted_at "
        "FROM admissions WHERE action IS NOT NULL"
    )
    op.drop_table("admissions")
    op.execute(  # without manifests there is nothing to index
        "INSERT INTO finished_work (name, finished_at) SELECT 'plugins indexed', '1970-01-01 00:00:00.000000' "
        "WHERE NOT EXISTS (SELECT 1 FROM manifests) AND NOT EXISTS (SELECT 1 FROM incomplete_manifests)"
    )


def _create() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "decisions",
        sa.Column("repository", sa.String(255), primary_key=True),
        sa.Column("digest", sa.String(140), primary_key=True),
        sa.Column("approved", sa.Boolean, nullable=False),
        sa.Column("decided_by", sa.String(255), nullable=False),
        sa.Column("decided_at", moment, nullable=False),
        sa.Column("note", sa.String, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rejections",
        sa.Column("fingerprint", sa.String(140), primary_key=True),
        sa.Column("repository", sa.String(255), primary_key=True),
        sa.Column("digest", sa.String(140), primary_key=True),
        sa.ForeignKeyConstraint(
            ["repository", "digest"], ["decisions.repository", "decisions.digest"], ondelete="CASCADE"
        ),
        sa.Index(None, "repository", "digest"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "verdicts",
        sa.Column("repository", sa.String(255), primary_key=True),
        sa.Column("digest", sa.String(140), primary_key=True),
        sa.Column("policy", sa.String(64), primary_key=True),
        sa.Column("action", sa.String(8), nullable=False),
        sa.Column("rule", sa.String(64), nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("asked", sa.JSON(none_as_null=True)),
        sa.Column("grown", sa.JSON, nullable=False),
        sa.Column("noted_at", moment, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "plugin_blobs",
        sa.Column("repository", sa.String(255), primary_key=True),
        sa.Column("blob", sa.String(140), primary_key=True),
        sa.Column("manifest", sa.String(140), primary_key=True),
        sa.Index(None, "repository", "manifest"),
        sa.Index(None, "blob"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "finished_work",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("finished_at", moment, nullable=False),
        sqlite_with_rowid=False,
    )

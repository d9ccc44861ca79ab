"""State of pull-through: origins of content, and incomplete manifests."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the tables of pull-through."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "origins",
        sa.Column("repository", sa.String(255), primary_key=True),
        sa.Column("target", sa.String(140), primary_key=True),
        sa.Column("upstream", sa.String(64), nullable=False),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("digest", sa.String(140), nullable=False),
        sa.Column("checked_at", moment, nullable=False),
        sa.Column("asked_at", moment, nullable=False),
        sa.Index(None, "repository", "digest"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "incomplete_manifests",
        sa.Column("repository", sa.String(255), primary_key=True),
        sa.Column("digest", sa.String(140), sa.ForeignKey("blobs.digest"), primary_key=True),
        sa.Column("media_type", sa.String(255), nullable=False),
        sa.Column("kept_at", moment, nullable=False),
        sa.Index(None, "digest"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "incomplete_children",
        sa.Column("repository", sa.String(255), primary_key=True),
        sa.Column("digest", sa.String(140), primary_key=True),
        sa.Column("manifest", sa.String(140), primary_key=True),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["repository", "manifest"],
            ["incomplete_manifests.repository", "incomplete_manifests.digest"],
            ondelete="CASCADE",
        ),
        sa.Index(None, "repository", "manifest"),
        sqlite_with_rowid=False,
    )

"""Repositories, and the blobs, manifests and tags that they hold."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables of content."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "repositories",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(255), nullable=False, unique=True),
    )
    op.create_table(
        "blobs",
        sa.Column("digest", sa.String(140), primary_key=True),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("stored_at", moment, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "repository_blobs",
        sa.Column("repository_id", sa.Integer, sa.ForeignKey("repositories.id"), primary_key=True),
        sa.Column("digest", sa.String(140), sa.ForeignKey("blobs.digest"), primary_key=True),
        sa.Column("added_at", moment, nullable=False),
        sa.Index(None, "digest"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "manifests",
        sa.Column("repository_id", sa.Integer, sa.ForeignKey("repositories.id"), primary_key=True),
        sa.Column("digest", sa.String(140), sa.ForeignKey("blobs.digest"), primary_key=True),
        sa.Column("media_type", sa.String(255), nullable=False),
        sa.Column("subject", sa.String(140)),
        sa.Column("artifact_type", sa.String),
        sa.Column("annotations", sa.JSON),
        sa.Column("created_at", moment, nullable=False),
        sa.Index(None, "digest"),
        sa.Index(None, "repository_id", "subject", "digest"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tags",
        sa.Column("repository_id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("digest", sa.String(140), nullable=False),
        sa.Column("updated_at", moment, nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id", "digest"], ["manifests.repository_id", "manifests.digest"], ondelete="CASCADE"
        ),
        sa.Index(None, "repository_id", "digest"),
        sqlite_with_rowid=False,
    )

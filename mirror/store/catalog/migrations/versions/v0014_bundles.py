"""Bundles: exports, imports, and the key sets that are trusted."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add the tables of bundles."""
    op.create_table(
        "bundle_exports",
        sa.Column("stream", sa.String(128), primary_key=True),
        sa.Column("serial", sa.BigInteger(), primary_key=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("statement", sa.String(140), nullable=False),
        sa.Column("head", sa.LargeBinary(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "bundle_streams",
        sa.Column("stream", sa.String(128), primary_key=True),
        sa.Column("serial", sa.BigInteger(), nullable=False),
        sa.Column("statement", sa.String(140)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("imported_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("root", sa.String(140)),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "bundle_key_sets",
        sa.Column("root", sa.String(140), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("trusted_at", sa.DateTime(timezone=True), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "bundle_notes",
        sa.Column("digest", sa.String(140), primary_key=True),
        sa.Column("stream", sa.String(128), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sqlite_with_rowid=False,
    )

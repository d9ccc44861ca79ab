"""The site of the catalog, and the objects of a bucket."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "site",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "bucket_objects",
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("digest", sa.String(140), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_bucket_objects_digest", "bucket_objects", ["digest"])
    op.create_index("ix_bucket_objects_state_made_at", "bucket_objects", ["state", "made_at"])
    op.create_table(
        "doomed_objects",
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("doomed_at", sa.DateTime(timezone=True), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_doomed_objects_doomed_at", "doomed_objects", ["doomed_at"])

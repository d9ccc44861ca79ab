"""Derived copies: their origins, and the mirrored tags that are derived copies."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the table of derivations, and add their columns to mirrored tags."""
    op.create_table(
        "derivations",
        sa.Column("digest", sa.String(140), sa.ForeignKey("blobs.digest", ondelete="CASCADE"), primary_key=True),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("original", sa.String(140), nullable=False),
        sa.Column("made_by", sa.String, nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changes", sa.JSON, nullable=False),
        sa.Column("changed", sa.JSON, nullable=False),
        sqlite_with_rowid=False,
    )
    op.add_column("mirrored_tags", sa.Column("original", sa.String(140)))
    op.add_column("mirrored_tags", sa.Column("changes", sa.JSON))

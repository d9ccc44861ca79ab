"""Content that manifests name and their repositories lack."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Create the table of absent content."""
    op.create_table(
        "absent_content",
        sa.Column("repository", sa.String(255), primary_key=True),
        sa.Column("manifest", sa.String(140), primary_key=True),
        sa.Column("digest", sa.String(140), primary_key=True),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("detail", sa.String, nullable=False),
        sa.Index(None, "repository", "digest"),
        sqlite_with_rowid=False,
    )

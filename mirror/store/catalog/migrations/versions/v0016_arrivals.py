"""Sources of plugins, and the time at which each was first seen at an upstream."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "arrivals",
        sa.Column("repository", sa.String(255), primary_key=True),
        sa.Column("digest", sa.String(140), primary_key=True),
        sa.Column("upstream", sa.String(64), primary_key=True),
        sa.Column("source", sa.String(255), primary_key=True),
        sa.Column("was_pushed", sa.Boolean(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "first_sights",
        sa.Column("upstream", sa.String(64), primary_key=True),
        sa.Column("digest", sa.String(140), primary_key=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sqlite_with_rowid=False,
    )

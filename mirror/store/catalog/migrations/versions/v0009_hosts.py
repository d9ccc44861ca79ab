"""Docker Engines that have pulled plugins."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create the table of hosts."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "hosts",
        sa.Column("address", sa.String(45), primary_key=True),
        sa.Column("engine", sa.String(64), primary_key=True),
        sa.Column("os", sa.String(16), primary_key=True),
        sa.Column("architecture", sa.String(16), primary_key=True),
        sa.Column("network", sa.String(49), nullable=False),
        sa.Column("first_seen", moment, nullable=False),
        sa.Column("last_seen", moment, nullable=False),
        sa.Index(None, "network", "last_seen"),
        sa.Index(None, "last_seen"),
        sqlite_with_rowid=False,
    )

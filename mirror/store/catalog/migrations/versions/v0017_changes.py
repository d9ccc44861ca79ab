"""Changes that wait for their readers, the places of the readers, and events that wait for their endpoints."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "changes",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "change_readers",
        sa.Column("reader", sa.String(80), primary_key=True),
        sa.Column("change_id", sa.Integer(), nullable=False),
        sa.Column("mark", sa.String(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "deliveries",
        sa.Column("endpoint", sa.String(80), primary_key=True),
        sa.Column("change_id", sa.Integer(), primary_key=True),
        sa.Column("repository", sa.String(255), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True)),
        sa.Column("problem", sa.String(), nullable=False),
        sqlite_with_rowid=False,
    )

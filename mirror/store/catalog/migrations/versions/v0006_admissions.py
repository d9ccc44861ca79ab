"""Admission of plugins: verdicts of the policy, and decisions of people."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the table of admissions."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "admissions",
        sa.Column("repository", sa.String(255), primary_key=True),
        sa.Column("digest", sa.String(140), primary_key=True),
        sa.Column("noted_at", moment, nullable=False),
        sa.Column("action", sa.String(8)),
        sa.Column("rule", sa.String(64)),
        sa.Column("reason", sa.String),
        sa.Column("asked", sa.JSON(none_as_null=True)),
        sa.Column("grown", sa.JSON, nullable=False),
        sa.Column("approved", sa.Boolean),
        sa.Column("decided_by", sa.String(255)),
        sa.Column("decided_at", moment),
        sa.Column("note", sa.String),
        sqlite_with_rowid=False,
    )

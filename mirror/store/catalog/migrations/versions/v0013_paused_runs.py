"""Times at which paused runs go on."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the time at which a paused run goes on."""
    op.add_column("sync_runs", sa.Column("goes_on_at", sa.DateTime(timezone=True)))

"""Times at which paused runs go on, and warnings about tags."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the time at which a paused run goes on, and the warnings about a tag in a run."""
    op.add_column("sync_runs", sa.Column("goes_on_at", sa.DateTime(timezone=True)))
    op.add_column("sync_entries", sa.Column("warnings", sa.JSON()))

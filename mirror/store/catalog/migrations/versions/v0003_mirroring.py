"""State of mirroring: rules, runs, mirrored tags, tag changes, and times of pulls."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the tables of mirroring."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "sync_rules",
        sa.Column("rule", sa.String(64), primary_key=True),
        sa.Column("known_since", moment, nullable=False),
        sa.Column("last_success_at", moment),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sync_runs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("rule", sa.String(64), nullable=False),
        sa.Column("started_at", moment, nullable=False),
        sa.Column("ended_at", moment),
        sa.Column("outcome", sa.String(16), nullable=False),
        *(
            sa.Column(name, sa.Integer, nullable=False)
            for name in ("copied", "unchanged", "skipped", "failed", "gone", "dropped")
        ),
        sa.Column("moved_bytes", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Index(None, "rule", "id"),
    )
    op.create_table(
        "sync_entries",
        sa.Column("run_id", sa.Integer, sa.ForeignKey("sync_runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("repository", sa.String(255), primary_key=True),
        sa.Column("tag", sa.String(128), primary_key=True),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("before", sa.String(140)),
        sa.Column("after", sa.String(140)),
        sa.Column("moved_bytes", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "mirrored_tags",
        sa.Column("repository", sa.String(255), primary_key=True),
        sa.Column("tag", sa.String(128), primary_key=True),
        sa.Column("rule", sa.String(64), nullable=False),
        sa.Column("upstream", sa.String(64), nullable=False),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("digest", sa.String(140), nullable=False),
        sa.Column("upstream_digest", sa.String(140), nullable=False),
        sa.Column("brought_at", moment, nullable=False),
        sa.Column("gone_at", moment),
        sa.Column("dropped_at", moment),
        sa.Index(None, "rule"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tag_events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("repository", sa.String(255), nullable=False),
        sa.Column("tag", sa.String(128), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("change", sa.String(16), nullable=False),
        sa.Column("before", sa.String(140)),
        sa.Column("after", sa.String(140)),
        sa.Column("source", sa.String(320), nullable=False),
        sa.Column("difference", sa.JSON, nullable=False),
        sa.Index(None, "repository", "tag", "id"),
    )
    op.create_table(
        "pulls",
        sa.Column("repository", sa.String(255), primary_key=True),
        sa.Column("target", sa.String(140), primary_key=True),
        sa.Column("pulled_at", moment, nullable=False),
        sqlite_with_rowid=False,
    )

"""Tags that a client pushed, and the fingerprints of mirror rules at their last run."""

import sqlalchemy as sa
import structlog
from alembic import op

revision = "0011"
down_revision = "0010"

_LOG = structlog.get_logger(__name__)

#: Most tags that are named in one line of the log.
_NAMED = 1000

_COUNT_AS_PUSHED = """
UPDATE tags SET pushed = true
WHERE NOT EXISTS (
  SELECT 1 FROM mirrored_tags AS brought JOIN repositories ON repositories.name = brought.repository
  WHERE repositories.id = tags.repository_id AND brought.tag = tags.name AND brought.digest = tags.digest
) AND NOT EXISTS (
  SELECT 1 FROM origins AS pulled JOIN repositories ON repositories.name = pulled.repository
  WHERE repositories.id = tags.repository_id AND pulled.target = tags.name
)
"""


def upgrade() -> None:
    """Add the columns. Tags that no rule and no pull has brought count as pushed, and are listed in the log."""
    op.add_column("tags", sa.Column("pushed", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("sync_rules", sa.Column("fingerprint", sa.String(80)))
    op.execute(_COUNT_AS_PUSHED)
    found = op.get_bind().execute(
        sa.text(
            "SELECT repositories.name || ':' || tags.name FROM tags "
            "JOIN repositories ON repositories.id = tags.repository_id WHERE tags.pushed ORDER BY 1"
        )
    )
    names = list(found.scalars())
    for first in range(0, len(names), _NAMED):
        _LOG.warning(
            "tags of unknown origin count as pushed",
            count=len(names),
            tags=", ".join(names[first : first + _NAMED]),
            fix="delete those that a mirror rule shall bring, then run the rule",
        )

"""Nothing: the place of a migration that is made elsewhere."""

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    pass

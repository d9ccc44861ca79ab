"""Brings the catalog's tables up to date (Alembic). Alembic is imported only where there is something to do."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from mirror.oci.errors import CatalogFault
from mirror.store.catalog.tables import HEAD

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(connection: Connection) -> None:
    """Make the tables what this version needs, inside the caller's transaction.

    Raises:
        CatalogFault: a later version of this program has been here.
    """
    revision = _revision(connection)
    if revision == HEAD:
        return

    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, HEAD)
    except CommandError as error:
        raise CatalogFault(
            f"the catalog is at revision {revision}, which this version does not know: use the version that made it",
            revision=revision,
            known=HEAD,
        ) from error


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()

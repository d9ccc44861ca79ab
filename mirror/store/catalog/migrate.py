"""Updates the tables of the catalog with Alembic. Alembic is imported only if there is something to do."""

from __future__ import annotations

import logging
from pathlib import Path

import structlog
from sqlalchemy import Connection, inspect, text

from mirror.oci.errors import CatalogFault
from mirror.store.catalog.databases.catalog_database import CatalogDatabase
from mirror.store.catalog.tables.catalog_format import HEAD

MIGRATIONS = Path(__file__).parent / "migrations"

_LOG = structlog.get_logger(__name__)


def migrate(connection: Connection, database: CatalogDatabase) -> None:
    """Update the tables to the revision of this version, inside the caller's transaction.

    An existing catalog is copied first, so that the version that made it can continue with the copy.

    Args:
        connection: the connection to the catalog.
        database: has the tables.

    Raises:
        CatalogFault: a later version of the program has changed the tables; or there is content but no tables.
        StorageFull: there is no space for the copy.
    """
    revision = _revision(connection)
    if revision == HEAD:
        return
    if revision is None:
        database.require_no_content()
    elif not knows_revision(revision):
        raise CatalogFault(
            f"the catalog is at revision {revision}, which this version does not know (the latest it knows is {HEAD}); "
            f"fix: use the version that made it{database.way_back(HEAD)}",
            revision=revision,
            known=HEAD,
        )
    else:
        copied = database.copy(connection, revision)
        _LOG.info("catalog copied before its update", path=copied, format=int(revision))

    upgrade(connection, HEAD)
    if revision is None:
        _LOG.info("data folder created", path=database.place, format=int(HEAD))
    else:
        _LOG.info("data folder updated", path=database.place, format=int(HEAD), before=int(revision))


def upgrade(connection: Connection, revision: str) -> None:
    """Update the tables to a revision, from any earlier one or from none, inside the caller's transaction."""
    # Imported here, because most starts have nothing to migrate.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))  # Alembic interpolates "%"
    config.attributes["connection"] = connection
    # The caller tells of the update in words of this program.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    command.upgrade(config, revision)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revisions = connection.execute(text("SELECT version_num FROM alembic_version ORDER BY 1 DESC")).scalars().all()
    return revisions[0] if revisions else None


def knows_revision(revision: str) -> bool:
    """Return True if this version has a migration to a revision."""
    return revision in {file.name[1:5] for file in (MIGRATIONS / "versions").glob("v[0-9][0-9][0-9][0-9]_*.py")}

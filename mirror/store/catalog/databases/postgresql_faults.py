"""Errors of PostgreSQL in the words of this program."""

from __future__ import annotations

from typing import Final

import psycopg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from mirror.oci.errors import CatalogFault, StorageFault, StorageFull
from mirror.oci.remote_storage_errors import CatalogUnreachable
from mirror.store.storage_errors import fault_of

_RETRY_SECONDS: Final = 5
_NO_SPACE: Final = "53100"
#: SQLSTATE class of failed connections. PgBouncer has one of its codes while it cannot reach the server.
_NO_CONNECTION: Final = "08"
#: SQLSTATE of servers that will answer later: reason and fix.
_LATER: Final = {
    "53300": ("it has no connection left", "raise its max_connections, or lower server.workers"),
    "57P01": ("it is being shut down", "wait until it is up again"),
    "57P02": ("it has crashed and restarts", "wait until it is up again"),
    "57P03": ("it starts or recovers", "wait until it is up again"),
    "57P05": ("it ended the connection, which did nothing for long", "repeat the request"),
    "25P03": ("it ended the connection, which did nothing for long", "repeat the request"),
    "55P03": ("another change keeps it locked", "look for the one that holds the lock in pg_stat_activity"),
    "57014": ("the statement took too long", "look at the load of the server"),
    "25006": ("it is read-only: a standby, or set so", "name the primary in storage.catalog.url"),
    "40001": ("another change came first", "repeat the request"),
    "40P01": ("it ended the change, which waited for another one", "repeat the request"),
}
#: SQLSTATE of what an administrator must mend: reason and fix.
_REFUSED: Final = {
    "28P01": ("it refuses the password", "correct storage.catalog.password_file, or the password file of libpq"),
    "28000": ("it refuses the user", "correct the user in storage.catalog.url, or pg_hba.conf of the server"),
    "3D000": ("there is no such database", "create it: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"),
    "42501": ("the user may not do this", "make the user the owner of the database: ALTER DATABASE … OWNER TO …"),
    "42P01": ("it lacks tables of this version", "restore a backup of the database"),
    "42703": ("it lacks columns of this version", "restore a backup of the database"),
}
#: Texts of libpq about a connection that was not made, and the reasons in our words.
_LIBPQ: Final = (
    ("Connection refused", "nothing listens there"),
    ("could not translate host name", "the host name is unknown"),
    ("failed to resolve host", "the host name is unknown"),
    ("timeout expired", "it does not answer"),
    ("No such file or directory", "there is no such socket"),
    ("password authentication failed", "it refuses the password"),
    ("no password supplied", "it asks for a password"),
    ("no pg_hba.conf entry", "its pg_hba.conf refuses this client"),
    ("too many clients", "it has no connection left"),
    ("does not exist", "there is no such database or user"),
    ("starting up", "it starts"),
    ("certificate", "its TLS certificate is not trusted"),
    ("SSL", "TLS failed"),
)


def database_fault(error: BaseException, doing: str, place: str) -> BaseException:
    """Translate an error of PostgreSQL, or of SQLAlchemy alone. Others are translated as the store does.

    Args:
        error: any error.
        doing: the action, for the message, as "read the catalog".
        place: address of the database, without a password.
    """
    if isinstance(error, DBAPIError) and not isinstance(error.orig, psycopg.Error):
        return error  # of the other database of a copy
    if not isinstance(error, (psycopg.Error, SQLAlchemyError)):
        return fault_of(error, doing)
    fault = _of_database(error, doing, place)
    fault.__cause__ = error
    return fault


def _of_database(error: psycopg.Error | SQLAlchemyError, doing: str, place: str) -> StorageFault:
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlstate", None)
    told = f"cannot {doing} in {place}"
    if code == _NO_SPACE:
        return StorageFull(f"{told}: the disk of the server is full; fix: free some space on it, and repeat")
    if code in _REFUSED:
        reason, fix = _REFUSED[code]
        return CatalogFault(f"{told}: {reason}; fix: {fix}", code=code, path=place)
    if code in _LATER:
        reason, fix = _LATER[code]
    elif code is not None and code.startswith(_NO_CONNECTION):
        reason, fix = (
            "the connection failed, or a pooler has none to the server",
            "start the server, and look at its log",
        )
    elif code is None and isinstance(cause, psycopg.OperationalError):
        reason, fix = _no_connection(str(cause)), "start the server, or correct storage.catalog"
    elif isinstance(error, PoolTimeout):
        reason, fix = "all connections of this process are busy", "repeat the request"
    else:
        name = code or type(cause).__name__
        return CatalogFault(
            f"{told}: PostgreSQL failed ({name}); fix: see the log of the server", code=name, path=place
        )
    return CatalogUnreachable(
        f"{told}: {reason}; fix: {fix}", code=code or "none", path=place, retry_after_seconds=_RETRY_SECONDS
    )


def _no_connection(told: str) -> str:
    """Return the reason that there is no connection. libpq tells it as a text alone."""
    return next((reason for said, reason in _LIBPQ if said in told), "the connection was lost")

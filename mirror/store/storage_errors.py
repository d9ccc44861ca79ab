"""Translates errors of the disk and the database into errors of this program."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from mirror.oci.errors import CatalogFault, StorageFault, StorageFull

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
#: SQLite's error codes for a full disk: for a write, and for growing its shared memory file.
_SQLITE_NO_SPACE = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})


@contextmanager
def storage_faults(doing: str) -> Iterator[None]:
    """Translate the errors of disk and database that the block raises.

    Nothing else may run inside: an OSError of a client's connection is not an error of the store.

    Args:
        doing: the action for the error message, such as ``"write an upload"``.

    Raises:
        StorageFull: the disk or the quota has no space left.
        CatalogFault: the database failed for another reason.
        StorageFault: the disk failed for another reason.
    """
    try:
        yield
    except (OSError, SQLAlchemyError) as error:
        raise fault_of(error, doing) from error


def fault_of(error: BaseException, doing: str) -> BaseException:
    """Translate an error as :func:`storage_faults` does. Return an error of another kind unchanged."""
    match error:
        case OSError():
            fault = _of_disk(error, doing)
        case SQLAlchemyError():
            fault = _of_database(error, doing)
        case _:
            return error
    fault.__cause__ = error
    return fault


def _of_disk(error: OSError, doing: str) -> StorageFault:
    reason = error.strerror or str(error)
    if error.errno in _NO_SPACE:
        return StorageFull(f"cannot {doing}: {reason}; fix: free some space and repeat the request")
    return StorageFault(f"cannot {doing}: {reason}", errno=errno.errorcode.get(error.errno or 0, "unknown"))


def _of_database(error: SQLAlchemyError, doing: str) -> StorageFault:
    cause = error.orig if isinstance(error, DBAPIError) else None
    if getattr(cause, "sqlite_errorcode", None) in _SQLITE_NO_SPACE:
        return StorageFull(f"cannot {doing}: {cause}; fix: free some space and repeat the request")
    return CatalogFault(f"cannot {doing}: {cause or error}", code=getattr(cause, "sqlite_errorname", "unknown"))

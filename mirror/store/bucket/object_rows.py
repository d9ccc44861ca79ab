"""Rows about the objects of the bucket. All calls block; they are made inside a read or a change of the catalog."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, delete, exists, insert, select, update

from mirror.oci import Digest
from mirror.store.catalog import rows
from mirror.store.catalog.tables.content_tables import blobs
from mirror.store.catalog.tables.object_tables import bucket_objects, doomed_objects


class ObjectState(StrEnum):
    """State of an object."""

    #: A process writes the object, or has died doing so.
    WRITING = "writing"
    #: The object holds content of the catalog.
    STORED = "stored"


class ObjectGone(Exception):
    """The object of content was doomed between its look-up and the transaction that needs it."""


class StoredObject(NamedTuple):
    """An object that holds content."""

    key: str
    digest: Digest
    size_bytes: int


_IS_STORED: Final = bucket_objects.c.state == ObjectState.STORED.value
_STORED: Final = select(bucket_objects.c.key, bucket_objects.c.size_bytes).where(
    bucket_objects.c.digest == bindparam("digest"), _IS_STORED
)
_ALL_STORED: Final = select(bucket_objects.c.digest).where(
    bucket_objects.c.digest.in_(bindparam("digests", expanding=True)), _IS_STORED
)
_NOW_STORED: Final = (
    update(bucket_objects).where(bucket_objects.c.key == bindparam("of_key")).values(state=ObjectState.STORED.value)
)
_KEYS_OF: Final = select(bucket_objects.c.key).where(
    bucket_objects.c.digest.in_(bindparam("digests", expanding=True)), _IS_STORED
)
_LEFT: Final = select(bucket_objects.c.key).where(
    bucket_objects.c.state == ObjectState.WRITING.value, bucket_objects.c.made_at <= bindparam("before")
)
_NO_LONGER: Final = delete(bucket_objects).where(bucket_objects.c.key == bindparam("of_key"))
_DUE: Final = (
    select(doomed_objects.c.key)
    .where(doomed_objects.c.doomed_at <= bindparam("before"))
    .order_by(doomed_objects.c.doomed_at)
    .limit(bindparam("most"))
)
_GONE: Final = delete(doomed_objects).where(doomed_objects.c.key == bindparam("gone"))
_KNOWN: Final = (
    select(bucket_objects.c.key)
    .where(bucket_objects.c.key.in_(bindparam("keys", expanding=True)))
    .union(select(doomed_objects.c.key).where(doomed_objects.c.key.in_(bindparam("keys", expanding=True))))
)
_NEXT: Final = (
    select(bucket_objects.c.key, bucket_objects.c.digest, bucket_objects.c.size_bytes)
    .where(_IS_STORED, bucket_objects.c.key > bindparam("after"))
    .order_by(bucket_objects.c.key)
    .limit(bindparam("most"))
)
_CONTENT_WITHOUT_OBJECT: Final = (
    select(blobs.c.digest).where(~exists().where(bucket_objects.c.digest == blobs.c.digest, _IS_STORED)).limit(1)
)


def find_stored(connection: Connection, digest: Digest) -> StoredObject | None:
    """Return the object that holds content; None if there is none."""
    row = connection.execute(_STORED, {"digest": str(digest)}).first()
    return None if row is None else StoredObject(row.key, digest, row.size_bytes)


def stored_of(connection: Connection, digests: Iterable[str]) -> set[str]:
    """Return the digests among some whose content an object holds."""
    found: set[str] = set()
    for part in rows.parts(digests):
        found.update(connection.execute(_ALL_STORED, {"digests": part}).scalars())
    return found


def note_intent(connection: Connection, key: str, digest: Digest, size_bytes: int, now: datetime) -> None:
    """Record that this process is about to write an object."""
    row = {"key": key, "digest": str(digest), "size_bytes": size_bytes, "made_at": now}
    connection.execute(insert(bucket_objects), {**row, "state": ObjectState.WRITING.value})


def note_stored(connection: Connection, key: str, digest: Digest, now: datetime) -> bool:
    """Record that a written object holds content. If another one holds the content already, doom the new one.

    Returns:
        False if neither holds it: the intent is gone, because it was made too long ago.
    """
    found = find_stored(connection, digest)
    if found is not None:
        if found.key != key:
            _doom(connection, [key], now)
        return True
    return bool(connection.execute(_NOW_STORED, {"of_key": key}).rowcount)


def doom_objects_of(connection: Connection, digests: Iterable[str], now: datetime) -> None:
    """Doom the objects that hold content which the catalog no longer has."""
    for part in rows.parts(digests):
        _doom(connection, connection.execute(_KEYS_OF, {"digests": part}).scalars().all(), now)


def has_left_intents(connection: Connection, before: datetime) -> bool:
    """Return True if a writer of an object has died."""
    return connection.execute(_LEFT.limit(1), {"before": before}).first() is not None


def doom_left_intents(connection: Connection, before: datetime, now: datetime) -> int:
    """Doom the objects whose writers have died. Return their number."""
    left = connection.execute(_LEFT, {"before": before}).scalars().all()
    _doom(connection, left, now)
    return len(left)


def due_objects(connection: Connection, before: datetime, most: int) -> Sequence[str]:
    """Return the keys of objects that were doomed before a time, the oldest first."""
    return connection.execute(_DUE, {"before": before, "most": most}).scalars().all()


def forget_doomed(connection: Connection, keys: Collection[str]) -> None:
    """Forget objects that are deleted."""
    if keys:
        connection.execute(_GONE, [{"gone": key} for key in keys])


def unknown_keys(connection: Connection, keys: Collection[str]) -> set[str]:
    """Return the keys among some of which the catalog knows nothing."""
    known: set[str] = set()
    for part in rows.parts(keys):
        known.update(connection.execute(_KNOWN, {"keys": part}).scalars())
    return set(keys) - known


def next_stored(connection: Connection, after: str, most: int) -> list[StoredObject]:
    """Return the objects that hold content, in the order of their keys, from after a key on."""
    found = connection.execute(_NEXT, {"after": after, "most": most})
    return [StoredObject(row.key, Digest.parse(row.digest), row.size_bytes) for row in found]


def has_objects(connection: Connection) -> bool:
    """Return True if an object holds content, or is being written."""
    return connection.execute(select(bucket_objects.c.key).limit(1)).first() is not None


def has_content_without_object(connection: Connection) -> bool:
    """Return True if content of the catalog is in no object."""
    return connection.execute(_CONTENT_WITHOUT_OBJECT).first() is not None


def doom_object(connection: Connection, key: str, now: datetime) -> None:
    """Doom one object, whose bytes are wrong or which was not needed."""
    _doom(connection, [key], now)


def _doom(connection: Connection, keys: Sequence[str], now: datetime) -> None:
    if keys:
        connection.execute(_NO_LONGER, [{"of_key": key} for key in keys])
        rows.put(connection, doomed_objects, *({"key": key, "doomed_at": now} for key in keys))

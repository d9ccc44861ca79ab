"""Rows of changes, written in the transaction that makes the change.

The thread that writes has no context of its own, so the writer of the catalog passes the actor with the connection.
Without readers of changes there is no actor, and nothing is recorded. The rows of all changes of a transaction are
inserted at its end by one statement, which costs a push much less than a statement of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, insert

from mirror.oci import Digest, Repository
from mirror.records.changes.actor import ALLOWED_BY, IDENTIFIED, Actor, ActorKind
from mirror.records.changes.change import Change, ChangeKind, RecordedChange
from mirror.runtime.current_client import CLIENT
from mirror.runtime.current_rule import RULE
from mirror.store.catalog.tables.change_tables import changes

_ACTOR: Final = "actor"
_NOTED: Final = "noted changes"
_NEW: Final = insert(changes)
_ACTOR_FIELDS: Final = tuple(field.name for field in fields(Actor))
_CHANGE_FIELDS: Final = tuple(field.name for field in fields(Change) if field.name != "kind")


def current_actor() -> Actor:
    """Return the actor for whom the current task works."""
    if rule := RULE.get():
        return Actor(ActorKind.RULE, rule)
    address, identified = CLIENT.get(), IDENTIFIED.get()
    if identified is None:
        identified = Actor(ActorKind.ANONYMOUS if address else ActorKind.SERVER)
    return replace(identified, address=address, allowed_by=ALLOWED_BY.get())


def begin_changes(connection: Connection) -> None:
    """Begin a transaction without changes."""
    connection.info[_NOTED] = []


def work_for(connection: Connection, actor: Actor | None) -> int:
    """Set the actor of the changes that follow on a connection. None to record no changes.

    Returns:
        The number of changes of the transaction so far, for :func:`forget_changes`.
    """
    connection.info[_ACTOR] = actor
    return len(connection.info[_NOTED])


def forget_changes(connection: Connection, kept: int) -> None:
    """Forget the last changes of a transaction, which were rolled back. Keep a number of those before."""
    del connection.info[_NOTED][kept:]


def write_changes(connection: Connection) -> None:
    """Insert the rows of all changes of a transaction, in their order."""
    if noted := connection.info[_NOTED]:
        connection.execute(_NEW, noted)


def keeps_changes(connection: Connection) -> bool:
    """Return True if changes on a connection are recorded."""
    return connection.info.get(_ACTOR) is not None


def note_change(connection: Connection, now: datetime, *made: Change) -> None:
    """Record changes, if there are readers. Only inside :meth:`Catalog.write`."""
    actor: Actor | None = connection.info.get(_ACTOR)
    if actor is not None:
        connection.info[_NOTED] += ({"at": now, "kind": one.kind, "content": _content(one, actor)} for one in made)


def note_tags(
    connection: Connection,
    now: datetime,
    repository: Repository,
    after: Digest | None,
    tags: Iterable[tuple[str, str]],
    *,
    reason: str = "",
) -> None:
    """Record that tags were set or deleted, if there are readers. Only inside :meth:`Catalog.write`.

    Args:
        connection: the connection of the transaction.
        now: the present time.
        repository: repository of the tags.
        after: digest that the tags point to now; None if they were deleted.
        tags: names of the tags, each with the digest that it pointed to before, or an empty text.
        reason: why nobody in particular did so; empty if somebody did.
    """
    if not keeps_changes(connection):
        return
    to = "" if after is None else str(after)
    note_change(
        connection,
        now,
        *(
            Change(_kind_of(before, to), f"{repository}:{name}", repository.name, before, to, reason=reason)
            for name, before in tags
            if before != to
        ),
    )


def read_change(row: Row[Any]) -> RecordedChange:
    """Read a change from a row."""
    content = dict(row.content)
    actor = content.pop("actor")
    return RecordedChange(
        row.id,
        row.at,
        Actor(**{**actor, "kind": ActorKind(actor["kind"])}),
        Change(ChangeKind(row.kind), **content),
    )


def _kind_of(before: str, after: str) -> ChangeKind:
    if not after:
        return ChangeKind.TAG_DELETED
    return ChangeKind.TAG_MOVED if before else ChangeKind.TAG_CREATED


def _content(change: Change, actor: Actor) -> dict[str, object]:
    return _facts(change, _CHANGE_FIELDS) | {"actor": _facts(actor, _ACTOR_FIELDS)}


def _facts(of: Change | Actor, names: Iterable[str]) -> dict[str, object]:
    """Return the fields that are not empty. ``asdict`` would take half of the time of a change."""
    return {name: value for name in names if (value := getattr(of, name))}

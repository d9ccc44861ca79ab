"""Rows of changes, written in the transaction that makes the change.

The thread that writes has no context of its own, so the writer of the catalog passes the actor with the connection.
Without readers of changes there is no actor, and nothing is recorded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, insert

from mirror.oci import Digest, Repository
from mirror.records.changes.actor import ALLOWED_BY, IDENTIFIED, Actor, ActorKind
from mirror.records.changes.change import Change, ChangeKind, RecordedChange
from mirror.runtime.current_client import CLIENT
from mirror.runtime.current_rule import RULE
from mirror.store.catalog.pushes.prepared_statement import PreparedStatement
from mirror.store.catalog.tables.change_tables import changes

_ACTOR: Final = "actor"
# A push records a change too, so these are as cheap as they can be.
_NEW: Final = PreparedStatement(insert(changes).values({name: bindparam(name) for name in ("at", "kind", "content")}))
_TOLD: Final = [field.name for field in fields(Change) if field.name != "kind"]
_ACTOR_FIELDS: Final = [field.name for field in fields(Actor)]


def current_actor() -> Actor:
    """Return the actor for whom the current task works."""
    if rule := RULE.get():
        return Actor(ActorKind.RULE, rule)
    address, identified = CLIENT.get(), IDENTIFIED.get()
    if identified is None:
        identified = Actor(ActorKind.ANONYMOUS if address else ActorKind.SERVER)
    return replace(identified, address=address, allowed_by=ALLOWED_BY.get())


def work_for(connection: Connection, actor: Actor | None) -> None:
    """Set the actor of the changes that follow on a connection. None to record no changes."""
    connection.info[_ACTOR] = actor


def keeps_changes(connection: Connection) -> bool:
    """Return True if changes on a connection are recorded."""
    return connection.info.get(_ACTOR) is not None


def note_change(connection: Connection, now: datetime, *made: Change) -> None:
    """Record changes, if there are readers. Only inside :meth:`Catalog.write`."""
    actor: Actor | None = connection.info.get(_ACTOR)
    if actor is not None and made:
        by = _given(actor, _ACTOR_FIELDS)
        _NEW.change(
            connection,
            [{"at": now, "kind": one.kind.value, "content": _given(one, _TOLD) | {"actor": by}} for one in made],
        )


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


def _given(value: Change | Actor, names: Iterable[str]) -> dict[str, object]:
    """Return the fields of a value that are not empty."""
    return {name: given for name in names if (given := getattr(value, name))}

"""Changes, as they are recorded in the transaction that makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from mirror.records.changes.actor import Actor


class ChangeKind(StrEnum):
    """Kind of a change. The values are names that users rely on."""

    TAG_CREATED = "tag.created"
    TAG_MOVED = "tag.moved"
    TAG_DELETED = "tag.deleted"
    MANIFEST_DELETED = "manifest.deleted"
    BLOB_DELETED = "blob.deleted"
    TAG_PINNED = "tag.pinned"
    TAG_UNPINNED = "tag.unpinned"
    PLUGIN_APPROVED = "plugin.approved"
    PLUGIN_REJECTED = "plugin.rejected"
    #: The verdict of the admission policy on a plugin.
    PLUGIN_ADMITTED = "plugin.admitted"
    PLUGIN_HELD = "plugin.held"
    PLUGIN_DENIED = "plugin.denied"
    #: A tag that a rule copied moved to a plugin that requests other privileges.
    PRIVILEGES_CHANGED = "plugin.privileges_changed"
    #: A tag moved upstream, and its rule did not follow.
    UPSTREAM_TAG_HELD = "upstream.tag_held"
    #: A tag no longer exists upstream, and stays here.
    UPSTREAM_TAG_GONE = "upstream.tag_gone"
    SYNC_FAILED = "sync.failed"
    CONTENT_DAMAGED = "content.damaged"
    CATALOG_RESTORED = "catalog.restored"
    CATALOG_RECOVERED = "catalog.recovered"
    BUNDLE_IMPORTED = "bundle.imported"
    USER_ADDED = "user.added"
    USER_REMOVED = "user.removed"
    PASSWORD_CHANGED = "user.password_changed"  # noqa: S105 - the name of a change
    TOKEN_CREATED = "token.created"  # noqa: S105 - the name of a change
    TOKEN_REVOKED = "token.revoked"  # noqa: S105 - the name of a change
    #: Somebody was not allowed a change.
    REFUSED = "change.refused"
    LOGIN_FAILED = "login.failed"


@dataclass(frozen=True, slots=True)
class Change:
    """A change, or an attempt that was refused.

    Attributes:
        kind: kind of the change.
        subject: what is changed: ``acme/driver:1.0``, ``acme/driver@sha256:…``, or the name of a user.
        repository: name of the repository; empty for changes outside repositories.
        before: digest or value before the change; empty for none.
        after: digest or value after the change; empty for none.
        rule: name of the rule that decided; empty if none did.
        reason: reason of a decision or refusal; the note of a person.
        detail: further facts.
    """

    kind: ChangeKind
    subject: str
    repository: str = ""
    before: str = ""
    after: str = ""
    rule: str = ""
    reason: str = ""
    detail: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordedChange:
    """A change with its place in the order of all changes.

    Attributes:
        id: number of the change. Later changes have larger numbers.
        at: time of the change, in UTC.
        actor: the person or program that made the change.
        change: the change.
    """

    id: int
    at: datetime
    actor: Actor
    change: Change


@dataclass(frozen=True, slots=True)
class ReaderPosition:
    """The place that a reader of changes has reached.

    Attributes:
        change_id: number of the last change that the reader has taken; 0 for none.
        mark: text that the reader keeps with its place.
    """

    change_id: int = 0
    mark: str = ""


class ChangeLog(Protocol):
    """Port to the recorded changes. Each reader takes every change, and a change stays until all readers have it."""

    async def read(self, after: int, most: int) -> Sequence[RecordedChange]:
        """Return the changes after a number, in order: at most ``most``."""
        ...

    async def position(self, reader: str) -> ReaderPosition:
        """Return the place of a reader."""
        ...

    async def advance(self, reader: str, position: ReaderPosition, readers: Sequence[str]) -> None:
        """Record the place of a reader, and remove the changes that all readers have taken.

        Args:
            reader: name of the reader.
            position: place that it has reached.
            readers: names of all readers. Places of others are removed.
        """
        ...

    async def begin_anew(self) -> None:
        """Remove the marks of all readers: numbers of changes may come again, because a backup was restored."""
        ...

    async def oldest(self, reader: str) -> datetime | None:
        """Return the time of the first change that a reader has not taken, in UTC; None if it has taken all."""
        ...

    async def note(self, change: Change) -> None:
        """Record a change that is no change of the catalog, such as a refusal, for the current actor."""
        ...

"""Holders: work under way that needs content to stay, such as an import, and the protocol of their records."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, TypeAlias

from mirror.oci import Digest, Repository

#: Content of a holder: None stands for all repositories, or for all content of the repository.
HeldPart: TypeAlias = tuple[Repository | None, Digest | None]


class HolderPurpose(StrEnum):
    """Kind of the work that holds content."""

    IMPORT = "import"
    EXPORT = "export"
    TAG = "tag"
    DERIVE = "derive"
    SYNC = "sync"
    BACKUP = "backup"
    SCRUB = "scrub"


@dataclass(frozen=True, slots=True)
class ContentHolder:
    """Work under way that needs content.

    Attributes:
        id: at most 36 characters. A holder with the same id replaces this one.
        purpose: kind of the work.
        detail: description for operators, such as the name of a bundle.
        content: the content that the collection leaves alone meanwhile.
    """

    id: str
    purpose: HolderPurpose
    detail: str
    content: Collection[HeldPart]


@dataclass(frozen=True, slots=True)
class RecordedHolder:
    """Holder as recorded.

    Attributes:
        purpose: kind of the work.
        detail: description for operators.
        began_at: time at which the work began.
        until: time at which the content is free again, unless the work goes on.
    """

    purpose: HolderPurpose
    detail: str
    began_at: datetime
    until: datetime


class ContentHolders(Protocol):
    """Port to the holders of a store. All methods raise StorageFault."""

    async def hold(self, holder: ContentHolder, lease: timedelta) -> None:
        """Record a holder. Its content stays for the time of the lease."""
        ...

    async def extend(self, holder: ContentHolder, lease: timedelta) -> None:
        """Begin the lease of a holder again. A holder that somebody has removed is recorded again."""
        ...

    async def release(self, holder: ContentHolder) -> None:
        """Remove a holder. The collection looks at its content again."""
        ...

    async def holders(self) -> Sequence[RecordedHolder]:
        """Return the holders whose lease has not ended, the oldest first."""
        ...

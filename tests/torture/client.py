"""One client: two repositories of its own, a tag that it shares with the others, and what it knows of them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.torture import contents
from tests.torture.contents import Content
from tests.torture.model import Repository
from tests.torture.register import Move

SHARED_REPOSITORY = "torture/shared"
SHARED_TAG = "latest"

_MIB = 1024 * 1024
#: Everybody pushes, mounts and deletes these, each in repositories of their own.
_SHARED = [*(contents.blob(f"shared {number}", 5_000 * number + 1) for number in range(4))]
_SHARED += [contents.blob("shared, large", 3 * _MIB + 17)]


@dataclass(slots=True)
class OpenUpload:
    """An upload that was broken off.

    Attributes:
        acknowledged_bytes, sent_bytes: at least and at most so many are held.
        closing: whether it may have become a blob.
    """

    repository: Repository
    location: str
    content: Content
    acknowledged_bytes: int = 0
    sent_bytes: int = 0
    closing: bool = False


@dataclass(slots=True)
class Client:
    """What one client pushes, and what it knows of it.

    Attributes:
        number: its number; no other client has its repositories.
        choices: what to do next.
        acknowledged: changes that the server acknowledged, by kind.
        moves: of the shared tag, those of this client.
        left_open: an upload that no answer came to.
    """

    number: int
    choices: random.Random
    repositories: tuple[Repository, Repository] = field(init=False)
    blobs: list[Content] = field(init=False)
    images: list[tuple[Content, frozenset[str]]] = field(init=False)
    acknowledged: Counter[str] = field(default_factory=Counter)
    moves: list[Move] = field(default_factory=list)
    left_open: OpenUpload | None = None

    def __post_init__(self) -> None:
        name = f"torture/client-{self.number}"
        self.repositories = (Repository(f"{name}/plugin"), Repository(f"{name}/copy"))
        own = [contents.blob(f"{name} {number}", 3_000 * number + 10) for number in range(8)]
        large = [contents.blob(f"{name}, large {number}", (number + 1) * _MIB + 4_321) for number in range(3)]
        self.blobs = [*own, *large, *_SHARED]
        layers: list[Sequence[Content]] = [[own[2]], [own[3], large[0]], [_SHARED[1]], [_SHARED[4]], [large[1], own[4]]]
        self.images = [
            (
                contents.image(f"{name} {number}", own[number % 2], layer),
                frozenset(one.digest for one in (own[number % 2], *layer)),
            )
            for number, layer in enumerate(layers)
        ]
        self.images += [(contents.index(f"{name}, index {number}"), frozenset()) for number in range(3)]

"""One client: its two repositories, a tag shared with other clients, and its knowledge of the server's state."""

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
#: All clients push, mount and delete these blobs, each client in its own repositories.
_SHARED = [*(contents.blob(f"shared {number}", 5_000 * number + 1) for number in range(4))]
_SHARED += [contents.blob("shared, large", 3 * _MIB + 17)]


@dataclass(slots=True)
class OpenUpload:
    """An upload session that was interrupted.

    Attributes:
        repository: Repository of the session.
        location: URL path of the session.
        content: Content of the upload.
        acknowledged_bytes: Number of bytes that the server must hold at least.
        sent_bytes: Number of bytes that the server may hold at most.
        closing: True if the upload may have become a blob.
    """

    repository: Repository
    location: str
    content: Content
    acknowledged_bytes: int = 0
    sent_bytes: int = 0
    closing: bool = False


@dataclass(slots=True)
class Client:
    """Content of one client, and its knowledge of the server's state.

    Attributes:
        number: Number of the client. No other client uses its repositories.
        choices: Random choices of the client.
        repositories: The client's repositories.
        blobs: Blobs that the client pushes.
        images: Manifests that the client pushes, with the digests of the blobs that they need.
        acknowledged: Number of changes that the server acknowledged, by kind.
        moves: Moves of the shared tag by this client.
        left_open: Upload session whose last request got no response, or None.
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
        # Some layers are shared with other clients, which may delete them in their own repositories.
        layers: list[Sequence[Content]] = [[own[2]], [own[3], large[0]], [_SHARED[1]], [_SHARED[4]], [large[1], own[4]]]
        self.images = [
            (
                contents.image(f"{name} {number}", own[number % 2], layer),
                frozenset(one.digest for one in (own[number % 2], *layer)),
            )
            for number, layer in enumerate(layers)
        ]
        self.images += [(contents.index(f"{name}, index {number}"), frozenset()) for number in range(3)]

    @property
    def needs(self) -> dict[str, frozenset[str]]:
        """Digests of the blobs that each manifest needs."""
        return {manifest.digest: needs for manifest, needs in self.images}

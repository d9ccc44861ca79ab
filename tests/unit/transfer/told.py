"""An observer of downloads that records each call."""

from __future__ import annotations

from mirror.oci import Digest, Repository
from mirror.oci.errors import MirrorError


class Told:
    """A recorder of the observer's calls."""

    def __init__(self) -> None:
        self.received_bytes = 0
        self.failures: list[tuple[str, str]] = []
        self.stored: list[Repository] = []

    def received(self, upstream: str, repository: Repository, size_bytes: int) -> None:
        self.received_bytes += size_bytes

    def failed(self, upstream: str, error: MirrorError) -> None:
        self.failures.append((upstream, type(error).__name__))

    async def note(self, repository: Repository, _digest: Digest) -> None:
        self.stored.append(repository)

"""Who asks, as far as what is shown depends on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mirror.oci import Digest, Repository, Tag
from mirror.registry.port import Registry
from mirror.wire.user_agent import Engine


@dataclass(frozen=True, slots=True)
class Client:
    """What a request says of who sent it.

    Attributes:
        engine: the Docker Engine that asks; None for any other client.
        takes_index: whether it asks for indexes by their type.
        address: where the request came from: of the connection, or what a trusted proxy says.
    """

    engine: Engine | None = None
    takes_index: bool = False
    address: str = ""

    @property
    def architecture(self) -> str | None:
        """The engine's; None where nobody says one."""
        return None if self.engine is None else self.engine.architecture

    @property
    def wants_index(self) -> bool:
        """True where an index itself is given: the client asks for indexes, and is no engine, which installs none."""
        return self.takes_index and self.engine is None


class ClientViews(Protocol):
    """How clients are told apart when they read manifests."""

    def concerns(self, repository: Repository, target: Tag | Digest) -> bool:
        """Whether it matters who reads a manifest; cheap, because every pull asks."""
        ...

    def varies_by_client(self, repository: Repository, target: Tag | Digest) -> bool:
        """Whether clients may be answered differently, so that no cache may give one what another was given."""
        ...

    def view_for(self, client: Client, registry: Registry) -> Registry:
        """A registry as this client sees it."""
        ...

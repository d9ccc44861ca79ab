"""Properties of a client that decide what the registry shows to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mirror.oci import Digest, Repository, Tag
from mirror.registry.port import Registry
from mirror.wire.user_agent import Engine


@dataclass(frozen=True, slots=True)
class Client:
    """Properties that a request tells about its sender.

    Attributes:
        engine: the Docker Engine that sent the request; None for any other client.
        takes_index: True if the client accepts indexes by their media type.
        address: client address: of the connection, or as a trusted proxy reports it.
    """

    engine: Engine | None = None
    takes_index: bool = False
    address: str = ""

    @property
    def architecture(self) -> str | None:
        """Architecture of the engine; None if the client is no engine or the engine does not say."""
        return None if self.engine is None else self.engine.architecture

    @property
    def wants_index(self) -> bool:
        """True if the client is answered with an index itself.

        Such a client accepts indexes and is not an engine. Engines cannot install an index as a plugin.
        """
        return self.takes_index and self.engine is None


class ClientViews(Protocol):
    """Port that gives clients different views of a registry when they read manifests."""

    def concerns(self, repository: Repository, target: Tag | Digest) -> bool:
        """Check whether the answer for a manifest may depend on the client.

        Must be cheap: every pull calls this method.
        """
        ...

    def varies_by_client(self, repository: Repository, target: Tag | Digest) -> bool:
        """Check whether clients may get different answers, so that a cache must not share an answer between clients."""
        ...

    def view_for(self, client: Client, registry: Registry) -> Registry:
        """Return the registry as this client sees it."""
        ...

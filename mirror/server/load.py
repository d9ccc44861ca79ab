"""What a server has under way, as those see it who serve, watch and limit it."""

from __future__ import annotations

from dataclasses import dataclass

from mirror.server.connection import Connections
from mirror.server.in_flight import InFlight
from mirror.server.limits import Limits
from mirror.server.uploading import Uploading


@dataclass(frozen=True, slots=True)
class Load:
    """What one process has under way.

    Attributes:
        in_flight: requests.
        connections: connections.
        uploading: requests that send content.
    """

    in_flight: InFlight
    connections: Connections
    uploading: Uploading

    @classmethod
    def within(cls, limits: Limits) -> Load:
        """Nothing yet, and at most what the limits allow."""
        return cls(InFlight(), Connections(limits.connections), Uploading(limits.uploads_per_client))

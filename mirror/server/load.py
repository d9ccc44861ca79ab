"""Activity of a server, as those see it who serve, watch and limit it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from mirror.runtime.heavy_work import HeavyWork
from mirror.runtime.places import Places
from mirror.server.connections import Connections
from mirror.server.in_flight import InFlight
from mirror.server.limits import Limits
from mirror.server.refusals import Refusals
from mirror.server.shares import Shares

#: Large manifests of one client that are received or worked on at a time: each is held in memory whole.
LARGE_MANIFESTS_PER_CLIENT: Final = 4


@dataclass(frozen=True, slots=True)
class Load:
    """Activity of one process.

    Attributes:
        in_flight: requests.
        connections: connections.
        requests: requests, by client; counted behind a proxy, whose connections are its own.
        uploading: requests that send content, by client.
        large_manifests: manifests that are more than light work, by client.
        heavy: work on content that would keep the event loop busy.
        crowding: clients that had as many connections as they may, or as many requests behind a proxy.
        beginning: clients that may begin no more uploads, because as many are open as there may be.
        dawdling: clients whose body was ended, because it came slowly while others waited.
        now_seconds: a clock that never goes back.
    """

    in_flight: InFlight
    connections: Connections
    requests: Shares
    uploading: Shares
    large_manifests: Places
    heavy: HeavyWork
    crowding: Refusals
    beginning: Refusals
    dawdling: Refusals
    now_seconds: Callable[[], float]

    def is_crowded(self, client: str) -> bool:
        """Tell whether others wait, or will soon, for a place that a client has taken."""
        shares = (self.connections, self.requests, self.uploading)
        return any(share.are_nearly_taken(client) for share in shares)

    @classmethod
    def within(cls, limits: Limits, now_seconds: Callable[[], float] = monotonic) -> Load:
        """Nothing yet, and at most what the limits allow."""
        crowding = Refusals("server.limits.connections_per_client")
        return cls(
            InFlight(),
            Connections(limits, crowding),
            Shares("requests", limits.connections_per_client, crowding),
            Shares("uploads", limits.uploads_per_client, Refusals("server.limits.uploads_per_client")),
            Places(LARGE_MANIFESTS_PER_CLIENT),
            HeavyWork(),
            crowding,
            Refusals("server.limits.upload_sessions_per_client or upload_sessions"),
            Refusals("server.limits.least_body_bytes_per_second"),
            now_seconds,
        )

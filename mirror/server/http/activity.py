"""Activity of a server, as those see it who serve, watch and limit it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from mirror.runtime.concurrency.cpu_offload import CpuOffload
from mirror.runtime.concurrency.per_owner_limit import PerOwnerLimit
from mirror.server.http.client_limits import ClientLimits
from mirror.server.http.connection_limits import ConnectionLimits
from mirror.server.http.in_flight import RequestsInFlight
from mirror.server.http.refusal_log import RefusalLog
from mirror.server.http.server_limits import ServerLimits

#: Large manifests of one client that are received or worked on at a time: each is held in memory whole.
LARGE_MANIFESTS_PER_CLIENT: Final = 4


@dataclass(frozen=True, slots=True)
class Activity:
    """Activity of one process.

    Attributes:
        in_flight: requests.
        connections: connections.
        requests: requests, by client; counted behind a proxy, whose connections are its own.
        uploading: requests that send content, by client.
        large_manifests: manifests that are more than light work, by client.
        cpu_offload: work on content that would keep the event loop busy.
        crowding: clients that had as many connections as they may, or as many requests behind a proxy.
        beginning: clients that may begin no more uploads, because as many are open as there may be.
        dawdling: clients whose body was ended, because it came slowly while others waited.
        now_seconds: a clock that never goes back.
    """

    in_flight: RequestsInFlight
    connections: ConnectionLimits
    requests: ClientLimits
    uploading: ClientLimits
    large_manifests: PerOwnerLimit
    cpu_offload: CpuOffload
    crowding: RefusalLog
    beginning: RefusalLog
    dawdling: RefusalLog
    now_seconds: Callable[[], float]

    def is_crowded(self, client: str) -> bool:
        """Tell whether others wait, or will soon, for a place that a client has taken."""
        shares = (self.connections, self.requests, self.uploading)
        return any(slot.are_nearly_taken(client) for slot in shares)

    @classmethod
    def within(cls, limits: ServerLimits, now_seconds: Callable[[], float] = monotonic) -> Activity:
        """Nothing yet, and at most what the limits allow."""
        crowding = RefusalLog("server.limits.connections_per_client")
        return cls(
            RequestsInFlight(),
            ConnectionLimits(limits, crowding),
            ClientLimits("requests", limits.connections_per_client, crowding),
            ClientLimits("uploads", limits.uploads_per_client, RefusalLog("server.limits.uploads_per_client")),
            PerOwnerLimit(LARGE_MANIFESTS_PER_CLIENT),
            CpuOffload(),
            crowding,
            RefusalLog("server.limits.upload_sessions_per_client or upload_sessions"),
            RefusalLog("server.limits.least_body_bytes_per_second"),
            now_seconds,
        )

"""The current activity of one server process, shared by the parts that serve, observe and limit requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final

from mirror.runtime.concurrency.cpu_offload import CpuOffload
from mirror.runtime.concurrency.per_owner_limit import PerOwnerLimit
from mirror.server.http.client_limits import ClientLimits
from mirror.server.http.connection_limits import ConnectionLimits
from mirror.server.http.in_flight import RequestsInFlight
from mirror.server.http.refusal_log import RefusalLog
from mirror.server.http.server_limits import ServerLimits

#: Most large manifests of one client received or processed at a time. Each is held in memory completely.
LARGE_MANIFESTS_PER_CLIENT: Final = 4


@dataclass(frozen=True, slots=True)
class Activity:
    """The current activity of one process.

    Attributes:
        in_flight: the requests under way.
        connections: the open connections.
        requests: requests per client. Counted behind a proxy only, where all connections belong to the proxy.
        uploading: requests with content per client.
        large_manifests: manifests of more than :data:`LIGHT_BYTES` per client.
        cpu_offload: runs content processing that would block the event loop.
        crowding: log of clients refused at their limit of connections, or of requests behind a proxy.
        beginning: log of clients refused at the limit of open upload sessions.
        dawdling: log of clients whose slow body or slow answer was ended because other requests waited.
        stalling: log of clients whose connection was ended because they took nothing of an answer.
        now_seconds: a monotonic clock, in seconds.
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
    stalling: RefusalLog
    now_seconds: Callable[[], float]

    def continued(self) -> Activity:
        """Return the same activity with a count of its own for new requests. For a configuration that takes over."""
        return replace(self, in_flight=RequestsInFlight(self.in_flight))

    def limit(self, limits: ServerLimits) -> None:
        """Apply other limits from now on. What is under way goes on, also beyond them."""
        self.connections.limit(limits)
        self.requests.most_per_client = limits.connections_per_client
        self.uploading.most_per_client = limits.uploads_per_client

    def is_crowded(self, client: str) -> bool:
        """Return True if others wait, or soon will, for the slots occupied by a client."""
        shares = (self.connections, self.requests, self.uploading)
        return any(slot.are_nearly_taken(client) for slot in shares)

    @classmethod
    def within(cls, limits: ServerLimits, now_seconds: Callable[[], float] = monotonic) -> Activity:
        """Create the activity of an idle process with the given limits."""
        crowding = RefusalLog("server.limits.connections_per_client")
        return cls(
            RequestsInFlight(),
            ConnectionLimits(limits, crowding),
            # Behind a proxy, one request counts as one connection does elsewhere: the same limit and the same log.
            ClientLimits("requests", limits.connections_per_client, crowding),
            ClientLimits("uploads", limits.uploads_per_client, RefusalLog("server.limits.uploads_per_client")),
            PerOwnerLimit(LARGE_MANIFESTS_PER_CLIENT),
            CpuOffload(),
            crowding,
            RefusalLog("server.limits.upload_sessions_per_client or upload_sessions"),
            RefusalLog("server.limits.least_body_bytes_per_second"),
            RefusalLog("server.limits.idle_seconds"),
            now_seconds,
        )

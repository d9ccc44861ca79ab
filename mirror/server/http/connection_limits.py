"""Counts and limits of the connections of a process, per client and in total."""

from __future__ import annotations

from enum import Enum, auto

from aiohttp import web

from mirror.server.http import error_responses
from mirror.server.http.client_limits import NEARLY, ClientLimits
from mirror.server.http.refusal_log import RefusalLog
from mirror.server.http.server_limits import ServerLimits


class ConnectionDecision(Enum):
    """The decision about a new connection."""

    #: Requests are served.
    SERVED = auto()
    #: The client has reached its limit; requests get 429.
    CLIENT_HAS_ENOUGH = auto()
    #: The process has reached its limit; requests get 503.
    FULL = auto()
    #: The client's network may not use this address of the server; requests get 403.
    OUTSIDE = auto()
    #: The connection is aborted without an answer.
    ENDED = auto()


class ConnectionLimits:
    """Counts the connections of this process and decides about new ones.

    Args:
        limits: the limits to enforce.
        refusals: records clients at their limit.

    Attributes:
        count: number of open connections, including those that only get an error answer.
        refused: number of connections refused at the limit for all clients.
    """

    def __init__(self, limits: ServerLimits, refusals: RefusalLog) -> None:
        self.refused = 0
        self._limits = limits
        self._served = ClientLimits("connections", limits.connections_per_client, refusals)
        self._surplus = 0

    @property
    def count(self) -> int:
        return self._served.count + self._surplus

    def limit(self, limits: ServerLimits) -> None:
        """Enforce other limits from now on. Open connections stay open."""
        self._limits = limits
        self._served.most_per_client = limits.connections_per_client

    def are_nearly_taken(self, client: str) -> bool:
        """Return True if 7/8 of the limit in total, or of this client's limit, is reached."""
        return self._served.count >= NEARLY * self._limits.connections or self._served.are_nearly_taken(client)

    def arrived(self, client: str, *, is_outside: bool = False) -> ConnectionDecision:
        """Decide about a new connection, and count it unless it is aborted.

        Args:
            client: the client to count for; empty if the client is unknown until the request, as behind a proxy.
            is_outside: True if the client's network may not connect.
        """
        welcome = self._welcome(client, is_outside=is_outside)
        if welcome is ConnectionDecision.SERVED:
            self._served.add(client or None)
        elif welcome is not ConnectionDecision.ENDED:
            self._surplus += 1
        return welcome

    def left(self, client: str, welcome: ConnectionDecision) -> None:
        """Stop counting a connection counted by :meth:`arrived`."""
        if welcome is ConnectionDecision.SERVED:
            self._served.remove(client or None)
        else:
            self._surplus -= 1

    async def answer_full(self, _request: web.BaseRequest) -> web.StreamResponse:
        """Answer any request on a connection beyond the total limit with 503.

        An answer is better than an aborted connection: a load balancer tries another server, and people see the reason.
        """
        most = self._limits.connections
        message = (
            f"the server has reached its limit of {most} connections; "
            "fix: try again later, or raise server.limits.connections"
        )
        return error_responses.turned_away(503, "UNKNOWN", message, most)

    async def answer_client(self, _request: web.BaseRequest) -> web.StreamResponse:
        """Answer any request on a connection beyond the client's limit with 429."""
        most = self._limits.connections_per_client
        message = (
            f"your address has reached its limit of {most} connections, counting all hosts behind it; "
            "fix: close or reuse connections, or raise server.limits.connections_per_client"
        )
        return error_responses.turned_away(429, "TOOMANYREQUESTS", message, most)

    async def answer_outside(self, _request: web.BaseRequest) -> web.StreamResponse:
        """Answer any request from a network that may not connect with 403."""
        message = (
            "this address of the server, without TLS, is not for your network; "
            "fix: use https:// with the other address, or add the network to server.plain.networks"
        )
        return error_responses.turned_away(403, "DENIED", message)

    def _welcome(self, client: str, *, is_outside: bool) -> ConnectionDecision:
        if is_outside:
            welcome = ConnectionDecision.OUTSIDE
        elif self._served.refuses(client or None):
            welcome = ConnectionDecision.CLIENT_HAS_ENOUGH
        elif self._served.count >= self._limits.connections:
            self.refused += 1
            welcome = ConnectionDecision.FULL
        else:
            return ConnectionDecision.SERVED
        return welcome if self._surplus < self._limits.surplus_connections else ConnectionDecision.ENDED

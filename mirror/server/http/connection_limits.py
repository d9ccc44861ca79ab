"""The connections of a process: counted, and held to a limit for each client and in all."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from aiohttp import web

from mirror.server.http import error_responses
from mirror.server.http.client_limits import NEARLY, ClientLimits
from mirror.server.http.refusal_log import RefusalLog
from mirror.server.http.server_limits import ServerLimits

#: Connections beyond a limit that are told so, of all clients together.
_SURPLUS: Final = 128


class ConnectionDecision(Enum):
    """Decision about a new connection."""

    SERVED = auto()
    CLIENT_HAS_ENOUGH = auto()
    FULL = auto()
    ENDED = auto()


class ConnectionLimits:
    """The connections of this process.

    Args:
        limits: how many are served at a time.
        refusals: told of clients that have as many as they may.

    Attributes:
        count: how many there are, those included that are only told that they are too many.
        refused: how many were beyond the limit of all clients.
    """

    def __init__(self, limits: ServerLimits, refusals: RefusalLog) -> None:
        self.refused = 0
        self._limits = limits
        self._served = ClientLimits("connections", limits.connections_per_client, refusals)
        self._surplus = 0

    @property
    def count(self) -> int:
        return self._served.count + self._surplus

    def are_nearly_taken(self, client: str) -> bool:
        """Tell whether there are nearly as many as are served, in all or of this client."""
        return self._served.count >= NEARLY * self._limits.connections or self._served.are_nearly_taken(client)

    def arrived(self, client: str) -> ConnectionDecision:
        """Count a connection, unless it is to be ended at once, and say what becomes of it.

        Args:
            client: whom it is counted for; empty: for nobody, because who it comes from is not known yet.
        """
        welcome = self._welcome(client)
        if welcome is ConnectionDecision.SERVED:
            self._served.add(client or None)
        elif welcome is not ConnectionDecision.ENDED:
            self._surplus += 1
        return welcome

    def left(self, client: str, welcome: ConnectionDecision) -> None:
        """Count a connection no more that :meth:`arrived` has counted."""
        if welcome is ConnectionDecision.SERVED:
            self._served.remove(client or None)
        else:
            self._surplus -= 1

    async def answer_full(self, _request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request on a connection that is one too many in all, whatever it asks.

        An answer, and not silence: a balancer takes its request elsewhere, and people see why.
        """
        most = self._limits.connections
        message = f"the server has its {most} connections: try again, or raise server.limits.connections"
        return error_responses.turned_away(503, "UNKNOWN", message, most)

    async def answer_client(self, _request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request on a connection that is one too many of its client, whatever it asks."""
        most = self._limits.connections_per_client
        message = (
            f"your address has {most} connections already, all hosts behind it together: close some, use them for "
            "more than one request, or raise server.limits.connections_per_client"
        )
        return error_responses.turned_away(429, "TOOMANYREQUESTS", message, most)

    def _welcome(self, client: str) -> ConnectionDecision:
        if self._served.refuses(client or None):
            welcome = ConnectionDecision.CLIENT_HAS_ENOUGH
        elif self._served.count >= self._limits.connections:
            self.refused += 1
            welcome = ConnectionDecision.FULL
        else:
            return ConnectionDecision.SERVED
        return welcome if self._surplus < _SURPLUS else ConnectionDecision.ENDED

"""The application behind the connections of a process, which a reload of the configuration replaces."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from mirror.server.http_application import Application
from mirror.server.tls.tls_handshake import HandshakeOutcome


class LiveApplication:
    """The application that answers the requests of all connections, which another one may replace.

    Args:
        application: the application.

    Attributes:
        application: the application that gets new requests.
        requests: counts the answers.
        forwarded: finds the clients behind reverse proxies.
    """

    __slots__ = ("_replaced", "application", "forwarded", "requests")

    def __init__(self, application: Application) -> None:
        self._replaced: list[Callable[[], object]] = []
        self._take(application)

    def handle(self, request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        """Let the application answer a request."""
        return self.application.handle(request)

    def handshake_ended(self, outcome: HandshakeOutcome) -> None:
        """Count a TLS handshake."""
        self.requests.handshake_ended(outcome)

    def replace(self, application: Application) -> None:
        """Let another application answer all new requests, also those on open connections.

        Limits of a connection apply to new connections. The application answers with the activity of the former one
        (:meth:`mirror.server.http.activity.Activity.continued`), whose requests go on.
        """
        self._take(application)
        application.activity.limit(application.limits)
        for call in self._replaced:
            call()

    def on_replace(self, call: Callable[[], object]) -> None:
        """Call a function after each replacement."""
        self._replaced.append(call)

    def _take(self, application: Application) -> None:
        self.application, self.requests, self.forwarded = application, application.requests, application.forwarded

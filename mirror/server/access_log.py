"""The access log: one line and one count per answer. Queries and headers are left out, as they may hold secrets."""

from __future__ import annotations

import logging
from collections.abc import Callable

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from mirror.runtime.logs import REQUEST_ID
from mirror.server.handlers.blob_response import BlobResponse
from mirror.server.http import header_names
from mirror.server.http.error_responses import RefusalResponse
from mirror.server.http.prebuilt_response import PrebuiltResponse
from mirror.server.live_application import LiveApplication
from mirror.server.request_context import CLIENT_CERTIFICATE, ROUTE, USER

_MAX_PATH = 1024
_MAX_ERROR = 1024


class AccessLog(AbstractAccessLogger):
    """Logs and counts answers. aiohttp calls :meth:`log` after an answer was written or has failed.

    Args:
        live: counts the answers, and finds the clients behind reverse proxies.
        write: writes an event to the log.
        logger: required by aiohttp; not used.
        log_format: required by aiohttp; not used.
    """

    def __init__(
        self,
        live: LiveApplication,
        write: Callable[[dict[str, object]], None],
        logger: logging.Logger,
        log_format: str,
    ) -> None:
        super().__init__(logger, log_format)
        self._live = live
        self._write = write

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Log and count an answer.

        Args:
            request: the request.
            response: the answer.
            time: seconds from the request's headers to the end of the answer.
        """
        live = self._live
        route, status, received_bytes = request.get(ROUTE), response.status, request.content.total_bytes
        # Not isinstance(): for abstract classes such as aiohttp's responses it is slow, and this runs for every answer.
        if type(response) is PrebuiltResponse:
            sent_bytes = response.sent_bytes
        elif type(response) is BlobResponse:
            sent_bytes = response.sent_bytes
            live.requests.blob_headers.observe(time - response.sending_seconds)
        else:
            sent_bytes = 0 if request.method == "HEAD" else response.content_length or 0
        live.requests.answered(
            request, route, status, seconds=time, received_bytes=received_bytes, sent_bytes=sent_bytes
        )
        fields: dict[str, object] = {
            "event": "request",
            "client": live.forwarded.client_address(request),
            "method": request.method,
            "path": request.rel_url.raw_path[:_MAX_PATH],  # without the query, which may hold a secret
            "status": status,
            "sent_bytes": sent_bytes,
            "received_bytes": received_bytes,
            "duration_seconds": round(time, 6),
        }
        if status >= 400 and isinstance(response, RefusalResponse):
            fields["code"], fields["error"] = response.code, response.logged_reason[:_MAX_ERROR]
        if request_id := REQUEST_ID.get():
            fields["request_id"] = request_id
        if user := request.get(USER):
            fields["user"] = user
            if (client := request.get(CLIENT_CERTIFICATE)) is not None and client.name != user:
                fields["certificate"] = client.name
        if repository := getattr(route, "repository", None):
            fields["name"] = repository.name
        if digest := response.headers.get(header_names.CONTENT_DIGEST):
            fields["digest"] = digest
        self._write(fields)

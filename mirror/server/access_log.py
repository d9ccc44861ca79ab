"""One line and one count for each answer. Queries and headers stay out of it: they may hold secrets."""

from __future__ import annotations

import logging

import structlog
from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from mirror.server.api.request_metrics import RequestMetrics
from mirror.server.handlers.blob_response import BlobResponse
from mirror.server.http import header_names
from mirror.server.http.prebuilt_response import PrebuiltResponse
from mirror.server.request_context import REQUEST_ID, ROUTE, USER

_log = structlog.get_logger(__name__)

_MAX_PATH = 1024


class AccessLog(AbstractAccessLogger):
    """Logs and counts answers. aiohttp calls it when one has been written, or could not be."""

    def __init__(self, requests: RequestMetrics, logger: logging.Logger, log_format: str) -> None:
        super().__init__(logger, log_format)
        self._requests = requests

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Write the line, and count.

        Args:
            request: what was asked.
            response: what was answered.
            time: seconds between the two.
        """
        route, status, received_bytes = request.get(ROUTE), response.status, request.content.total_bytes
        # Not isinstance(): an abstract class, as every answer is, takes long to ask that way.
        if type(response) is PrebuiltResponse:
            sent_bytes = response.sent_bytes
        elif type(response) is BlobResponse:
            sent_bytes = response.sent_bytes
            self._requests.blob_headers.observe(time - response.sending_seconds)
        else:
            sent_bytes = 0 if request.method == "HEAD" else response.content_length or 0
        self._requests.answered(
            request, route, status, seconds=time, received_bytes=received_bytes, sent_bytes=sent_bytes
        )
        fields: dict[str, object] = {
            "client": request.remote,
            "method": request.method,
            "path": request.rel_url.raw_path[:_MAX_PATH],
            "status": status,
            "sent_bytes": sent_bytes,
            "received_bytes": received_bytes,
            "duration_seconds": round(time, 6),
        }
        if request_id := request.get(REQUEST_ID):
            fields["request_id"] = request_id
        if user := request.get(USER):
            fields["user"] = user
        if repository := getattr(route, "repository", None):
            fields["name"] = repository.name
        if digest := response.headers.get(header_names.CONTENT_DIGEST):
            fields["digest"] = digest
        _log.info("request", **fields)

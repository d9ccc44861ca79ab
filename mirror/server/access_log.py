"""One line for each answer. Queries and headers stay out of it: they may hold secrets."""

from __future__ import annotations

import logging

import structlog
from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from mirror.server import headers
from mirror.server.exchange import REQUEST_ID, ROUTE
from mirror.server.transmission import BlobResponse

_log = structlog.get_logger(__name__)

_MAX_PATH = 1024


class AccessLog(AbstractAccessLogger):
    """What aiohttp calls when an answer has been written, or could not be."""

    def __init__(self, logger: logging.Logger, log_format: str) -> None:
        super().__init__(logger, log_format)

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Write the line.

        Args:
            request: what was asked.
            response: what was answered.
            time: seconds between the two.
        """
        fields: dict[str, object] = {
            "client": request.remote,
            "method": request.method,
            "path": request.rel_url.raw_path[:_MAX_PATH],
            "status": response.status,
            "sent_bytes": _sent_bytes(request, response),
            "received_bytes": request.content.total_bytes,
            "duration_seconds": round(time, 6),
        }
        if request_id := request.get(REQUEST_ID):
            fields["request_id"] = request_id
        if repository := getattr(request.get(ROUTE), "repository", None):
            fields["name"] = repository.name
        if digest := response.headers.get(headers.CONTENT_DIGEST):
            fields["digest"] = digest
        _log.info("request", **fields)


def _sent_bytes(request: web.BaseRequest, response: web.StreamResponse) -> int:
    if isinstance(response, BlobResponse):
        return response.sent_bytes
    return 0 if request.method == "HEAD" else response.content_length or 0

"""The only place that turns errors into responses. Bodies are always JSON, whatever the client accepts."""

from __future__ import annotations

import structlog
from aiohttp import hdrs, web

from mirror.access.callers import CertificateRefused
from mirror.oci.errors import MirrorError, StorageFault, TooManyOpenFiles, UpstreamFault
from mirror.runtime.current_client import CLIENT
from mirror.server.http import header_names
from mirror.server.http.open_files import SHORTAGE
from mirror.wire import error_body

_log = structlog.get_logger(__name__)


class RefusalResponse(web.Response):
    """A response with a status of 400 or above, which knows its reason for the log.

    Args:
        status: the HTTP status.
        body: the body.
        code: the error code of the distribution API, or another word for programs.
        reason: a sentence for the operator. The body may have another one for the client.

    Attributes:
        code: the code.
        logged_reason: the sentence.
    """

    def __init__(self, status: int, body: bytes, code: str, reason: str) -> None:
        super().__init__(status=status, body=body, headers=header_names.JSON_HEADERS)
        self.code = code
        self.logged_reason = reason


def refused(error: MirrorError, request_id: str, allowed: str = "") -> web.Response:
    """Build the response for an error of the error tree, and log errors with a status of 500 or above.

    Args:
        error: the error.
        request_id: the request's id in the log.
        allowed: the methods supported by the resource, for a 405 whose error does not list them.
    """
    code, status = error_body.code_and_status(error)
    message, detail = error.message, error.detail
    if status >= 500:  # a 4xx answer has its reason in the access log only
        detail = {**detail, "request_id": request_id}
        fields = {"error": str(error), "kind": type(error).__name__, "detail": error.detail}
        if isinstance(error, TooManyOpenFiles):
            SHORTAGE.add(CLIENT.get())  # a server without descriptors must not fill its log
        elif error.temporary or isinstance(error, UpstreamFault):
            _log.warning("request failed", **fields)
        else:
            _log.error("request failed", **fields, exc_info=error)
    if isinstance(error, StorageFault) and "path" in detail:
        # The message names a file of this machine, and perhaps its owner. Only the operator needs them.
        message = f"the storage of this registry failed; the server's log has the cause under request {request_id}"
        detail = {"request_id": request_id}
    answer = _answer(status, code, message, detail, str(error))
    # The rest of a slow body would keep the connection busy. A client needs a new connection to show a new certificate.
    if status == 408 or isinstance(error, CertificateRefused):
        answer.force_close()
    if status == 405:
        answer.headers[hdrs.ALLOW] = error.detail.get("allowed", allowed)
    if "retry_after_seconds" in error.detail:
        answer.headers[hdrs.RETRY_AFTER] = error.detail["retry_after_seconds"]
    if "challenge" in error.detail:
        answer.headers[hdrs.WWW_AUTHENTICATE] = error.detail["challenge"]
    if status == 416 and "size_bytes" in error.detail:
        answer.headers[hdrs.CONTENT_RANGE] = f"bytes */{error.detail['size_bytes']}"
    return answer


def failed(error: BaseException, request_id: str) -> web.Response:
    """Build the response for an unexpected exception. The client gets the request id, the log gets the traceback."""
    if isinstance(error, OSError) and error.errno in TooManyOpenFiles.ERRNOS:
        return refused(TooManyOpenFiles.while_doing("answer the request"), request_id)
    _log.error("request failed unexpectedly", exc_info=error)
    message = f"internal error; the server's log has the cause under request {request_id}"
    return _answer(500, "UNKNOWN", message, {"request_id": request_id}, f"{type(error).__name__}: {error}")


def unreadable(status: int, message: str) -> web.Response:
    """Build the response for input that is not an HTTP request, or that exceeds a limit, and end the connection."""
    answer = _answer(status, "UNSUPPORTED", message, {})
    answer.force_close()
    return answer


def turned_away(status: int, code: str, message: str, limit: int | None = None) -> web.Response:
    """Build the response for requests on an unwanted connection, and end the connection.

    Args:
        status: the HTTP status.
        code: the error code of the distribution API.
        message: the reason.
        limit: the limit that the connection exceeds, so that the client may try again; None for another reason.
    """
    answer = _answer(status, code, message, {} if limit is None else {"limit": str(limit)})
    if limit is not None:
        answer.headers[hdrs.RETRY_AFTER] = "1"
    answer.force_close()
    return answer


def _answer(status: int, code: str, message: str, detail: dict[str, str], reason: str | None = None) -> RefusalResponse:
    return RefusalResponse(status, error_body.build(code, message, detail), code, reason or message)

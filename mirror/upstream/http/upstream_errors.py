"""Errors for failures of an upstream, with messages for people."""

from __future__ import annotations

from datetime import datetime

import aiohttp
from yarl import URL

from mirror.oci import errors
from mirror.oci.printable_text import printable
from mirror.runtime.system_errors import connection_words
from mirror.upstream.http.forbidden_destinations import ForbiddenAddressError
from mirror.upstream.http.response_guard import FloodError
from mirror.wire import error_body, retry_after

_MOST_SHOWN_CHARACTERS = 300
# The only 5xx that never passes.
_NOT_IMPLEMENTED = 501


class DripError(OSError):
    """A body that arrives so slowly that it would never end."""


def redacted(url: URL) -> str:
    """Return a URL for logs and errors, without user, query and fragment, which may contain secrets."""
    return str(url.with_user(None).with_query(None).with_fragment(None))


def may_pass_soon(error: errors.MirrorError) -> bool:
    """Return True if an immediate retry may succeed. An open circuit breaker would reject the retry."""
    return error.temporary and not isinstance(error, errors.CircuitOpen)


def connection_fault(error: Exception) -> tuple[type[errors.UpstreamFault], str]:
    """Map an exception of aiohttp or a socket to an error class and a message."""
    kind: type[errors.UpstreamFault] = errors.UpstreamUnreachable
    match error:
        case aiohttp.ClientConnectorError():
            kind, what = _no_connection(error)
        case aiohttp.ConnectionTimeoutError():
            what = "no connection within the connect timeout"
        case FloodError():
            kind, what = errors.UpstreamProtocolError, f"{error}, so the connection was closed"
        case DripError():
            what = f"almost no data within the read timeout: {error}"
        case TimeoutError():
            what = "no data within the read timeout"
        case aiohttp.ServerDisconnectedError():
            what = "the connection was closed without an answer"
        case aiohttp.ClientHttpProxyError():
            what = f"the proxy answered {error.status} {error.message}"
        case aiohttp.ClientResponseError():
            kind, what = errors.UpstreamProtocolError, f"the answer is not HTTP: {error.message}"
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            kind, what = errors.UpstreamProtocolError, f"not a valid URL: {error}"
        case aiohttp.ClientError() | OSError():
            what = str(error) or type(error).__name__
        case _:
            kind, what = errors.UpstreamProtocolError, f"the answer is invalid: {error}"
    return kind, _one_line(what)


def _no_connection(error: aiohttp.ClientConnectorError) -> tuple[type[errors.UpstreamFault], str]:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            why = getattr(error.certificate_error, "verify_message", "") or "it cannot be verified"
            return errors.UpstreamProtocolError, f"its certificate is not trusted: {why}"
        case aiohttp.ClientConnectorSSLError():
            return errors.UpstreamProtocolError, f"{_words(error)}; the server may expect plain http"
        case aiohttp.ClientConnectorDNSError():
            return errors.UpstreamUnreachable, f"cannot resolve the host name: {_words(error)}"
        case aiohttp.ClientProxyConnectionError():
            return errors.UpstreamUnreachable, f"no connection to the proxy: {_words(error)}"
        case aiohttp.ClientConnectorError(os_error=ForbiddenAddressError()):
            return errors.UpstreamProtocolError, f"no connection: {error.os_error}"
        case _:
            return errors.UpstreamUnreachable, f"no connection: {_words(error)}"


def _words(error: aiohttp.ClientConnectorError) -> str:
    cause = error.os_error
    # An error of a proxy has words of its own, and no number.
    return connection_words(cause) if cause.errno else str(cause) or connection_words(cause)


def answer_fault(
    upstream: str,
    asked: str,
    status: int,
    body: bytes,
    *,
    missing: type[errors.NotFound],
    retry: str | None,
    hint: str,
    now: datetime,
) -> errors.MirrorError:
    """Return the error for an answer with an unexpected status.

    Args:
        upstream: name of the upstream.
        asked: method and URL of the request.
        status: the HTTP status.
        body: the body, or its beginning.
        missing: error class for a 404.
        retry: value of ``Retry-After``.
        hint: advice for refused credentials.
        now: current time of day.
    """
    received = error_body.parse(body)
    code = received[0].code if received else ""
    said = "; ".join(f"{error.code}: {error.message}" for error in received) or _plain_text(body)
    sentence = f"upstream {upstream}: {asked} answered {status}" + (f": {_one_line(said)}" if said else "")
    detail: dict[str, object] = {"upstream": upstream, "status": status, **({"code": code} if code else {})}
    kind: type[errors.MirrorError] = errors.UpstreamProtocolError
    if status in {401, 403}:
        kind, sentence = errors.UpstreamRefused, f"{sentence} ({hint})"
    elif status == 429 or (status >= 500 and status != _NOT_IMPLEMENTED):
        kind, sentence = errors.UpstreamBusy, f"{sentence}; fix: try again later"
        seconds = retry_after.parse(retry, now)
        detail |= {} if seconds is None else {"retry_after_seconds": seconds}
    elif status == 404:
        kind = errors.RepositoryUnknown if missing is errors.ManifestUnknown and code == "NAME_UNKNOWN" else missing
    elif status >= 400:
        kind = error_body.error_class(code, status)
    else:
        sentence += ", which is not a valid answer to this request"
    return kind(sentence, **detail)


def _plain_text(body: bytes) -> str:
    text = body.decode("utf-8", "replace").strip()
    if text.startswith("<"):
        return "a web page, not a registry's answer; fix: check that the URL is that of a registry"
    return text


def _one_line(text: str) -> str:
    return printable(" ".join(text[: 4 * _MOST_SHOWN_CHARACTERS].split()), _MOST_SHOWN_CHARACTERS)

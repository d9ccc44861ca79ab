"""Errors for failures of an upstream, with messages for people."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from datetime import datetime

import aiohttp
from yarl import URL

from mirror.oci import errors
from mirror.oci.printable_text import printable
from mirror.runtime.error_advice import split_fix
from mirror.runtime.system_errors import connection_words, distrust_words, how_to_trust
from mirror.upstream.http.forbidden_destinations import ForbiddenAddressError
from mirror.upstream.http.response_guard import FloodError
from mirror.upstream.http.tls_context import NO_SETTING
from mirror.wire import error_body, retry_after

_MOST_SHOWN_CHARACTERS = 300
# The only 5xx that never passes.
_NOT_IMPLEMENTED = 501
#: Parts of aiohttp's reasons, and the same in words of HTTP. The first that occurs counts.
_NOT_HTTP = {
    "status": "its first line is not a status line",
    "when reading": "its first line or headers are too long",
    "Content-Length": "its Content-Length is invalid",
    "chunk": "its chunks are malformed",
    "header": "a header is malformed",
}
_PLAIN = "; the server may expect TLS; fix: check the address and the port, and use https"


class TlsFault(errors.UpstreamProtocolError):
    """A server speaks no TLS, or shows a certificate that is not trusted. A matter of set-up, not a lie."""


class DripError(OSError):
    """A body that arrives so slowly that it would never end."""


def redacted(url: URL) -> str:
    """Return a URL for logs and errors, without user, query and fragment, which may contain secrets."""
    return str(url.with_user(None).with_query(None).with_fragment(None))


def may_pass_soon(error: errors.MirrorError) -> bool:
    """Return True if an immediate retry may succeed. An open circuit breaker would reject the retry."""
    return error.temporary and not isinstance(error, errors.CircuitOpen)


def connection_fault(
    error: Exception, *, ca_setting: str = NO_SETTING, plain: bool = False
) -> tuple[type[errors.UpstreamFault], str]:
    """Map an exception of aiohttp or a socket to an error class and a message.

    Args:
        error: the exception.
        ca_setting: the setting that names the file of the server's authority.
        plain: True if a request over plain HTTP got no answer, which is what some servers with TLS do.
    """
    kind: type[errors.UpstreamFault] = errors.UpstreamUnreachable
    match error:
        case aiohttp.ClientConnectorError():
            kind, what = _no_connection(error, ca_setting)
        case aiohttp.ConnectionTimeoutError():
            what = "no connection within the connect timeout"
        case FloodError():
            kind, what = errors.UpstreamProtocolError, f"{error}, so the connection was closed"
        case DripError():
            what = f"almost no data within the read timeout: {error}"
        case TimeoutError():
            what = "no data within the read timeout"
        case aiohttp.ClientHttpProxyError():
            what = f"the proxy answered {error.status} {error.message}"
        case aiohttp.ClientResponseError():
            why = next((f": {words}" for part, words in _NOT_HTTP.items() if part in error.message), "")
            kind, what = errors.UpstreamProtocolError, f"the answer is not HTTP{why}"
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            kind, what = errors.UpstreamProtocolError, f"not a valid URL: {error}"
        case aiohttp.ClientError() | OSError():
            what = _broken(error, plain=plain)
        case _:
            kind, what = errors.UpstreamProtocolError, f"the answer is invalid: {error}"
    return kind, _one_line(what)


def _broken(error: aiohttp.ClientError | OSError, *, plain: bool) -> str:
    """Return what happened to a connection, without the words of a library."""
    match error:
        case aiohttp.ServerDisconnectedError():
            return "the connection was closed without an answer" + _PLAIN * plain
        case ConnectionResetError() | OSError(errno=errno.ECONNRESET):
            return "the connection was reset" + _PLAIN * plain
        case aiohttp.ClientPayloadError():
            return "the answer is not complete"
        case OSError(errno=int()):
            return connection_words(error)
        case _:
            return str(error) or type(error).__name__


def _no_connection(error: aiohttp.ClientConnectorError, ca_setting: str) -> tuple[type[errors.UpstreamFault], str]:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            why, fix = distrust_words(error.certificate_error), how_to_trust(error.certificate_error, ca_setting)
            return TlsFault, f"its certificate is not trusted: {why}; fix: {fix}"
        case aiohttp.ClientConnectorSSLError():
            return TlsFault, f"{_words(error)}; the server may expect plain http; fix: check the address and the port"
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
    login: str,
    wanted: Sequence[str],
    now: datetime,
) -> errors.MirrorError:
    """Return the error for an answer with an unexpected status. Its message has at most one fix.

    Args:
        upstream: name of the upstream.
        asked: method and URL of the request.
        status: the HTTP status.
        body: the body, or its beginning.
        missing: error class for a 404.
        retry: value of ``Retry-After``.
        login: words about the login, with the fix for one that is refused or missing.
        wanted: schemes of authentication that the answer asks for.
        now: current time of day.
    """
    received = error_body.parse(body)
    code = received[0].code if received else ""
    is_page = not received and body.lstrip().startswith(b"<")
    # The upstream may be a mirror too, whose errors have a fix.
    parts = [split_fix(f"{one.code}: {one.message}") for one in received]
    parts = parts or [("a web page", "") if is_page else split_fix(body.decode("utf-8", "replace").strip())]
    said, fix = "; ".join(told for told, _ in parts), next((fix for _, fix in parts if fix), "")
    detail: dict[str, object] = {"upstream": upstream, "status": status, **({"code": code} if code else {})}
    kind: type[errors.MirrorError] = errors.UpstreamProtocolError
    more = ""
    if status in {401, 403}:
        kind = errors.UpstreamRefused
        if status == 401 or not fix:
            more, fix = _about_login(login, wanted if status == 401 else ())
    elif status == 429 or (status >= 500 and status != _NOT_IMPLEMENTED):
        kind, fix = errors.UpstreamBusy, fix or "try again later"
        seconds = retry_after.parse(retry, now)
        detail |= {} if seconds is None else {"retry_after_seconds": seconds}
    else:
        if status == 404:
            kind = errors.RepositoryUnknown if missing is errors.ManifestUnknown and code == "NAME_UNKNOWN" else missing
        elif status >= 400:
            kind = error_body.error_class(code, status)
        else:
            more = ", which is not a valid answer to this request"
        if is_page:
            said, fix = "a web page, not a registry's answer", "check that the URL is that of a registry"
    sentence = f"upstream {upstream}: {asked} answered {status}" + (f": {_one_line(said)}" if said else "") + more
    return kind(f"{sentence}; fix: {_one_line(fix)}" if fix else sentence, **detail)


def _about_login(login: str, wanted: Sequence[str]) -> tuple[str, str]:
    """Return what a message says about a refused request, and its fix."""
    if wanted and not {"basic", "bearer"} & set(wanted):
        schemes = _one_line(", ".join(sorted(set(wanted))))
        return f" (it wants a login by {schemes}, which is not supported)", "let it accept a password or a token there"
    told, fix = split_fix(login)
    return f" ({told})", fix


def _one_line(text: str) -> str:
    return printable(" ".join(text[: 4 * _MOST_SHOWN_CHARACTERS].split()), _MOST_SHOWN_CHARACTERS)

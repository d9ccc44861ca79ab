"""Messages of engines about the way to a registry (measured: 1.13, 17.05, 19.03, 20.10, 26.1, 28.5). Pure."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from mirror.hosts.engine_api import EngineVersion
from mirror.oci import Reference

#: Message of an engine that met plain HTTP where it expects HTTPS (Go: net/http).
HTTP_REFUSED: Final = "http: server gave HTTP response to HTTPS client"
UNKNOWN_AUTHORITY: Final = "x509: certificate signed by unknown authority"
WRONG_NAME: Final = "x509: certificate is valid for"
EXPIRED: Final = "x509: certificate has expired or is not yet valid"
NO_SUCH_HOST: Final = "no such host"
TIMED_OUT: Final = "i/o timeout"
NO_CLIENT_CERTIFICATE: Final = "tls: certificate required"
_NUMBER: Final = re.compile(r"v?([0-9]{1,4})\.([0-9]{1,4})")
#: First release whose engine fetches plugins with the resolver of containerd.
_RESOLVER: Final = (20, 10)
#: First release whose resolver reports the request that failed.
_NAMES_REQUEST: Final = (25, 0)


def _release(engine: EngineVersion | None) -> tuple[int, int]:
    """Return the first two numbers of an engine's version. An unknown engine counts as a new one."""
    match = None if engine is None else _NUMBER.match(engine.version)
    return _NAMES_REQUEST if match is None else (int(match[1]), int(match[2]))


def hides_errors_of_http(engine: EngineVersion | None) -> bool:
    """Return True if an engine reports the error of its first attempt, over HTTPS, in place of the one over HTTP."""
    return _release(engine) >= _RESOLVER


def not_found(engine: EngineVersion | None, reference: Reference) -> str:
    """Return the message about a missing plugin."""
    return f"{reference}: not found" if _release(engine) >= _RESOLVER else "manifest unknown"


def no_plugin(engine: EngineVersion | None) -> str:
    """Return the message about content that is not a plugin."""
    return "did not find plugin config for specified reference" if _release(engine) >= _RESOLVER else "target is image"


def no_login(engine: EngineVersion | None) -> str:
    """Return the message about a registry that wants a login, without a token server."""
    is_between = _RESOLVER <= _release(engine) < _NAMES_REQUEST
    return "401 Unauthorized" if is_between else "no basic auth credentials"


def no_right(engine: EngineVersion | None) -> str:
    """Return the message about a token that does not allow the pull."""
    return "insufficient_scope: authorization failed" if _release(engine) >= _RESOLVER else "pull access denied"


def no_token(engine: EngineVersion | None) -> str:
    """Return the message about a token server that gives no token."""
    return "failed to fetch anonymous token" if _release(engine) >= _RESOLVER else "unauthorized"


def denied(engine: EngineVersion | None) -> str:
    """Return the message about a manifest that the registry refuses."""
    return "403 Forbidden" if _release(engine) >= _RESOLVER else "pull access denied"


def status(number: int) -> str:
    """Return the part of a message that names the status of an answer."""
    try:
        return f"{number} {HTTPStatus(number).phrase}"
    except ValueError:
        return str(number)


def no_blob(engine: EngineVersion | None) -> str:
    """Return the message about a blob that the registry lacks."""
    return "could not fetch content descriptor" if _release(engine) >= _RESOLVER else "unknown blob"

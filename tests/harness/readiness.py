"""Wait for a condition, with probes for servers that are starting."""

import http.client
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

# Proxies from the environment are ignored, since all servers are on loopback.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


#: Time that a program or a condition gets. Only a hang takes so long, also on a busy machine.
PATIENCE_SECONDS = 120.0


def wait_until(
    predicate: Callable[[], bool],
    what: str,
    *,
    timeout_seconds: float = PATIENCE_SECONDS,
    interval_seconds: float = 0.02,
) -> None:
    """Call `predicate` until it returns True.

    Args:
        predicate: Condition to wait for. Its exceptions are passed on.
        what: Description of the condition for the error message.
        timeout_seconds: Time after which waiting ends.
        interval_seconds: Pause between two calls.

    Raises:
        TimeoutError: If the condition is not true in time.
    """
    deadline = time.monotonic() + timeout_seconds
    while not predicate():
        if time.monotonic() >= deadline:
            raise TimeoutError(f"timed out after {timeout_seconds:g} s waiting for {what}")
        time.sleep(interval_seconds)


def http_answers(url: str) -> Callable[[], bool]:
    """Return a probe that is true if a GET of `url` gets a status below 500.

    401 counts as ready, since a registry that requires a login answers `/v2/` with 401.
    """

    def ask() -> bool:
        try:
            with _direct.open(url, timeout=2):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return error.code < 500
        except (OSError, http.client.HTTPException):
            return False

    return ask


def tcp_accepts(host: str, port: int) -> Callable[[], bool]:
    """Return a probe that is true if TCP connections to `host`:`port` are accepted."""

    def ask() -> bool:
        try:
            with socket.create_connection((host, port), timeout=2):
                return True
        except OSError:
            return False

    return ask


def unix_http_answers(path: Path, target: str) -> Callable[[], bool]:
    """Return a probe that is true if a GET of `target` over the unix socket `path` gets status 200."""

    def ask() -> bool:
        request = f"GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(2)
                connection.connect(str(path))
                connection.sendall(request)
                return b" 200 " in connection.recv(64)
        except OSError:
            return False

    return ask

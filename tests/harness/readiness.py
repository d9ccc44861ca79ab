"""Waiting for something to become true, and the usual questions to a server that is starting."""

import http.client
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def wait_until(
    predicate: Callable[[], bool], timeout_seconds: float, what: str, *, interval_seconds: float = 0.02
) -> None:
    """Ask `predicate` until it says true.

    Raises `TimeoutError` naming `what` after `timeout_seconds`; an exception of the predicate passes through.
    """
    deadline = time.monotonic() + timeout_seconds
    while not predicate():
        if time.monotonic() >= deadline:
            raise TimeoutError(f"waited {timeout_seconds:g} s in vain for {what}")
        time.sleep(interval_seconds)


def http_answers(url: str) -> Callable[[], bool]:
    """A question: does a GET of `url` get any HTTP answer below 500 (401 counts: the server is up)?"""

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
    """A question: does something accept TCP connections on `host`:`port`?"""

    def ask() -> bool:
        try:
            with socket.create_connection((host, port), timeout=2):
                return True
        except OSError:
            return False

    return ask


def unix_http_answers(path: Path, target: str) -> Callable[[], bool]:
    """A question: does a GET of `target` over the unix socket `path` answer 200?"""

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

"""The handshake of a connection with TLS, and what a client is told when it fails."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from enum import StrEnum
from typing import Final

from mirror.runtime.system_errors import distrust_words
from mirror.server.tls.server_certificates import ContextSource

#: Longest time for a handshake, which takes a few packets.
HANDSHAKE_SECONDS: Final = 10.0
# Time in which a client may read why it was refused. Closing at once would reset the connection, and lose the reason.
_FAREWELL_SECONDS: Final = 1.0
_READ_BYTES: Final = 16 * 1024
#: First byte of a client that speaks TLS (RFC 8446, section 5.1: handshake).
_FIRST_BYTE: Final = b"\x16"
_PLAIN_ANSWER: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
    b"this port speaks HTTPS only; fix: use https:// instead of http://\n"
)
_SPOKE_PLAIN: Final = "the client spoke HTTP without TLS to a port with TLS; fix: use https:// there"
_UNTRUSTED: Final = "the client does not trust the certificate of this server; fix: plugin-mirror tls host-setup"
#: What an operator has to know about some of OpenSSL's reasons.
_ADVICE: Final = {
    "TLSV1_ALERT_UNKNOWN_CA": _UNTRUSTED,
    "SSLV3_ALERT_BAD_CERTIFICATE": _UNTRUSTED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _UNTRUSTED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the client says that the certificate of this server has expired, or that its "
    "own clock is wrong",
    "UNSUPPORTED_PROTOCOL": "the client speaks no TLS 1.2 or later",
    "WRONG_VERSION_NUMBER": "the client speaks no TLS 1.2 or later",
    "NO_SHARED_CIPHER": "the client has no cipher suite with forward secrecy and authenticated encryption",
}


class HandshakeOutcome(StrEnum):
    """The end of a handshake."""

    DONE = "done"
    #: One side refused the certificate of the other, or both have no version or cipher suite in common.
    FAILED = "failed"
    #: The client took too long.
    TIMED_OUT = "timed_out"
    #: The client spoke HTTP without TLS.
    PLAIN_HTTP = "plain_http"
    #: The client disconnected without a word, as checks of a port do.
    DISCONNECTED = "disconnected"


class HandshakeFailed(Exception):
    """A handshake that did not succeed.

    Attributes:
        outcome: the kind of failure.
        reason: a sentence for the log.
    """

    def __init__(self, outcome: HandshakeOutcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason


async def shake_hands(connection: socket.socket, contexts: ContextSource) -> ssl.SSLSocket:
    """Return the connection with TLS, after a handshake as the server.

    Args:
        connection: accepted connection, which the returned one replaces. If the handshake fails, the caller closes it.
        contexts: gives the TLS context.

    Raises:
        HandshakeFailed: there is no connection with TLS. The client has been told why, as far as it can be told.
    """
    connection.settimeout(0)
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            first = await _peek(connection)
            if first == _FIRST_BYTE:
                return await _encrypted(connection, await contexts.current())
        if not first:
            raise HandshakeFailed(HandshakeOutcome.DISCONNECTED, "the client disconnected")
        await _say_farewell(connection, _PLAIN_ANSWER)
        raise HandshakeFailed(HandshakeOutcome.PLAIN_HTTP, _SPOKE_PLAIN)
    except TimeoutError as error:
        reason = f"the client took longer than {HANDSHAKE_SECONDS:g} s"
        raise HandshakeFailed(HandshakeOutcome.TIMED_OUT, reason) from error
    except ssl.SSLError as error:
        raise HandshakeFailed(HandshakeOutcome.FAILED, _reason(error)) from error
    except OSError as error:
        raise HandshakeFailed(HandshakeOutcome.DISCONNECTED, "the client disconnected") from error


async def _encrypted(connection: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
    encrypted = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
    try:
        while True:
            try:
                encrypted.do_handshake()
                return encrypted
            except ssl.SSLWantReadError:
                await until_ready(encrypted, writing=False)
            except ssl.SSLWantWriteError:
                await until_ready(encrypted, writing=True)
    except ssl.SSLEOFError as error:
        encrypted.close()
        raise ConnectionResetError(str(error)) from error
    except ssl.SSLError:
        # OpenSSL has sent the reason as an alert.
        with socket.socket(fileno=encrypted.detach()) as rest:
            await _say_farewell(rest, b"")
        raise
    except BaseException:
        encrypted.close()
        raise


async def _peek(connection: socket.socket) -> bytes:
    """Return the first byte that the client has sent, without taking it; nothing if the client has disconnected."""
    while True:
        try:
            return connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            await until_ready(connection, writing=False)


async def until_ready(connection: socket.socket, *, writing: bool) -> None:
    """Wait until a socket that is not blocking has data or a connection, or takes data.

    Args:
        connection: the socket.
        writing: True to wait until it takes data.
    """
    loop, file = asyncio.get_running_loop(), connection.fileno()
    ready = loop.create_future()
    if writing:
        loop.add_writer(file, _settle, ready)
    else:
        loop.add_reader(file, _settle, ready)
    try:
        await ready
    finally:
        if writing:
            loop.remove_writer(file)
        else:
            loop.remove_reader(file)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


async def _say_farewell(connection: socket.socket, words: bytes) -> None:
    """Send the last words to a client, and let it read them before the connection is closed."""
    loop = asyncio.get_running_loop()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_FAREWELL_SECONDS):
            connection.settimeout(0)
            await loop.sock_sendall(connection, words)
            connection.shutdown(socket.SHUT_WR)
            while await loop.sock_recv(connection, _READ_BYTES):
                pass


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of the client is refused: {distrust_words(error)}"
    return _ADVICE.get(error.reason, error.reason or str(error))

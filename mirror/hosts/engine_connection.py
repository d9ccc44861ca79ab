"""Connection to the API of a Docker Engine: requests, limits on answers, and errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from yarl import URL

from mirror import __version__
from mirror.hosts.engine_address import EngineAddress
from mirror.hosts.engine_answers import read_json, read_message, read_step, read_stream_error
from mirror.hosts.engine_api import PullProgress, RegistryLogin
from mirror.hosts.engine_errors import EngineAccessDenied, EngineProtocolError, EngineRefused, EngineUnreachable
from mirror.runtime.concurrency.threads import in_thread
from mirror.runtime.system_errors import connection_words, distrust_words

#: Largest answer that is read, in bytes. A hundred plugins with large configs have 1 MiB.
MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
#: Longest message of a pull, in bytes. Engines write about 300 bytes.
MAX_LINE_BYTES: Final = 64 * 1024
#: Most bytes of all messages of a pull. An engine writes about 3 KiB a second.
MAX_STREAM_BYTES: Final = 256 * 1024 * 1024

_CONNECT_SECONDS: Final = 10
#: Longest wait for an answer. Enabling a plugin that does not start takes engines about 25 s. An engine answers a
#: question about a plugin after it has asked the registry.
_ANSWER_SECONDS: Final = 180
#: Longest silence between two messages of a pull.
_SILENCE_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class EngineCall:
    """A request to an engine.

    Attributes:
        path: path without the version of the API.
        doing: what the engine is asked to do, for messages, after "to".
        body: value of the JSON body; None to send none.
        login: login at the registry, for the engine.
    """

    method: str
    path: str
    doing: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    login: RegistryLogin | None = None


class EngineConnection:
    """Connection to one engine. Created by :meth:`open`.

    Attributes:
        address: address of the engine.
        api_prefix: beginning of all paths: the version of the API.
    """

    def __init__(self, session: aiohttp.ClientSession, address: EngineAddress) -> None:
        self._session = session
        self.address = address
        self.api_prefix = ""

    @classmethod
    @asynccontextmanager
    async def open(cls, address: EngineAddress) -> AsyncIterator[EngineConnection]:
        """Prepare connections to an engine. The first request connects.

        Raises:
            ConfigurationFault: the certificates cannot be used.
        """
        connector: aiohttp.BaseConnector
        if address.socket is not None:
            connector = aiohttp.UnixConnector(str(address.socket))
        else:
            context = await in_thread(address.tls)
            connector = aiohttp.TCPConnector(ssl=True if context is None else context)
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"docker-plugin-mirror/{__version__}", "Accept-Encoding": "identity"},
            # A compressed answer could be larger than the limit on its bytes.
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=_CONNECT_SECONDS, connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS
            ),
        ) as session:
            yield cls(session, address)

    async def answer(self, call: EngineCall) -> Any:
        """Send a request and return the JSON value of its answer; None for an empty answer."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS), self._sent(call) as response:
                content = await self._read(response, call)
        except TimeoutError as error:
            raise self._unreachable(f"gave no answer within {_ANSWER_SECONDS} s", call) from error
        return read_json(content) if content.strip() else None

    async def stream(self, call: EngineCall, progress: PullProgress | None) -> None:
        """Send a request whose answer is a stream of messages. An error in the stream is raised after its end."""
        failure = None
        async with self._sent(call) as response:
            async for line in self._lines(response, call):
                message = read_json(line)
                failure = failure or read_stream_error(message)
                if progress is not None and failure is None:
                    progress(read_step(message))
        if failure is not None:
            raise self._refused(call, response.status, failure)

    @asynccontextmanager
    async def _sent(self, call: EngineCall) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and yield a successful response. Translates the errors of the connection."""
        headers = {} if call.login is None else {"X-Registry-Auth": call.login.header}
        data = None
        if call.body is not None:
            headers["Content-Type"], data = "application/json", json.dumps(call.body).encode()
        url = URL(f"{self.address.base_url.origin()}{self.api_prefix}{call.path}", encoded=True).with_query(call.query)
        try:
            async with self._session.request(
                call.method, url, data=data, headers=headers, allow_redirects=False
            ) as response:
                if not 200 <= response.status < 300:
                    raise self._refused(call, response.status, read_message(await self._read(response, call)))
                yield response
        except aiohttp.ClientSSLError as error:
            raise EngineUnreachable(
                f"{self.address}: TLS failed: {_tls_words(error)}; fix: set DOCKER_CERT_PATH to the folder "
                "with ca.pem, cert.pem and key.pem for this engine"
            ) from error
        except aiohttp.ClientConnectorError as error:
            raise self._not_connected(error) from error
        except TimeoutError as error:
            raise self._unreachable("gave no answer in time", call) from error
        except (aiohttp.ClientError, OSError) as error:
            why = connection_words(error) if isinstance(error, OSError) else "the answer is not complete"
            raise self._unreachable(f"ended the connection ({why})", call) from error

    async def _read(self, response: aiohttp.ClientResponse, call: EngineCall) -> bytes:
        """Return the body of an answer, up to the limit."""
        content = bytearray()
        async for chunk in response.content.iter_any():
            content += chunk
            if len(content) > MAX_ANSWER_BYTES:
                raise self._too_long(call, MAX_ANSWER_BYTES)
        return bytes(content)

    async def _lines(self, response: aiohttp.ClientResponse, call: EngineCall) -> AsyncIterator[bytes]:
        """Yield the lines of a stream that are not empty."""
        rest, total_bytes = b"", 0
        async for chunk in response.content.iter_any():
            total_bytes += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            if total_bytes > MAX_STREAM_BYTES or any(len(line) > MAX_LINE_BYTES for line in (*lines, rest)):
                raise self._too_long(call, MAX_LINE_BYTES)
            for line in lines:
                if line.strip():
                    yield line
        if rest.strip():
            yield rest

    def _refused(self, call: EngineCall, status: int, said: str) -> EngineRefused:
        return EngineRefused(f'{self.address}: the engine did not {call.doing}: "{said}"', status=status, said=said)

    def _too_long(self, call: EngineCall, limit_bytes: int) -> EngineProtocolError:
        return EngineProtocolError(
            f"{self.address}: the answer is longer than {limit_bytes} bytes, when asked to {call.doing}; fix: "
            "check that a Docker Engine listens there"
        )

    def _unreachable(self, what: str, call: EngineCall) -> EngineUnreachable:
        return EngineUnreachable(
            f"the engine at {self.address} {what}, when asked to {call.doing}; fix: look into the log of the engine"
        )

    def _not_connected(self, error: aiohttp.ClientConnectorError) -> EngineUnreachable | EngineAccessDenied:
        cause = error.os_error
        if isinstance(cause, PermissionError):
            return EngineAccessDenied(
                f"{self.address} can be opened by root and by members of group docker only; fix: run this command as "
                "root, or add the user to group docker and log in again"
            )
        fix = "start the engine, or name its address with --socket or DOCKER_HOST"
        if self.address.is_socket and isinstance(cause, FileNotFoundError):
            fix += " (a rootless engine has $XDG_RUNTIME_DIR/docker.sock)"
        why = connection_words(cause)
        return EngineUnreachable(f"no Docker Engine can be reached at {self.address}: {why}; fix: {fix}")


def _tls_words(error: aiohttp.ClientSSLError) -> str:
    """Return the reason of a failed handshake."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted: {distrust_words(error.certificate_error)}"
    return connection_words(error)

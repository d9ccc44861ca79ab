"""One client's connection to the server, with exceptions for requests without a response."""

import http.client
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

_TIMEOUT_SECONDS = 30


class NoAnswer(Exception):
    """The server was gone before it responded. The request may or may not have been executed."""


class NotSent(NoAnswer):
    """The connection could not be opened. The request was certainly not executed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response of the server. The names of `headers` are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Connection:
    """A keep-alive connection to `127.0.0.1:port` for one request at a time. A broken connection is opened again."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request and read the whole response.

        Args:
            method: HTTP method.
            path: Path with query.
            body: Content. Several pieces are sent with chunked transfer encoding.
            headers: Request headers.

        Raises:
            NotSent: If the connection cannot be opened.
            NoAnswer: If the connection breaks before the response is complete.
        """
        try:
            if self._connection.sock is None:
                self._connection.connect()
        except OSError as error:
            raise NotSent(f"{method} {path}: {error!r}") from error
        try:
            self._connection.request(
                method, path, body, dict(headers or {}), encode_chunked=not isinstance(body, bytes | None)
            )
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise NoAnswer(f"{method} {path}: {error!r}") from error
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)

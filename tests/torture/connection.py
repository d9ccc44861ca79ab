"""One client's connection to the server: requests, answers, and silence."""

import http.client
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

_TIMEOUT_SECONDS = 30


class NoAnswer(Exception):
    """The server was gone before it answered: what was asked may have been done, or not."""


class NotSent(NoAnswer):
    """Nobody listened: what was asked has certainly not been done."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered; the names of `headers` are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Connection:
    """Requests to `127.0.0.1:port`, one at a time, on a connection that is kept while it lasts."""

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
        """Send a request and read its answer whole; a `body` of several pieces goes chunked.

        Raises `NotSent` where there is no connection to be had, and `NoAnswer` where it broke before the answer.
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

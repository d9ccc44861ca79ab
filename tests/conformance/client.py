"""An HTTP client without knowledge of registries: it sends exact requests and returns the answers."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPMessage, HTTPSConnection
from typing import IO, Any

from tests.conformance.content import digest_of

Headers = Iterable[tuple[str, str]]
#: A body of bytes goes out with its length, one of several pieces in the chunked transfer coding.
Body = bytes | Sequence[bytes]

#: The codes that the distribution specification gives to errors ("Error Codes").
CODES = frozenset(
    {
        "BLOB_UNKNOWN",
        "BLOB_UPLOAD_INVALID",
        "BLOB_UPLOAD_UNKNOWN",
        "DIGEST_INVALID",
        "MANIFEST_BLOB_UNKNOWN",
        "MANIFEST_INVALID",
        "MANIFEST_UNKNOWN",
        "NAME_INVALID",
        "NAME_UNKNOWN",
        "SIZE_INVALID",
        "UNAUTHORIZED",
        "DENIED",
        "UNSUPPORTED",
        "TOOMANYREQUESTS",
    }
)
_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: HTTPMessage
    body: bytes = field(repr=False)

    def __getitem__(self, header: str) -> str | None:
        """Return the header's value, or None. Fails if the header occurs twice."""
        values = self.headers.get_all(header, [])
        assert len(values) < 2, f"{header} is there {len(values)} times"
        return values[0] if values else None

    @property
    def location(self) -> str:
        """The target of ``Location``. Always an absolute path, so that it is correct behind any proxy."""
        location = self["Location"]
        assert location is not None
        assert location.startswith("/v2/")
        return location

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of the only error in the body. Fails if the body has another form."""
        assert self["Content-Type"] == "application/json"
        (error,) = self.json["errors"]
        assert error.keys() == {"code", "message", "detail"}
        assert error["code"] in CODES
        assert isinstance(error["detail"], dict)
        assert error["message"].strip()
        return str(error["code"])

    @property
    def next(self) -> str | None:
        """The target of the ``Link`` to the next page, or None."""
        link = self["Link"]
        if link is None:
            return None
        match = re.fullmatch(r'<(/v2/[^<>]*)>; rel="next"', link)
        assert match, link
        return match[1]


class Client:
    """A client of a server on the loopback.

    Args:
        port: the server's port.
        tls: TLS context of the client; None for plain HTTP.
    """

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.port = port
        self._tls = tls

    @contextmanager
    def connection(self) -> Iterator[HTTPConnection]:
        """Open a connection for several requests."""
        at: dict[str, Any] = {"host": "127.0.0.1", "port": self.port, "timeout": _TIMEOUT_SECONDS}
        opened = HTTPConnection(**at) if self._tls is None else HTTPSConnection(**at, context=self._tls)
        with closing(opened) as connection:
            yield connection

    def ask(self, method: str, target: str, headers: Headers = (), body: Body | None = None) -> Answer:
        """Send one request on a connection of its own."""
        with self.connection() as connection:
            send(connection, method, target, headers, body)
            return receive(connection)

    def get(self, target: str, *headers: tuple[str, str]) -> Answer:
        return self.ask("GET", target, headers)

    def head(self, target: str, *headers: tuple[str, str]) -> Answer:
        return self.ask("HEAD", target, headers)

    def raw(self, sent: bytes, *methods: str) -> list[Answer]:
        """Send bytes unchanged, and read one answer for each of ``methods``."""
        with self.bare() as file:
            file.write(sent)
            file.flush()
            return [read(file, method) for method in methods]

    @contextmanager
    def bare(self) -> Iterator[IO[bytes]]:
        """Open a connection as a binary file, for requests that no library would send."""
        with ExitStack() as stack:
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", self.port), _TIMEOUT_SECONDS))
            if self._tls is not None:
                connection = stack.enter_context(self._tls.wrap_socket(connection, server_hostname="127.0.0.1"))
            yield stack.enter_context(connection.makefile("rwb"))


def send(connection: HTTPConnection, method: str, target: str, headers: Headers = (), body: Body | None = None) -> None:
    """Send a request with exactly these headers, a ``Host``, and the headers that the body needs.

    A body of None is no body, and sends no length.
    """
    connection.putrequest(method, target, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    if isinstance(body, bytes):
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
    elif body is not None:
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders(iter(body), encode_chunked=True)
    else:
        connection.endheaders()


def head_of(method: str, target: str, headers: Headers = (), version: str = "1.1") -> bytes:
    """Return the head of a request, for a bare connection."""
    lines = [f"{method} {target} HTTP/{version}", "Host: mirror", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode()


def receive(connection: HTTPConnection) -> Answer:
    """Return the answer to the last request."""
    response = connection.getresponse()
    return Answer(response.status, response.headers, response.read())


def read(file: IO[bytes], method: str) -> Answer:
    """Return the next answer on a bare connection, to a request with this method. A "100 Continue" is an answer too."""
    status = int(file.readline().split()[1])
    headers = http.client.parse_headers(file)
    bodiless = method == "HEAD" or status in {100, 204, 304}
    return Answer(status, headers, b"" if bodiless else file.read(int(headers["Content-Length"])))


class Name:
    """A repository on a server, as a client sees it.

    Args:
        client: client of the server.
        name: the repository's name.
    """

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name
        self.base = f"/v2/{name}"
        self.uploads = f"{self.base}/blobs/uploads/"

    def blob(self, digest: str) -> str:
        return f"{self.base}/blobs/{digest}"

    def manifest(self, reference: str) -> str:
        return f"{self.base}/manifests/{reference}"

    def referrers(self, digest: str) -> str:
        return f"{self.base}/referrers/{digest}"

    @property
    def tags(self) -> str:
        return f"{self.base}/tags/list"

    def begin(self, query: str = "") -> str:
        """Begin an upload session. Returns its location."""
        answer = self.client.ask("POST", self.uploads + query, body=b"")
        assert answer.status == 202
        return answer.location

    def push(self, content: bytes, algorithm: str = "sha256") -> str:
        """Push a blob. Returns its digest."""
        digest = digest_of(content, algorithm)
        answer = self.client.ask("PUT", closing_target(self.begin(), digest), body=content)
        assert answer.status == 201
        return digest

    def put(self, content: bytes, media_type: str, reference: str, query: str = "") -> Answer:
        """Push a manifest."""
        return self.client.ask("PUT", self.manifest(reference) + query, [("Content-Type", media_type)], content)

    def holds(self, digest: str, content: bytes) -> bool:
        """Return True if GET and HEAD serve the blob exactly as it was sent."""
        got, looked_up = self.client.get(self.blob(digest)), self.client.head(self.blob(digest))
        size = str(len(content))
        return (
            (got.status, got.body, got["Content-Length"]) == (200, content, size)
            and (looked_up.status, looked_up["Content-Length"], looked_up.body) == (200, size, b"")
            and got["Docker-Content-Digest"] == looked_up["Docker-Content-Digest"] == digest
        )


def closing_target(location: str, digest: str) -> str:
    """Return the target that closes an upload session: its ``Location`` with any query, and the digest."""
    return f"{location}{'&' if '?' in location else '?'}digest={digest}"

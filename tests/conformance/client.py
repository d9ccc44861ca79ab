"""A client that knows HTTP and nothing of registries: it sends what it is told to, and hands back what came."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPMessage
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
    """What came back."""

    status: int
    headers: HTTPMessage
    body: bytes = field(repr=False)

    def __getitem__(self, header: str) -> str | None:
        """The header's value; it must not be there twice."""
        values = self.headers.get_all(header, [])
        assert len(values) < 2, f"{header} is there {len(values)} times"
        return values[0] if values else None

    @property
    def location(self) -> str:
        """Where the answer leads: always an absolute path, so that it is right behind any proxy."""
        location = self["Location"]
        assert location is not None
        assert location.startswith("/v2/")
        return location

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of the one error in the body, whose form is checked."""
        assert self["Content-Type"] == "application/json"
        (error,) = self.json["errors"]
        assert error.keys() == {"code", "message", "detail"}
        assert error["code"] in CODES
        assert isinstance(error["detail"], dict)
        assert error["message"].strip()
        return str(error["code"])

    @property
    def next(self) -> str | None:
        """The target of the ``Link`` to the next page."""
        link = self["Link"]
        if link is None:
            return None
        match = re.fullmatch(r'<(/v2/[^<>]*)>; rel="next"', link)
        assert match, link
        return match[1]


class Client:
    """Sends requests to a server on the loopback.

    Args:
        port: where it listens.
    """

    def __init__(self, port: int) -> None:
        self.port = port

    @contextmanager
    def connection(self) -> Iterator[HTTPConnection]:
        """A connection of its own, for several requests."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=_TIMEOUT_SECONDS)) as connection:
            yield connection

    def ask(self, method: str, target: str, headers: Headers = (), body: Body | None = None) -> Answer:
        """One request on a connection of its own."""
        with self.connection() as connection:
            send(connection, method, target, headers, body)
            return receive(connection)

    def get(self, target: str, *headers: tuple[str, str]) -> Answer:
        return self.ask("GET", target, headers)

    def head(self, target: str, *headers: tuple[str, str]) -> Answer:
        return self.ask("HEAD", target, headers)

    def raw(self, sent: bytes, *methods: str) -> list[Answer]:
        """Send bytes as they are, and read one answer for each of ``methods``."""
        with self.bare() as file:
            file.write(sent)
            file.flush()
            return [read(file, method) for method in methods]

    @contextmanager
    def bare(self) -> Iterator[IO[bytes]]:
        """A connection as a file of bytes, for requests as no library would send them."""
        address = ("127.0.0.1", self.port)
        with (
            socket.create_connection(address, timeout=_TIMEOUT_SECONDS) as connection,
            connection.makefile("rwb") as file,
        ):
            yield file


def send(connection: HTTPConnection, method: str, target: str, headers: Headers = (), body: Body | None = None) -> None:
    """Send a request with exactly these headers, a ``Host``, and what the body needs.

    A body of None is none at all, and has no length either.
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
    """The head of a request, for a bare connection."""
    lines = [f"{method} {target} HTTP/{version}", "Host: mirror", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode()


def receive(connection: HTTPConnection) -> Answer:
    """The answer to the request sent last."""
    response = connection.getresponse()
    return Answer(response.status, response.headers, response.read())


def read(file: IO[bytes], method: str) -> Answer:
    """The next answer on a bare connection, to a request of that method; a "100 Continue" is an answer too."""
    status = int(file.readline().split()[1])
    headers = http.client.parse_headers(file)
    bodiless = method == "HEAD" or status in {100, 204}
    return Answer(status, headers, b"" if bodiless else file.read(int(headers["Content-Length"])))


class Name:
    """A repository on a server, as a client sees it.

    Args:
        client: how it is asked.
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
        """Begin an upload; its ``Location``."""
        answer = self.client.ask("POST", self.uploads + query, body=b"")
        assert answer.status == 202
        return answer.location

    def push(self, content: bytes, algorithm: str = "sha256") -> str:
        """Push a blob; its digest."""
        digest = digest_of(content, algorithm)
        answer = self.client.ask("PUT", closing_target(self.begin(), digest), body=content)
        assert answer.status == 201
        return digest

    def put(self, content: bytes, media_type: str, reference: str, query: str = "") -> Answer:
        """Push a manifest."""
        return self.client.ask("PUT", self.manifest(reference) + query, [("Content-Type", media_type)], content)

    def holds(self, digest: str, content: bytes) -> bool:
        """Whether the blob is there, by GET and HEAD, as it was sent."""
        got, looked_up = self.client.get(self.blob(digest)), self.client.head(self.blob(digest))
        size = str(len(content))
        return (
            (got.status, got.body, got["Content-Length"]) == (200, content, size)
            and (looked_up.status, looked_up["Content-Length"], looked_up.body) == (200, size, b"")
            and got["Docker-Content-Digest"] == looked_up["Docker-Content-Digest"] == digest
        )


def closing_target(location: str, digest: str) -> str:
    """Where an upload is closed: its ``Location``, whatever query that has, and the digest."""
    return f"{location}{'&' if '?' in location else '?'}digest={digest}"

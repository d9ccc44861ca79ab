"""Pushes and pulls like engines since 20.10, in the same way for every server.

Pulled content is neither hashed nor stored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from ssl import SSLContext
from typing import Any
from urllib.parse import urlsplit

from tests.bench.content import MIB, REPOSITORY, TAG, Body
from tests.harness.packing import MANIFEST_TYPE, PackedPlugin

#: Without this header, docker-registry converts the pushed manifest to schema 1.
ACCEPT = {"Accept": MANIFEST_TYPE}

_TIMEOUT_SECONDS = 60


class WrongAnswerError(AssertionError):
    """A server sent an unexpected response."""


@contextmanager
def connected(port: int, address: str = "127.0.0.1", tls: SSLContext | None = None) -> Iterator[HTTPConnection]:
    """Open a connection to a server on loopback, with TLS if there is a context, from the source address `address`."""
    if tls is None:
        connection = HTTPConnection("127.0.0.1", port, _TIMEOUT_SECONDS, (address, 0))
    else:
        connection = HTTPSConnection(
            "127.0.0.1", port, timeout=_TIMEOUT_SECONDS, source_address=(address, 0), context=tls
        )
    with closing(connection):
        yield connection


def push_blob(connection: HTTPConnection, body: Body, repository: str = REPOSITORY) -> None:
    """Push a blob with one POST and one PUT of the whole content.

    Raises:
        WrongAnswerError: If the statuses are not 202 and 201.
    """
    location = _asked(connection, "POST", f"/v2/{repository}/blobs/uploads/", 202).headers["Location"]
    parts = urlsplit(location)
    query = f"{parts.query}&digest={body.digest}" if parts.query else f"digest={body.digest}"
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(body.size_bytes)}
    connection.request("PUT", f"{parts.path}?{query}", body.pieces(), headers)
    _answered(connection, "PUT", parts.path, 201)


def put_manifest(connection: HTTPConnection, manifest: bytes, repository: str = REPOSITORY, tag: str = TAG) -> None:
    """Push a manifest. Raises the same errors as `push_blob`."""
    path = f"/v2/{repository}/manifests/{tag}"
    connection.request("PUT", path, manifest, {"Content-Type": MANIFEST_TYPE})
    _answered(connection, "PUT", path, 201)


def push_plugin(connection: HTTPConnection, packed: PackedPlugin, repository: str = REPOSITORY, tag: str = TAG) -> None:
    """Push the config, layer and manifest of a plugin. Raises the same errors as `push_blob`."""
    for blob in (packed.config, packed.layer):
        push_blob(connection, Body.of(blob), repository)
    put_manifest(connection, packed.manifest, repository, tag)


def pull_plugin(connection: HTTPConnection, buffer: memoryview, repository: str = REPOSITORY, tag: str = TAG) -> None:
    """Pull the manifest of a plugin and the blobs that it names.

    Raises:
        WrongAnswerError: If a status is not 200 or a blob has another size than its descriptor says.
    """
    manifest = pull_manifest(connection, repository, tag)
    for blob in (manifest["config"], *manifest["layers"]):
        pull_blob(connection, buffer, blob["digest"], blob["size"], repository)


def pull_manifest(connection: HTTPConnection, repository: str = REPOSITORY, tag: str = TAG) -> dict[str, Any]:
    """Request a manifest by tag with HEAD and GET, as engines do, and return the parsed manifest.

    Raises the same errors as `pull_plugin`.
    """
    path = f"/v2/{repository}/manifests/{tag}"
    connection.request("HEAD", path, headers=ACCEPT)
    _answered(connection, "HEAD", path, 200)
    connection.request("GET", path, headers=ACCEPT)
    read: dict[str, Any] = json.loads(_response(connection, "GET", path, 200).read())
    return read


def pull_blob(
    connection: HTTPConnection, buffer: memoryview, digest: str, size_bytes: int, repository: str = REPOSITORY
) -> None:
    """Pull a blob and discard its content.

    Raises:
        WrongAnswerError: If the status is not 200 or the body does not have `size_bytes`.
    """
    path = f"/v2/{repository}/blobs/{digest}"
    connection.request("GET", path)
    response = _response(connection, "GET", path, 200)
    received_bytes = 0
    while got_bytes := response.readinto(buffer):
        received_bytes += got_bytes
    if received_bytes != size_bytes:
        raise WrongAnswerError(f"GET {path}: {received_bytes} of {size_bytes} bytes")


def new_buffer() -> memoryview:
    """Return a buffer of 1 MiB to receive into."""
    return memoryview(bytearray(MIB))


def _asked(connection: HTTPConnection, method: str, path: str, status: int) -> HTTPResponse:
    connection.request(method, path, body=b"")
    return _answered(connection, method, path, status)


def _answered(connection: HTTPConnection, method: str, path: str, status: int) -> HTTPResponse:
    response = _response(connection, method, path, status)
    response.read()
    return response


def _response(connection: HTTPConnection, method: str, path: str, status: int) -> HTTPResponse:
    response = connection.getresponse()
    if response.status != status:
        text = response.read(2000).decode(errors="replace")
        raise WrongAnswerError(f"{method} {path}: {response.status}, not {status}: {text}")
    return response

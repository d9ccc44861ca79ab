"""Pushes and pulls as engines since 20.10 do them, for every server alike. Nothing that is pulled is hashed or kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from tests.bench.content import MIB, REPOSITORY, TAG, Body
from tests.harness.packing import MANIFEST_TYPE, PackedPlugin

#: Without it docker-registry makes a manifest of the first schema out of what was pushed.
ACCEPT = {"Accept": MANIFEST_TYPE}

_TIMEOUT_SECONDS = 60


class WrongAnswerError(AssertionError):
    """A server answered what it must not."""


@contextmanager
def connected(port: int, address: str = "127.0.0.1") -> Iterator[HTTPConnection]:
    """A connection to a server on loopback, from one of the addresses there."""
    source = (address, 0)
    with closing(HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS, source_address=source)) as connection:
        yield connection


def push_blob(connection: HTTPConnection, body: Body, repository: str = REPOSITORY) -> None:
    """One POST and one PUT with everything.

    Raises `WrongAnswerError` where the server says anything but 202 and 201.
    """
    location = _asked(connection, "POST", f"/v2/{repository}/blobs/uploads/", 202).headers["Location"]
    parts = urlsplit(location)
    query = f"{parts.query}&digest={body.digest}" if parts.query else f"digest={body.digest}"
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(body.size_bytes)}
    connection.request("PUT", f"{parts.path}?{query}", body.pieces(), headers)
    _answered(connection, "PUT", parts.path, 201)


def put_manifest(connection: HTTPConnection, manifest: bytes, repository: str = REPOSITORY, tag: str = TAG) -> None:
    """Raises as `push_blob`."""
    path = f"/v2/{repository}/manifests/{tag}"
    connection.request("PUT", path, manifest, {"Content-Type": MANIFEST_TYPE})
    _answered(connection, "PUT", path, 201)


def push_plugin(connection: HTTPConnection, packed: PackedPlugin, repository: str = REPOSITORY, tag: str = TAG) -> None:
    """Config, layer and manifest. Raises as `push_blob`."""
    for blob in (packed.config, packed.layer):
        push_blob(connection, Body.of(blob), repository)
    put_manifest(connection, packed.manifest, repository, tag)


def pull_plugin(connection: HTTPConnection, buffer: memoryview, repository: str = REPOSITORY, tag: str = TAG) -> None:
    """The manifest, then what it names. Raises `WrongAnswerError` for anything but 200."""
    manifest = pull_manifest(connection, repository, tag)
    for blob in (manifest["config"], *manifest["layers"]):
        pull_blob(connection, buffer, blob["digest"], blob["size"], repository)


def pull_manifest(connection: HTTPConnection, repository: str = REPOSITORY, tag: str = TAG) -> dict[str, Any]:
    """HEAD and GET of the manifest by tag; gives what it says. Raises as `pull_plugin`."""
    path = f"/v2/{repository}/manifests/{tag}"
    connection.request("HEAD", path, headers=ACCEPT)
    _answered(connection, "HEAD", path, 200)
    connection.request("GET", path, headers=ACCEPT)
    read: dict[str, Any] = json.loads(_response(connection, "GET", path, 200).read())
    return read


def pull_blob(
    connection: HTTPConnection, buffer: memoryview, digest: str, size_bytes: int, repository: str = REPOSITORY
) -> None:
    """Raises `WrongAnswerError` for anything but 200 and `size_bytes`."""
    path = f"/v2/{repository}/blobs/{digest}"
    connection.request("GET", path)
    response = _response(connection, "GET", path, 200)
    received_bytes = 0
    while got_bytes := response.readinto(buffer):
        received_bytes += got_bytes
    if received_bytes != size_bytes:
        raise WrongAnswerError(f"GET {path}: {received_bytes} of {size_bytes} bytes")


def new_buffer() -> memoryview:
    """What a client receives into."""
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

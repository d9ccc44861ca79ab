"""HTTP clients that pull through a mirror, and counters of the upstream and the mirror."""

from __future__ import annotations

import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.command import run
from tests.harness.mirror import Mirror
from tests.harness.nginx import Nginx
from tests.harness.packing import MANIFEST_TYPE

MIB = 1024 * 1024


NAME = "vieux/sshfs"


TAG = "latest"


def sections(url: str, *, to: str = "**", **further: Any) -> dict[str, Any]:
    """Return a configuration that pulls everything from the upstream at `url` through to the repositories `to`."""
    hub = {"url": url, "plain_http": True, "connect_timeout_seconds": 2, "read_timeout_seconds": 5}
    return {"upstreams": {"hub": hub}, "proxy": [{"from": "hub/**", "to": to}], **further}


def manifest(
    url: str, name: str = NAME, target: str = TAG, method: str = "GET"
) -> tuple[int, Mapping[str, str], bytes]:
    """Request a manifest and return the status, headers and body of the answer, also for error statuses."""
    request = urllib.request.Request(
        f"{url}/v2/{name}/manifests/{target}", headers={"Accept": MANIFEST_TYPE}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


@dataclass
class Taken:
    """Response to a blob request.

    Attributes:
        status: HTTP status.
        announced_bytes: Content-Length of the response, or -1 if the header is missing.
        content: Bytes received. Shorter than announced if the connection broke or the client left early.
    """

    status: int
    announced_bytes: int
    content: bytes


def take(
    port: int,
    digest: str,
    *,
    name: str = NAME,
    wanted_range: str | None = None,
    most_bytes: int | None = None,
    bytes_per_second: int = 0,
    taken: list[int] | None = None,
) -> Taken:
    """Read a blob like a client that may be slow or may leave early.

    A body that breaks off is not an error: the bytes received so far are returned.

    Args:
        port: Port of the mirror on 127.0.0.1.
        digest: Digest of the blob.
        name: Repository of the blob.
        wanted_range: Value of the Range header.
        most_bytes: Number of bytes after which the client leaves, or None to read everything.
        bytes_per_second: Reading speed. 0 means no limit.
        taken: List that receives the size of each piece as soon as the piece is read.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        headers = {"Range": wanted_range} if wanted_range else {}
        connection.request("GET", f"/v2/{name}/blobs/{digest}", headers=headers)
        response = connection.getresponse()
        content = bytearray()
        while most_bytes is None or len(content) < most_bytes:
            try:
                piece = response.read1(64 * 1024)
            except (OSError, http.client.HTTPException):
                break
            if not piece:
                break
            content += piece
            if taken is not None:
                taken.append(len(piece))
            if bytes_per_second:
                time.sleep(len(piece) / bytes_per_second)
        return Taken(response.status, int(response.headers["Content-Length"] or -1), bytes(content))
    finally:
        connection.close()


def upstream_bytes(nginx: Nginx, digest: str) -> int:
    """Return the number of body bytes of a blob in all finished responses of `nginx`, according to its access log."""
    line = re.compile(r'"GET \S*/blobs/' + digest + r'\S* HTTP/1.1" (\d+) (\d+)')
    return sum(int(found[2]) for found in line.finditer(nginx.access_log.read_text()))


def requests_to(nginx: Nginx) -> int:
    """Return the number of requests in the access log of `nginx`."""
    return len(nginx.access_log.read_text().splitlines())


def counted(mirror: Mirror, metric: str, **labels: str) -> int:
    """Return the value of one series from a mirror's `/metrics`."""
    with urllib.request.urlopen(f"{mirror.url}/metrics", timeout=120) as response:
        text = response.read().decode()
    of = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    found = re.search(rf"^{metric}{{{of}}} (\S+)$", text, re.MULTILINE)
    assert found is not None, f"no series {metric}{{{of}}}"
    return int(float(found[1]))


def asked_of_upstream(mirror: Mirror) -> int:
    """Return the number of requests that a mirror with one worker has sent, or tried to send, to its upstream."""
    return counted(mirror, "plugin_mirror_upstream_requests_total", upstream="hub")


def failures_of_upstream(mirror: Mirror) -> int:
    """Return the number of failed requests of a mirror to its upstream, a broken download among them."""
    with urllib.request.urlopen(f"{mirror.url}/metrics", timeout=120) as response:
        text = response.read().decode()
    counts = re.findall(r"^plugin_mirror_upstream_failures_total{.*} (\S+)$", text, re.MULTILINE)
    return sum(int(float(count)) for count in counts)


def workers_of(mirror: Mirror) -> list[int]:
    """Return the process ids of a mirror's workers."""
    listed = run(["ps", "-o", "pid=", "--ppid", str(mirror.pid)], check=False).stdout
    return sorted(int(pid) for pid in listed.split())


def spooled_bytes(mirror: Mirror) -> int:
    """Return the total size of the partial content in a mirror's `uploads` folder."""
    return sum(file.stat().st_size for file in mirror.data.glob("uploads/*/data"))


def writer_of(mirror: Mirror) -> int:
    """Return the process id of the worker that has claimed a download, which holds the session file open."""
    for pid in workers_of(mirror):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            if re.search(r"uploads/sha256-[0-9a-f]+/session.json", os.path.realpath(descriptor)):
                return pid
    raise AssertionError("no worker has claimed a download")


@contextmanager
def at_once(count: int) -> Iterator[ThreadPoolExecutor]:
    """Open a pool of `count` threads for requests at the same time."""
    with ThreadPoolExecutor(count) as pool:
        yield pool


def requests_of(nginx: Nginx, digest: str) -> list[tuple[int, int]]:
    """Return the status and the number of body bytes of each finished GET of a blob."""
    line = re.compile(r'"GET \S*/blobs/' + digest + r'\S* HTTP/1.1" (\d+) (\d+)')
    return [(int(found[1]), int(found[2])) for found in line.finditer(nginx.access_log.read_text())]

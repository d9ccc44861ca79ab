"""Metrics of requests."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mirror.server.api.request_metrics import FAMILIES
from tests.support.served import LAYER, MANIFEST, REPOSITORY, TAG, Served, digest, put_plugin, served
from tests.support.waiting import until

MANIFEST_URL = f"/v2/{REPOSITORY}/manifests/{TAG}"
BLOB_URL = f"/v2/{REPOSITORY}/blobs/{digest(LAYER)}"


def counted(server: Served) -> dict[tuple[str, ...], float]:
    """Return the metrics that are not zero, without sums of seconds."""
    return {
        (family.name.removeprefix("plugin_mirror_"), *labels): (sum(cells[:-1]) if family.bounds else cells[0])
        for family, series in server.shared_metrics.sums()
        for labels, cells in series
        if any(cells)
    }


@pytest.mark.parametrize(
    ("method", "target", "body", "labels", "received", "sent"),
    [
        ("GET", "/v2/", b"", ("ping", "GET", "2xx"), 0, 2),
        ("GET", MANIFEST_URL, b"", ("manifest", "GET", "2xx"), 0, len(MANIFEST)),
        ("HEAD", MANIFEST_URL, b"", ("manifest", "HEAD", "2xx"), 0, 0),
        ("DELETE", MANIFEST_URL, b"", ("manifest", "DELETE", "2xx"), 0, 0),
        ("HEAD", BLOB_URL, b"", ("blob", "HEAD", "2xx"), 0, 0),
        ("POST", f"/v2/{REPOSITORY}/blobs/uploads/?digest={digest(b'n')}", b"n", ("uploads", "POST", "2xx"), 1, 0),
        ("GET", "/healthz", b"", ("health", "GET", "2xx"), 0, len('{"status": "ok"}')),
    ],
)
async def test_an_answer(
    filled: Served, method: str, target: str, body: bytes, labels: tuple[str, ...], received: int, sent: int
) -> None:
    await filled.ask(method, target, body=body)
    expected = {("requests_total", *labels): 1, ("request_duration_seconds", *labels[:2]): 1}
    expected |= {("received_bytes_total", labels[0]): received} if received else {}
    expected |= {("sent_bytes_total", labels[0]): sent} if sent else {}
    assert counted(filled) == expected


@pytest.mark.parametrize(
    ("method", "target", "labels"),
    [
        ("GET", "/v2/a/tags/list", ("tags", "GET", "4xx")),
        ("GET", "/nothing", ("other", "other", "4xx")),
        ("GET", "/v2/UPPER/manifests/1", ("other", "other", "4xx")),
        ("PUT", "/v2/", ("other", "other", "4xx")),
        ("BREW", "/v2/", ("other", "other", "4xx")),
        ("POST", "/healthz", ("other", "other", "4xx")),
    ],
)
async def test_a_refusal_makes_no_series_of_its_own(
    filled: Served, method: str, target: str, labels: tuple[str, ...]
) -> None:
    await filled.ask(method, target)
    counts = counted(filled)
    assert counts["requests_total", *labels] == 1
    assert counts["request_duration_seconds", *labels[:2]] == 1


async def test_bytes_that_are_no_request_are_counted(filled: Served) -> None:
    async with filled.connect() as connection:
        connection.writer.write(b"GARBAGE\r\n\r\n")
        await connection.receive()
        assert await connection.ended()
    assert counted(filled)["requests_total", "other", "other", "4xx"] == 1


async def test_a_blob_counts_when_its_headers_leave(filled: Served) -> None:
    await filled.ask("GET", BLOB_URL)
    counts = counted(filled)
    assert counts["blob_headers_seconds",] == 1
    assert counts["sent_bytes_total", "blob"] == len(LAYER)
    sums = {
        family.name: cells[-1] for family, series in filled.shared_metrics.sums() for _, cells in series if any(cells)
    }
    assert 0 < sums["plugin_mirror_blob_headers_seconds"] <= sums["plugin_mirror_request_duration_seconds"]


async def test_an_upload_that_breaks_off_counts_the_bytes_that_came(filled: Served) -> None:
    location = await filled.begin_upload()
    async with filled.connect() as connection:
        await connection.send("PATCH", location, [("Content-Length", "1000")])
        connection.writer.write(bytes(600))
        await connection.writer.drain()
    await until(lambda: ("requests_total", "upload", "PATCH", "4xx") in counted(filled))
    assert counted(filled)["received_bytes_total", "upload"] == 600


async def test_the_page(filled: Served) -> None:
    await filled.ask("GET", MANIFEST_URL)
    answer = await filled.ask("GET", "/metrics")
    assert (answer.status, answer.headers["Content-Type"].partition(";")[0]) == (200, "text/plain")
    read = {family.name: family for family in text_string_to_metric_families(answer.body.decode())}
    assert set(read) == {family.name.removesuffix("_total") for family in FAMILIES}
    assert REPOSITORY.name not in answer.body.decode()
    assert (await filled.ask("POST", "/metrics")).status == 405


async def test_no_counters_are_shared_between_servers() -> None:
    async with served() as one, served() as other:
        await one.ask("GET", "/v2/")
        assert counted(other) == {}


async def test_content_that_clients_receive_is_counted_by_repository() -> None:
    seen: list[tuple[str, int, int]] = []
    async with served(content_sent=lambda repository, *numbers: seen.append((repository.name, *numbers))) as server:
        await put_plugin(server.registry)
        for method, target in (("HEAD", MANIFEST_URL), ("GET", MANIFEST_URL), ("GET", BLOB_URL)):
            await server.ask(method, target)
        await server.ask("GET", BLOB_URL, [("Range", "bytes=0-1")])
        await server.ask("GET", f"/v2/{REPOSITORY}/manifests/absent")
        await until(lambda: len(seen) == 3)
    name = REPOSITORY.name
    assert seen == [(name, 1, len(MANIFEST)), (name, 0, len(LAYER)), (name, 0, 2)]

"""The registry that a client means with ``?ns=`` and ``OCI-Namespace``."""

import json

import pytest
from aiohttp.test_utils import RawTestServer, TestClient

from mirror.registry.memory import MemoryRegistry
from mirror.server.http_application import build
from tests.support.served import REPOSITORY, TAG, put_plugin

MANIFEST = f"/v2/{REPOSITORY}/manifests/{TAG}"


@pytest.mark.parametrize(
    ("query", "header", "status"),
    [
        ("", None, 200),
        ("?ns=docker.io", None, 200),
        ("?ns=Docker.IO", None, 200),
        ("", "docker.io", 200),
        ("?ns=quay.io", None, 404),
        ("?x=1&ns=quay.io", None, 404),
        ("", "quay.io", 404),
        ("?ns=quay.io", "docker.io", 404),
        ("?ns=", None, 200),
    ],
)
@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_who_means_another_registry_is_told_that_there_is_no_such_repository(
    method: str, query: str, header: str | None, status: int
) -> None:
    registry = MemoryRegistry()
    await put_plugin(registry)
    application = build(registry, namespaces=["docker.io", "ghcr.io"])
    headers = {} if header is None else {"OCI-Namespace": header}
    async with (
        TestClient(RawTestServer(application.handle)) as client,
        client.request(method, MANIFEST + query, headers=headers) as answer,
    ):
        assert answer.status == status
        if status == 404 and method == "GET":
            (error,) = json.loads(await answer.text())["errors"]
            assert error["code"] == "NAME_UNKNOWN"
            assert "docker.io, ghcr.io" in error["message"]


@pytest.mark.parametrize("query", ["?ns=quay.io", ""])
async def test_where_none_are_listed_it_does_not_matter(query: str) -> None:
    registry = MemoryRegistry()
    await put_plugin(registry)
    async with (
        TestClient(RawTestServer(build(registry).handle)) as client,
        client.get(MANIFEST + query, headers={"OCI-Namespace": "quay.io"}) as answer,
    ):
        assert answer.status == 200

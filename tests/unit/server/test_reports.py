"""``/api/v1/…``."""

import json

import pytest
from aiohttp.test_utils import RawTestServer, TestClient

from mirror.oci.errors import Denied
from mirror.registry.memory import MemoryRegistry
from mirror.server.http_application import build


async def mirrors():
    return {"mirrors": [{"rule": "acme"}]}


async def denied():
    raise Denied("you may not look")


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/api/v1/mirrors", 200, {"mirrors": [{"rule": "acme"}]}),
        ("POST", "/api/v1/mirrors", 405, "UNSUPPORTED"),
        ("GET", "/api/v1/secrets", 403, "DENIED"),
        ("GET", "/api/v1/other", 404, None),
    ],
)
async def test_reports(method, path, status, body):
    application = build(MemoryRegistry(), reports={"mirrors": mirrors, "secrets": denied})
    async with TestClient(RawTestServer(application.handle)) as client, client.request(method, path) as answer:
        assert answer.status == status
        text = await answer.text()
    if isinstance(body, dict):
        assert json.loads(text) == body
        assert answer.headers["Cache-Control"] == "no-store"
    elif body is not None:
        assert json.loads(text)["errors"][0]["code"] == body

"""``POST /api/v1/…``."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiohttp.test_utils import RawTestServer, TestClient

from mirror.access.rights import AccessAction
from mirror.filters.authorize import AnonymousRights
from mirror.oci.errors import Denied
from mirror.registry.memory import MemoryRegistry
from mirror.server.api.admin_actions import AdminAction
from mirror.server.api.operators import Operator, Operators
from mirror.server.forwarded import ForwardedHeaders
from mirror.server.http_application import build
from tests.support.served import REPOSITORY

WORD = {"Authorization": "Bearer word"}


@pytest.fixture
async def done() -> list[Mapping[str, Any]]:
    """Actions that were carried out."""
    return []


@pytest.fixture
async def client(done: list[Mapping[str, Any]]) -> AsyncIterator[TestClient[Any, Any]]:
    async def require(word: str) -> None:
        if word != "word":
            raise Denied(f"the word is not {word}")

    async def has_users() -> bool:
        return False

    async def do(operator: Operator, sent: Mapping[str, Any]) -> object:
        operator.require(AccessAction.APPROVE, REPOSITORY)
        done.append(sent)
        return {"done": sent}

    nothing, by_word = AnonymousRights(frozenset()), AnonymousRights(frozenset({AccessAction.APPROVE}))
    operators = Operators(None, ForwardedHeaders(), has_users, anyone=nothing, local=nothing, word=(require, by_word))
    application = build(
        MemoryRegistry(), operators=operators, actions={"things/do": AdminAction(AccessAction.APPROVE, do)}
    )
    async with TestClient(RawTestServer(application.handle)) as client:
        yield client


async def test_what_is_sent_is_done(client: TestClient[Any, Any], done: list[Mapping[str, Any]]) -> None:
    async with client.post("/api/v1/things/do", headers=WORD, data=b'{"a": 1}') as answer:
        assert (answer.status, await answer.json()) == (200, {"done": {"a": 1}})
        assert answer.headers["Cache-Control"] == "no-store"
    assert done == [{"a": 1}]


@pytest.mark.parametrize(
    ("method", "headers", "body", "status", "message"),
    [
        ("POST", {}, b'{"a": 1}', 403, "'Authorization: Bearer TOKEN'"),
        ("POST", {"Authorization": "Basic word"}, b'{"a": 1}', 403, "'Authorization: Bearer TOKEN'"),
        ("POST", {"Authorization": "bearer other"}, b'{"a": 1}', 403, "'Authorization: Bearer TOKEN'"),
        ("POST", {}, b"{", 403, "'Authorization: Bearer TOKEN'"),
        ("POST", WORD, b"{", 400, "the body is not JSON"),
        ("POST", WORD, b"[]", 400, "the body is not a JSON object"),
        ("POST", WORD, b"", 400, "the body is not JSON"),
        ("POST", WORD, b" " * (64 * 1024 + 1), 413, "at most 65536 bytes"),
        ("GET", WORD, b"", 405, "supports only POST"),
        ("DELETE", WORD, b"", 405, "supports only POST"),
    ],
)
async def test_what_is_not_done(
    client: TestClient[Any, Any],
    done: list[Mapping[str, Any]],
    method: str,
    headers: Mapping[str, str],
    body: bytes,
    status: int,
    message: str,
) -> None:
    async with client.request(method, "/api/v1/things/do", headers=headers, data=body) as answer:
        told = json.loads(await answer.text())["errors"][0]["message"]
        assert answer.status == status
        assert message in told
        assert answer.headers.get("Allow") == ("POST" if status == 405 else None)
    assert done == []


async def test_there_is_nothing_to_do_where_nothing_is_given() -> None:
    application = build(MemoryRegistry())
    async with TestClient(RawTestServer(application.handle)) as client, client.post("/api/v1/things/do") as answer:
        assert answer.status == 404

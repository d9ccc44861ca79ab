"""Fetching of a key set over HTTPS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer

from mirror.app import issuer_keys as module
from mirror.app.issuer_keys import issuer_keys
from mirror.runtime.clock import SystemClock
from mirror.settings.server.token_issuer_settings import TokenIssuerSettings
from tests.support.token_issuer import ISSUER, SERVICE, TokenIssuer

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
KEY_SET = TokenIssuer().key_set
CA = trustme.CA()


@asynccontextmanager
async def keys_of(folder: Path, answer: Answer, *, trusts: bool = True) -> AsyncIterator[list[str | None]]:
    """Serve an answer over HTTPS, and yield the identifiers of the keys that are fetched there."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await (answer(request) if request.path == "/keys" else _answer(KEY_SET))

    application = web.Application()
    application.router.add_get("/{path}", handle)
    server = TestServer(application, host="127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("127.0.0.1").configure_cert(context)
    (trustme.CA() if not trusts else CA).cert_pem.write_to_path(folder / "ca.pem")
    await server.start_server(ssl=context)
    try:
        url = f"https://127.0.0.1:{server.port}/keys"
        settings = TokenIssuerSettings(
            realm="https://auth.example/token", service=SERVICE, issuer=ISSUER, jwks=url, ca_file=folder / "ca.pem"
        )
        async with issuer_keys(settings, SystemClock(), lambda _outcome: None) as source:
            yield [key.kid for key in (await source.newer()).keys]
    finally:
        await server.close()


async def _answer(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=body, status=status, headers=headers)


async def test_keys_are_fetched_over_https(tmp_path: Path) -> None:
    async with keys_of(tmp_path, lambda _: _answer(KEY_SET)) as found:
        assert found == ["first"]


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: _answer(KEY_SET, 404),
        lambda _: _answer(b"", 302, {"Location": "/elsewhere"}),
        lambda _: _answer(b"", 302, {"Location": "http://127.0.0.1:1/keys"}),
        lambda _: _answer(KEY_SET + b" " * 300_000),
        lambda _: _answer(b"<html>"),
    ],
    ids=["404", "redirect", "redirect to plain HTTP", "too large", "no key set"],
)
async def test_any_other_answer_gives_no_keys(tmp_path: Path, answer: Answer) -> None:
    async with keys_of(tmp_path, answer) as found:
        assert found == []


async def test_an_issuer_with_an_unknown_certificate_gives_no_keys(tmp_path: Path) -> None:
    async with keys_of(tmp_path, lambda _: _answer(KEY_SET), trusts=False) as found:
        assert found == []


async def test_an_issuer_that_does_not_answer_gives_no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FETCH_SECONDS", 0.05)

    async def hangs(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"{")
        while request.transport is not None and not request.transport.is_closing():
            await asyncio.sleep(0.01)
        return response

    async with keys_of(tmp_path, hangs) as found:
        assert found == []

"""A proxy in front of an S3 server, which counts requests and makes faults."""

import asyncio
from collections.abc import Callable
from enum import Enum
from io import BytesIO
from typing import Self

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, hdrs, web
from yarl import URL

_OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding"}
_SLOW_DOWN = (
    b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>'
)
_PIECE_BYTES = 64 * 1024


class Fault(Enum):
    """What happens to a request."""

    #: The connection is closed before an answer. The server never sees the request.
    GONE = "gone"
    #: No answer comes, and the connection stays open.
    SILENT = "silent"
    #: A busy server.
    SLOW_DOWN = "slow down"
    #: The connection breaks in the middle of the answer.
    TRUNCATED = "truncated"
    #: The server does what it is told, and its answer is lost.
    ANSWER_LOST = "answer lost"
    #: The server gets the request twice, and the second answer is passed on.
    TWICE = "twice"
    #: The clock of the client is wrong, says the server.
    SKEWED = "skewed"


class BucketProxy:
    """A proxy on a free port of 127.0.0.1.

    An async context manager.

    Attributes:
        fault: returns the fault for a method and a path; None for none.
        requests: method and path of each request.
        sent_bytes: bytes of answers to GETs that clients were sent.
        hold: cleared to let answers to GETs wait after their headers.
    """

    def __init__(self, url: str) -> None:
        self.fault: Callable[[str, str], Fault | None] = lambda _method, _path: None
        self.requests: list[tuple[str, str]] = []
        self.sent_bytes = 0
        self.hold = asyncio.Event()
        self.hold.set()
        self._upstream = url

    async def __aenter__(self) -> Self:
        self._session = ClientSession(
            auto_decompress=False, cookie_jar=DummyCookieJar(), timeout=ClientTimeout(total=None), trust_env=False
        )
        application = web.Application(client_max_size=1 << 40)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, shutdown_timeout=0, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hold.set()
        await self._runner.cleanup()
        await self._session.close()

    @property
    def url(self) -> str:
        """Base URL of the proxy."""
        return f"http://127.0.0.1:{self.port}"

    def break_all(self, fault: Fault | None) -> None:
        """Make the same fault of all requests from now on; None for none."""
        self.fault = lambda _method, _path: fault

    def count(self, method: str, part: str = "") -> int:
        """Return the number of requests with a method, and with a text in their paths."""
        return sum(each == method and part in path for each, path in self.requests)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.raw_path))
        fault = self.fault(request.method, request.raw_path)
        match fault:
            case Fault.GONE:
                return _broken(request)
            case Fault.SILENT:
                await asyncio.Event().wait()
            case Fault.SLOW_DOWN:
                await request.read()
                return web.Response(status=503, body=_SLOW_DOWN, content_type="application/xml")
            case Fault.SKEWED:
                await request.read()
                return web.Response(status=403, body=_SLOW_DOWN.replace(b"SlowDown", b"RequestTimeTooSkewed"))
        body = await request.read()
        if fault is Fault.TWICE:
            await self._forward(request, body, None)
        if fault is Fault.ANSWER_LOST:
            await self._forward(request, body, None)
            return _broken(request)
        answer = web.StreamResponse()
        await self._forward(request, body, answer, is_truncated=fault is Fault.TRUNCATED)
        return answer

    async def _forward(
        self, request: web.Request, body: bytes, answer: web.StreamResponse | None, *, is_truncated: bool = False
    ) -> None:
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _OF_THE_CONNECTION]
        url = URL(f"{self._upstream}{request.raw_path}", encoded=True)
        skipped = [hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE]
        async with self._session.request(
            request.method, url, headers=headers, data=BytesIO(body) if body else None, skip_auto_headers=skipped
        ) as reply:
            if answer is None:
                await reply.read()
                return
            answer.set_status(reply.status, reply.reason)
            for name, value in reply.headers.items():
                if name.lower() not in _OF_THE_CONNECTION:
                    answer.headers.add(name, value)
            await answer.prepare(request)
            left = int(reply.headers.get(hdrs.CONTENT_LENGTH, 0)) // 2
            async for piece in reply.content.iter_chunked(_PIECE_BYTES):
                if request.method == hdrs.METH_GET:
                    await self.hold.wait()
                if is_truncated and len(piece) >= left:
                    await answer.write(piece[:left])
                    _broken(request)
                    return
                left -= len(piece)
                await answer.write(piece)
                self.sent_bytes += len(piece) if request.method == hdrs.METH_GET else 0
            await answer.write_eof()


def _broken(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response(status=500)

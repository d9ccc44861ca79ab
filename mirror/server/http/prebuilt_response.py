"""Responses with constant headers, such as those with a manifest. Their headers are serialised once and cached."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE
from multidict import CIMultiDict, CIMultiDictProxy


class PrebuiltHead:
    """The headers of a 200 response, and their serialised form.

    Args:
        fields: the headers, without those depending on time or connection.
        size_bytes: length of the body in bytes.
    """

    __slots__ = ("fields", "lines")

    def __init__(self, fields: Mapping[str, str], size_bytes: int) -> None:
        own = {hdrs.CONTENT_LENGTH: str(size_bytes), "Server": SERVER_SOFTWARE}
        self.fields = CIMultiDictProxy(CIMultiDict(fields, **own))
        self.lines = "".join(f"{name}: {value}\r\n" for name, value in self.fields.items()).encode()


class PrebuiltResponse(web.StreamResponse):
    """A response with a prebuilt head, for HTTP/1.1 requests. Head and body are sent in one write.

    Args:
        head: the prebuilt head.
        body: the body; empty in answer to ``HEAD``.

    Attributes:
        sent_bytes: bytes of the body passed to the connection.
    """

    def __init__(self, head: PrebuiltHead, body: bytes) -> None:
        super().__init__()
        self._head = head
        self._content = body
        self._keeps_alive = True
        self._sent = False
        self.sent_bytes = 0

    @property
    def headers(self) -> CIMultiDictProxy[str]:  # type: ignore[override] # shared, so not to be changed
        return self._head.fields

    @property
    def prepared(self) -> bool:
        return self._sent

    @property
    def keep_alive(self) -> bool:
        return self._keeps_alive

    def force_close(self) -> None:
        self._keeps_alive = False

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send head and body."""
        self._keeps_alive = self._keeps_alive and request.keep_alive
        connection = b"" if self._keeps_alive else b"Connection: close\r\n"
        date = rfc822_formatted_time().encode()
        self._sent, self.sent_bytes = True, len(self._content)
        # Only Date and Connection differ between answers. aiohttp's own writer would serialise all headers each time.
        await request.writer.write(
            b"HTTP/1.1 200 OK\r\n%bDate: %b\r\n%b\r\n%b" % (self._head.lines, date, connection, self._content)
        )
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: :meth:`prepare` has sent everything."""

"""Answers to clients that have the content already (RFC 9110, sections 13.1.2 and 15.4.5)."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Final

from aiohttp import hdrs, web

from mirror.oci import Digest
from mirror.oci.errors import Denied, NotFound
from mirror.server.http import header_names
from mirror.wire.conditions import IfNoneMatch, entity_tag

#: Headers of a 200 that its 304 has too. The others describe a body.
_KEPT: Final = (hdrs.AGE, hdrs.WARNING)


def has_copy(request: web.BaseRequest, digest: Digest) -> bool:
    """Return True if the client says by ``If-None-Match`` that it has the content with this digest."""
    headers = request.headers
    return hdrs.IF_NONE_MATCH in headers and IfNoneMatch.parse(headers.getall(hdrs.IF_NONE_MATCH)).matches(digest)


async def is_served(reading: Awaitable[object]) -> bool:
    """Return True unless a read of the content is refused, as that of a withheld plugin.

    ``HEAD`` succeeds for withheld plugins. A 304 does not, because it would tell the client to use its copy.
    """
    try:
        await reading
    except (Denied, NotFound):
        return False
    return True


def not_modified(digest: Digest, headers: Mapping[str, str]) -> web.Response:
    """Build the 304 for content with this digest.

    Args:
        digest: the digest of the content.
        headers: the headers that the 200 would have.
    """
    own = {
        header_names.API_VERSION: header_names.API_VERSION_VALUE,
        header_names.ETAG: entity_tag(digest),
        header_names.CONTENT_DIGEST: str(digest),
    }
    return web.Response(status=304, headers=own | {name: headers[name] for name in _KEPT if name in headers})

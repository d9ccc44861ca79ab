"""``POST /api/v1/…``: what is changed on this server by a request that is not of the distribution API."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from mirror.oci.manifest import parse_json_object
from mirror.server import headers
from mirror.server.exchange import Exchange

_MOST_BODY_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Act:
    """Something that a client may have done.

    Attributes:
        require: given what follows ``Bearer`` in ``Authorization``, or None; raises where that is not enough.
        do: given the JSON object that was sent; gives plain values, or raises an error of the tree.
    """

    require: Callable[[str | None], Awaitable[None]]
    do: Callable[[Mapping[str, Any]], Awaitable[object]]


def performing(
    act: Act, exchange_of: Callable[[web.BaseRequest], Exchange]
) -> Callable[[web.BaseRequest], Awaitable[web.Response]]:
    """The handler of an act. Who may not is told so before anything that was sent is looked at."""

    async def perform(request: web.BaseRequest) -> web.Response:
        scheme, _, word = request.headers.get(headers.AUTHORIZATION, "").partition(" ")
        await act.require(word.strip() if scheme.lower() == "bearer" else None)
        content = b"".join([chunk async for chunk in exchange_of(request).receive(_MOST_BODY_BYTES)])
        done = await act.do(parse_json_object(content, "the body"))
        return web.Response(
            body=json.dumps(done).encode(),
            content_type="application/json",
            headers={headers.CACHE_CONTROL: "no-store"},
        )

    return perform

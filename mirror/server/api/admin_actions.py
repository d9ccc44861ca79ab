"""``POST /api/v1/…``: what is changed on this server by a request that is not of the distribution API."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import hdrs, web

from mirror.access.rights import AccessAction
from mirror.oci.manifest import parse_json_object
from mirror.server.api.operators import Operator, Operators
from mirror.server.request_context import RequestContext

_MOST_BODY_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class AdminAction:
    """Something that a client may have done.

    Attributes:
        needs: what somebody must be allowed to do somewhere, before anything that they send is looked at.
        do: given who asks, and the JSON object that was sent; gives plain values, or raises an error of the tree, also
            where who asks may not do just this.
    """

    needs: AccessAction
    do: Callable[[Operator, Mapping[str, Any]], Awaitable[object]]


def action_handler(
    action: AdminAction, operators: Operators, exchange_of: Callable[[web.BaseRequest], RequestContext]
) -> Callable[[web.BaseRequest], Awaitable[web.Response]]:
    """The handler of an act. Who may not is told so before anything that was sent is looked at."""

    async def perform(request: web.BaseRequest) -> web.Response:
        operator = await operators.may(action.needs, request)
        content = b"".join([chunk async for chunk in exchange_of(request).receive(_MOST_BODY_BYTES)])
        done = await action.do(operator, parse_json_object(content, "the body"))
        return web.Response(
            body=json.dumps(done).encode(),
            content_type="application/json",
            headers={hdrs.CACHE_CONTROL: "no-store"},
        )

    return perform

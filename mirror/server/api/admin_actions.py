"""Actions of ``POST /api/v1/…``, which change this server outside the distribution API."""

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
    """An action that a client may request.

    Attributes:
        needs: the right required in at least one repository before the body is read.
        do: performs the action for an operator with the JSON object from the body, and returns plain values. Raises
            MirrorError on failure, also if the operator lacks the right for this object.
    """

    needs: AccessAction
    do: Callable[[Operator, Mapping[str, Any]], Awaitable[object]]


def action_handler(
    action: AdminAction, operators: Operators, exchange_of: Callable[[web.BaseRequest], RequestContext]
) -> Callable[[web.BaseRequest], Awaitable[web.Response]]:
    """Return the HTTP handler of an action. A caller without the right is refused before the body is read."""

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

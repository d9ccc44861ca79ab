"""Handlers of ``/v2/NAME/tags/list`` (distribution-spec, "Listing Tags") and ``/v2/_catalog`` (distribution)."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import hdrs, web

from mirror.registry.port import Entry, Page
from mirror.server.http import header_names
from mirror.server.request_context import RequestContext
from mirror.wire.pagination import PageRequest, next_link
from mirror.wire.routes import CatalogRoute, TagsRoute


async def get(context: RequestContext, route: TagsRoute) -> web.Response:
    """Return the tags of a repository in ASCII order."""
    page = await context.registry.list_tags(route.repository, route.page)
    body = {"name": str(route.repository), "tags": [str(tag) for tag in page.entries]}
    return _listed(context, body, page, TagsRoute(route.repository, _following(route.page, page)))


async def catalog(context: RequestContext, route: CatalogRoute) -> web.Response:
    """Return the repositories in ASCII order."""
    page = await context.registry.list_repositories(route.page)
    body = {"repositories": [str(repository) for repository in page.entries]}
    return _listed(context, body, page, CatalogRoute(_following(route.page, page)))


def _following(request: PageRequest, page: Page[Entry]) -> PageRequest:
    return PageRequest(request.size, str(page.entries[-1]) if page.entries else None)


def _listed(
    context: RequestContext, body: dict[str, Any], page: Page[Entry], following: TagsRoute | CatalogRoute
) -> web.Response:
    more = {hdrs.LINK: next_link(context.url(following))} if page.more else {}
    return web.Response(body=json.dumps(body).encode(), headers=header_names.JSON_HEADERS | more)

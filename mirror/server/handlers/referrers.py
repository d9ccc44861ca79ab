"""Handler of ``/v2/NAME/referrers/DIGEST`` (distribution-spec, "Listing Referrers")."""

from __future__ import annotations

import json
from dataclasses import replace

from aiohttp import hdrs, web

from mirror.oci import Descriptor
from mirror.oci.manifest import MAX_MANIFEST_BYTES
from mirror.oci.media_types import OCI_INDEX
from mirror.server.http import header_names
from mirror.server.request_context import RequestContext
from mirror.wire.pagination import PageRequest, next_link
from mirror.wire.routes import ReferrersRoute

# Clients apply their size limit for manifests to this list as well, so longer lists are sent in pages.
_ROOM_BYTES = MAX_MANIFEST_BYTES - 1024
_SEPARATOR_BYTES = 2
_ENTRY_LENGTH = 300


async def get(context: RequestContext, route: ReferrersRoute) -> web.Response:
    """Return an index of the manifests referring to a digest; an empty index if none do or the digest is unknown."""
    page = await context.registry.list_referrers(route.repository, route.digest, route.artifact_type, route.page)
    # An estimate of the JSON's length: large lists are serialised in a thread.
    length = sum(_ENTRY_LENGTH + entry.text_length for entry in page.entries)
    listed = await context.activity.cpu_offload.do(context.client, length, _fitting, page.entries)
    answer = {header_names.API_VERSION: header_names.API_VERSION_VALUE, hdrs.CONTENT_TYPE: OCI_INDEX}
    if route.artifact_type is not None:
        answer[header_names.OCI_FILTERS_APPLIED] = "artifactType"
    if listed and (page.more or len(listed) < len(page.entries)):
        following = PageRequest(route.page.size, str(page.entries[len(listed) - 1].digest))
        answer[hdrs.LINK] = next_link(context.url(replace(route, page=following)))
    body = f'{{"schemaVersion": 2, "mediaType": "{OCI_INDEX}", "manifests": [{", ".join(listed)}]}}'
    return web.Response(body=body.encode(), headers=answer)


def _fitting(entries: tuple[Descriptor, ...]) -> list[str]:
    """Return the leading entries as JSON texts, as many as fit into one answer, and at least one if there are any."""
    listed: list[str] = []
    size_bytes = 0
    for entry in entries:
        text = json.dumps(entry.to_json())
        size_bytes += len(text) + _SEPARATOR_BYTES
        # The first entry always goes out, or a client following the links would never get past it.
        if listed and size_bytes > _ROOM_BYTES:
            break
        listed.append(text)
    return listed

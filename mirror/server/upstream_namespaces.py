"""The registry a client means, given by ``?ns=`` or ``OCI-Namespace`` (distribution-spec, "Registry Proxying")."""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import web

from mirror.oci.errors import RepositoryUnknown
from mirror.server.http import header_names
from mirror.server.request_scope import Handler
from mirror.wire import request_line


def answering_for(handle: Handler, namespaces: Collection[str]) -> Handler:
    """Return a handler that answers only requests for one of our namespaces, or without a namespace.

    In another namespace, a repository of the same name belongs to somebody else. Such a request gets 404, and the
    client goes on to the registry itself.

    Args:
        handle: the handler to wrap.
        namespaces: registry names as used in references, such as ``docker.io``.
    """

    async def checked(request: web.BaseRequest) -> web.StreamResponse:
        meant = _namespace(request)
        if meant is not None and meant not in namespaces:
            raise RepositoryUnknown(
                f"this is not a mirror of {meant[:255]}; server.namespaces lists {', '.join(sorted(namespaces))}",
                namespace=meant[:255],
            )
        return await handle(request)

    return checked


def _namespace(request: web.BaseRequest) -> str | None:
    _, _, query = request.raw_path.partition("?")
    meant = request_line.parse_query(query).get("ns") or request.headers.getall(header_names.OCI_NAMESPACE, [])
    return meant[0].lower() or None if meant else None

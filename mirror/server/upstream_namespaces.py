"""The registry that a client means: ``?ns=`` and ``OCI-Namespace`` (distribution-spec, "Registry Proxying")."""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import web

from mirror.oci.errors import RepositoryUnknown
from mirror.server.http import header_names
from mirror.server.request_scope import Handler
from mirror.wire import request_line


def answering_for(handle: Handler, namespaces: Collection[str]) -> Handler:
    """Have requests answered that mean a registry which this is a mirror of, or say nothing of it.

    Where a client means another, a name that happens to be here as well is somebody else's: it is told that there is no
    such repository, and goes on to the registry itself.

    Args:
        handle: answers a request.
        namespaces: names of registries, as they stand in references: ``docker.io``.
    """

    async def checked(request: web.BaseRequest) -> web.StreamResponse:
        meant = _namespace(request)
        if meant is not None and meant not in namespaces:
            raise RepositoryUnknown(
                f"this is no mirror of {meant[:255]}: server.namespaces has {', '.join(sorted(namespaces))}",
                namespace=meant[:255],
            )
        return await handle(request)

    return checked


def _namespace(request: web.BaseRequest) -> str | None:
    _, _, query = request.raw_path.partition("?")
    meant = request_line.parse_query(query).get("ns") or request.headers.getall(header_names.OCI_NAMESPACE, [])
    return meant[0].lower() or None if meant else None

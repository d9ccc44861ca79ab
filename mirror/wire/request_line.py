"""Parsing of request lines into routes of the distribution API (distribution-spec, "Endpoints")."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from mirror.oci import Digest, Repository, Tag
from mirror.oci.digest import ALGORITHMS
from mirror.oci.errors import ClientFault, DigestInvalid, ManifestUnknown, NameInvalid, NotFound, Unsupported
from mirror.oci.names import parse_reference
from mirror.wire import routes
from mirror.wire.pagination import PageRequest

#: Most parameters accepted in a query.
MAX_PARAMETERS = 1024
#: Most characters of a path quoted in an error message.
_MOST_QUOTED = 300

#: Longest path prefix, in characters.
MAX_PREFIX_LENGTH = 255

Query = Mapping[str, Sequence[str]]

# Plain names only: the prefix becomes part of headers, and "//" would begin the name of another host.
_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]+)+")
_UPLOAD_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True, slots=True)
class _Target:
    """A request line split into method, repository name, last path component and query."""

    method: str
    name: str
    tail: str
    query: Query = field(repr=False)

    def first(self, key: str) -> str | None:
        values = self.query.get(key)
        return values[0] if values and values[0] else None

    def digest(self, key: str) -> Digest | None:
        text = self.first(key)
        return None if text is None else Digest.parse(text)


# The name is matched lazily and checked afterwards, so that an invalid name is reported as NAME_INVALID, not as an
# unknown endpoint.
_ENDPOINTS = re.compile(
    r"/v2/(?P<name>.+?)/(?:(?P<tags>tags/list)|referrers/(?P<referrers>[^/]+)|manifests/(?P<manifests>[^/]+)"
    r"|blobs/(?:(?P<uploads>uploads/?)|uploads/(?P<upload>[^/]+)|(?P<blobs>[^/]+)))",
    re.DOTALL,
)


def parse_prefix(text: str) -> str | None:
    """Parse the path below which a proxy offers the server, such as ``/registry``.

    Returns:
        The path without a slash at its end, and an empty text for the root. None if the text is not a path of plain
        names, or begins with ``/v2``, which could not be told from the paths of the API.
    """
    path = text.rstrip("/")
    if not path and text in {"", "/"}:
        return ""
    if len(path) > MAX_PREFIX_LENGTH or _PREFIX.fullmatch(path) is None or path.split("/", 2)[1] == "v2":
        return None
    return path


def parse(method: str, raw_path: str, query: Query) -> routes.Route:
    """Parse the path and query of a request.

    Args:
        method: the HTTP method in upper case.
        raw_path: the percent-encoded path as sent.
        query: all query parameters with their values, decoded. Unknown parameters are ignored.

    Raises:
        NotFound: the path is not an endpoint of the API.
        Unsupported: the endpoint does not support the method.
        NameInvalid, DigestInvalid: the name, tag or digest is outside the grammar.
        ManifestUnknown: a GET or HEAD uses a tag outside the grammar.
    """
    path = unquote(raw_path)
    route = _parse_path(method, path, query)
    if method not in route.methods:
        allowed = ", ".join(sorted(route.methods))
        shown = path[:_MOST_QUOTED]
        raise Unsupported(f"{shown} does not support {method}, only {allowed}", method=method, allowed=allowed)
    return route


def parse_query(text: str) -> dict[str, list[str]]:
    """Parse the part of a URL after ``?``.

    ``+`` stands for itself, not for a space. Media types contain it, clients forget to encode it, and no value here has
    spaces.

    Raises:
        ClientFault: the query has more than :data:`MAX_PARAMETERS` parameters.
    """
    query: dict[str, list[str]] = {}
    pairs = text.split("&", MAX_PARAMETERS)
    if len(pairs) > MAX_PARAMETERS:
        raise ClientFault(f"the query has too many parameters: at most {MAX_PARAMETERS} are read")
    for pair in pairs:
        if pair:
            name, _, value = pair.partition("=")
            query.setdefault(unquote(name), []).append(unquote(value))
    return query


def _parse_path(method: str, path: str, query: Query) -> routes.Route:
    if path in {"/v2/", "/v2"}:
        return routes.PingRoute()
    if path == "/v2/_catalog":
        return routes.CatalogRoute(PageRequest.parse(query))
    match = _ENDPOINTS.fullmatch(path)
    if match is None:
        shown = path[:_MOST_QUOTED]
        raise NotFound(f"{shown!r} is not an endpoint of the distribution API", path=shown)
    kind = match.lastgroup or ""
    target = _Target(method, match["name"], match[kind], query)
    return _PARSERS[kind](target)


def _parse_tags(target: _Target) -> routes.Route:
    return routes.TagsRoute(Repository.parse(target.name), PageRequest.parse(target.query))


def _parse_referrers(target: _Target) -> routes.Route:
    repository = Repository.parse(target.name)
    page = PageRequest.parse(target.query)
    return routes.ReferrersRoute(repository, Digest.parse(target.tail), target.first("artifactType"), page)


def _parse_manifest(target: _Target) -> routes.Route:
    repository = Repository.parse(target.name)
    tags = tuple(Tag.parse(text) for text in target.query.get("tag", ()))
    try:
        return routes.ManifestRoute(repository, parse_reference(target.tail), tags)
    except NameInvalid as error:
        # The distribution API answers 404 to a read of a malformed tag, and 400 to a push.
        if target.method in {"GET", "HEAD"}:
            raise ManifestUnknown(f"nothing can be stored under that name: {error}", **error.detail) from error
        raise


def _parse_blob(target: _Target) -> routes.Route:
    return routes.BlobRoute(Repository.parse(target.name), Digest.parse(target.tail))


def _parse_uploads(target: _Target) -> routes.Route:
    source = target.first("from")
    algorithm = target.first("digest-algorithm")
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise DigestInvalid(f"digest-algorithm {algorithm[:32]!r} is not one of {', '.join(ALGORITHMS)}")
    return routes.UploadsRoute(
        repository=Repository.parse(target.name),
        digest=target.digest("digest"),
        mount=target.digest("mount"),
        source=None if source is None else Repository.parse(source),
        algorithm=algorithm,
    )


def _parse_upload(target: _Target) -> routes.Route:
    repository = Repository.parse(target.name)
    if _UPLOAD_ID.fullmatch(target.tail) is None:
        shown = target.tail[:_MOST_QUOTED]
        raise NotFound(f"{shown!r} is not the id of an upload session", upload=shown)
    # Other requests for a session may carry a stray ?digest=, which must not fail them.
    digest = target.digest("digest") if target.method == "PUT" else None
    return routes.UploadRoute(repository, target.tail, digest)


_PARSERS = {
    "tags": _parse_tags,
    "referrers": _parse_referrers,
    "manifests": _parse_manifest,
    "uploads": _parse_uploads,
    "upload": _parse_upload,
    "blobs": _parse_blob,
}

"""The paths of the distribution API, parsed and built in one place (OCI distribution-spec, "Endpoints").

``parse`` turns a request line into one of the route values below; each gives back its own URL with ``url()``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import quote, unquote, urlencode

from mirror.oci.digest import ALGORITHMS, Digest
from mirror.oci.errors import ClientFault, DigestInvalid, ManifestUnknown, NameInvalid, NotFound, Unsupported
from mirror.oci.names import Repository, Tag, parse_reference
from mirror.wire.pagination import PageRequest

#: Most parameters of a query.
MAX_PARAMETERS = 1024
#: Longest part of a path that a message quotes, in characters.
_MOST_QUOTED = 300

_FIRST_PAGE = PageRequest()

Query = Mapping[str, Sequence[str]]

_UPLOAD_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


class Route:
    """A resource of the API. ``methods`` are those the specification gives it."""

    methods: ClassVar[frozenset[str]]

    def url(self) -> str:
        """Path and query, ready for a request line."""
        query = urlencode(list(self._query()), quote_via=quote, safe="/:")
        return f"{self._path()}?{query}" if query else self._path()

    def _path(self) -> str:
        raise AssertionError("every route has a path")

    def _query(self) -> Iterable[tuple[str, str]]:
        return ()


@dataclass(frozen=True, slots=True)
class PingRoute(Route):
    """``/v2/``: is this a registry, and does it want credentials?"""

    methods: ClassVar[frozenset[str]] = frozenset({"GET", "HEAD"})

    def _path(self) -> str:
        return "/v2/"


@dataclass(frozen=True, slots=True)
class CatalogRoute(Route):
    """``/v2/_catalog``: names of repositories."""

    methods: ClassVar[frozenset[str]] = frozenset({"GET", "HEAD"})
    page: PageRequest = _FIRST_PAGE

    def _path(self) -> str:
        return "/v2/_catalog"

    def _query(self) -> Iterable[tuple[str, str]]:
        return self.page.query()


@dataclass(frozen=True, slots=True)
class TagsRoute(Route):
    """``/v2/NAME/tags/list``."""

    methods: ClassVar[frozenset[str]] = frozenset({"GET", "HEAD"})
    repository: Repository
    page: PageRequest = _FIRST_PAGE

    def _path(self) -> str:
        return f"/v2/{self.repository}/tags/list"

    def _query(self) -> Iterable[tuple[str, str]]:
        return self.page.query()


@dataclass(frozen=True, slots=True)
class ReferrersRoute(Route):
    """``/v2/NAME/referrers/DIGEST``: manifests whose subject is DIGEST."""

    methods: ClassVar[frozenset[str]] = frozenset({"GET", "HEAD"})
    repository: Repository
    digest: Digest
    artifact_type: str | None = None
    page: PageRequest = _FIRST_PAGE

    def _path(self) -> str:
        return f"/v2/{self.repository}/referrers/{self.digest}"

    def _query(self) -> Iterable[tuple[str, str]]:
        if self.artifact_type:
            yield "artifactType", self.artifact_type
        yield from self.page.query()


@dataclass(frozen=True, slots=True)
class ManifestRoute(Route):
    """``/v2/NAME/manifests/TARGET``; on PUT by digest ``?tag=`` names tags to set."""

    methods: ClassVar[frozenset[str]] = frozenset({"GET", "HEAD", "PUT", "DELETE"})
    repository: Repository
    target: Tag | Digest
    tags: tuple[Tag, ...] = ()

    def _path(self) -> str:
        return f"/v2/{self.repository}/manifests/{self.target}"

    def _query(self) -> Iterable[tuple[str, str]]:
        return (("tag", str(tag)) for tag in self.tags)


@dataclass(frozen=True, slots=True)
class BlobRoute(Route):
    """``/v2/NAME/blobs/DIGEST``."""

    methods: ClassVar[frozenset[str]] = frozenset({"GET", "HEAD", "DELETE"})
    repository: Repository
    digest: Digest

    def _path(self) -> str:
        return f"/v2/{self.repository}/blobs/{self.digest}"


@dataclass(frozen=True, slots=True)
class UploadsRoute(Route):
    """``/v2/NAME/blobs/uploads/``: begin an upload, send a blob at once, or mount one.

    Attributes:
        digest: set for a blob sent whole with the POST.
        mount: a blob that another repository may already hold.
        source: that repository, where the client named it.
        algorithm: the digest algorithm that the closing PUT will use, where announced.
    """

    methods: ClassVar[frozenset[str]] = frozenset({"POST"})
    repository: Repository
    digest: Digest | None = None
    mount: Digest | None = None
    source: Repository | None = None
    algorithm: str | None = None

    def _path(self) -> str:
        return f"/v2/{self.repository}/blobs/uploads/"

    def _query(self) -> Iterable[tuple[str, str]]:
        named = (
            ("digest", self.digest),
            ("mount", self.mount),
            ("from", self.source),
            ("digest-algorithm", self.algorithm),
        )
        return ((name, str(value)) for name, value in named if value is not None)


@dataclass(frozen=True, slots=True)
class UploadRoute(Route):
    """``/v2/NAME/blobs/uploads/ID``: one upload session; ``?digest=`` closes it on PUT."""

    methods: ClassVar[frozenset[str]] = frozenset({"GET", "HEAD", "PATCH", "PUT", "DELETE"})
    repository: Repository
    upload_id: str
    digest: Digest | None = None

    def _path(self) -> str:
        return f"/v2/{self.repository}/blobs/uploads/{self.upload_id}"

    def _query(self) -> Iterable[tuple[str, str]]:
        return () if self.digest is None else (("digest", str(self.digest)),)


@dataclass(frozen=True, slots=True)
class _Target:
    """A request line, taken apart."""

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


_ENDPOINTS = re.compile(
    r"/v2/(?P<name>.+?)/(?:(?P<tags>tags/list)|referrers/(?P<referrers>[^/]+)|manifests/(?P<manifests>[^/]+)"
    r"|blobs/(?:(?P<uploads>uploads/?)|uploads/(?P<upload>[^/]+)|(?P<blobs>[^/]+)))",
    re.DOTALL,
)


def parse(method: str, raw_path: str, query: Query) -> Route:
    """Read the path and query of a request.

    Args:
        method: the HTTP method, upper case.
        raw_path: the path as sent, percent-encoded.
        query: every query parameter with its values, decoded; parameters of others are ignored.

    Raises:
        NotFound: no such endpoint.
        Unsupported: the endpoint exists and does not know the method.
        NameInvalid, DigestInvalid: the name, tag or digest is outside the grammar.
        ManifestUnknown: a read by a tag that no tag could be named.
    """
    path = unquote(raw_path)
    route = _parse_path(method, path, query)
    if method not in route.methods:
        allowed = ", ".join(sorted(route.methods))
        shown = path[:_MOST_QUOTED]
        raise Unsupported(f"{method} is not a method of {shown}: {allowed} are", method=method, allowed=allowed)
    return route


def parse_query(text: str) -> dict[str, list[str]]:
    """Read the part of a URL after ``?``.

    ``+`` is itself and not a space: media types hold it, and clients forget to encode it; no value here has spaces.

    Raises:
        ClientFault: it has more than :data:`MAX_PARAMETERS`.
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


def _parse_path(method: str, path: str, query: Query) -> Route:
    if path in {"/v2/", "/v2"}:
        return PingRoute()
    if path == "/v2/_catalog":
        return CatalogRoute(PageRequest.parse(query))
    match = _ENDPOINTS.fullmatch(path)
    if match is None:
        shown = path[:_MOST_QUOTED]
        raise NotFound(f"{shown!r} is not an endpoint of the distribution API", path=shown)
    kind = match.lastgroup or ""
    target = _Target(method, match["name"], match[kind], query)
    return _PARSERS[kind](target)


def _parse_tags(target: _Target) -> Route:
    return TagsRoute(Repository.parse(target.name), PageRequest.parse(target.query))


def _parse_referrers(target: _Target) -> Route:
    repository = Repository.parse(target.name)
    page = PageRequest.parse(target.query)
    return ReferrersRoute(repository, Digest.parse(target.tail), target.first("artifactType"), page)


def _parse_manifest(target: _Target) -> Route:
    repository = Repository.parse(target.name)
    tags = tuple(Tag.parse(text) for text in target.query.get("tag", ()))
    try:
        return ManifestRoute(repository, parse_reference(target.tail), tags)
    except NameInvalid as error:
        if target.method in {"GET", "HEAD"}:
            raise ManifestUnknown(f"nothing can be stored under that name: {error}", **error.detail) from error
        raise


def _parse_blob(target: _Target) -> Route:
    return BlobRoute(Repository.parse(target.name), Digest.parse(target.tail))


def _parse_uploads(target: _Target) -> Route:
    source = target.first("from")
    algorithm = target.first("digest-algorithm")
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise DigestInvalid(f"digest-algorithm {algorithm[:32]!r} is not one of {', '.join(ALGORITHMS)}")
    return UploadsRoute(
        repository=Repository.parse(target.name),
        digest=target.digest("digest"),
        mount=target.digest("mount"),
        source=None if source is None else Repository.parse(source),
        algorithm=algorithm,
    )


def _parse_upload(target: _Target) -> Route:
    repository = Repository.parse(target.name)
    if _UPLOAD_ID.fullmatch(target.tail) is None:
        shown = target.tail[:_MOST_QUOTED]
        raise NotFound(f"{shown!r} is not the name of an upload", upload=shown)
    digest = target.digest("digest") if target.method == "PUT" else None
    return UploadRoute(repository, target.tail, digest)


_PARSERS = {
    "tags": _parse_tags,
    "referrers": _parse_referrers,
    "manifests": _parse_manifest,
    "uploads": _parse_uploads,
    "upload": _parse_upload,
    "blobs": _parse_blob,
}


def closing_url(location: str, digest: Digest) -> str:
    """The URL that closes an upload: the ``Location`` given for it, its own query kept, with ``digest`` added."""
    return f"{location}{'&' if '?' in location else '?'}digest={quote(str(digest), safe=':')}"

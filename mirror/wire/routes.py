"""Resources of the distribution API, as values that build their own URLs (distribution-spec, "Endpoints").

:mod:`mirror.wire.request_line` parses URLs into these values.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import quote, urlencode

from mirror.oci import Digest, Repository, Tag
from mirror.wire.pagination import PageRequest

_FIRST_PAGE = PageRequest()


class Route:
    """A resource of the distribution API. ``methods`` holds the methods the specification defines for the resource."""

    methods: ClassVar[frozenset[str]]

    def url(self) -> str:
        """Return path and query for a request line."""
        # quote, not the default quote_plus: our parser reads "+" as itself, so a space must become %20.
        query = urlencode(list(self._query()), quote_via=quote, safe="/:")
        return f"{self._path()}?{query}" if query else self._path()

    def _path(self) -> str:
        raise AssertionError("every route has a path")

    def _query(self) -> Iterable[tuple[str, str]]:
        return ()


@dataclass(frozen=True, slots=True)
class PingRoute(Route):
    """``/v2/``: tells clients that this is a registry, and whether it asks for credentials."""

    methods: ClassVar[frozenset[str]] = frozenset({"GET", "HEAD"})

    def _path(self) -> str:
        return "/v2/"


@dataclass(frozen=True, slots=True)
class CatalogRoute(Route):
    """``/v2/_catalog``: the list of repositories."""

    methods: ClassVar[frozenset[str]] = frozenset({"GET", "HEAD"})
    page: PageRequest = _FIRST_PAGE

    def _path(self) -> str:
        return "/v2/_catalog"

    def _query(self) -> Iterable[tuple[str, str]]:
        return self.page.query()


@dataclass(frozen=True, slots=True)
class TagsRoute(Route):
    """``/v2/NAME/tags/list``: the tags of a repository."""

    methods: ClassVar[frozenset[str]] = frozenset({"GET", "HEAD"})
    repository: Repository
    page: PageRequest = _FIRST_PAGE

    def _path(self) -> str:
        return f"/v2/{self.repository}/tags/list"

    def _query(self) -> Iterable[tuple[str, str]]:
        return self.page.query()


@dataclass(frozen=True, slots=True)
class ReferrersRoute(Route):
    """``/v2/NAME/referrers/DIGEST``: the manifests whose subject is DIGEST."""

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
    """``/v2/NAME/manifests/TARGET``: a manifest. On PUT by digest, ``?tag=`` names tags to set."""

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
    """``/v2/NAME/blobs/DIGEST``: a blob."""

    methods: ClassVar[frozenset[str]] = frozenset({"GET", "HEAD", "DELETE"})
    repository: Repository
    digest: Digest

    def _path(self) -> str:
        return f"/v2/{self.repository}/blobs/{self.digest}"


@dataclass(frozen=True, slots=True)
class UploadsRoute(Route):
    """``/v2/NAME/blobs/uploads/``: begins an upload session, takes a whole blob, or mounts a blob.

    Attributes:
        repository: the repository that receives the blob.
        digest: digest of a blob sent whole with the POST; None otherwise.
        mount: digest of a blob to mount from another repository; None otherwise.
        source: the repository to mount from; None if the client names none.
        algorithm: the digest algorithm the closing PUT will use; None if the client does not announce one.
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
    """``/v2/NAME/blobs/uploads/ID``: an upload session. A PUT with ``?digest=`` closes the session."""

    methods: ClassVar[frozenset[str]] = frozenset({"GET", "HEAD", "PATCH", "PUT", "DELETE"})
    repository: Repository
    upload_id: str
    digest: Digest | None = None

    def _path(self) -> str:
        return f"/v2/{self.repository}/blobs/uploads/{self.upload_id}"

    def _query(self) -> Iterable[tuple[str, str]]:
        return () if self.digest is None else (("digest", str(self.digest)),)


def closing_url(location: str, digest: Digest) -> str:
    """Return the URL that closes an upload session: its ``Location`` with its own query kept and ``digest`` added."""
    return f"{location}{'&' if '?' in location else '?'}digest={quote(str(digest), safe=':')}"

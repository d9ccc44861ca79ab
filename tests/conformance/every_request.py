"""Requests for every route of the server, in many forms, about a repository that most callers may not read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from urllib.parse import quote

from mirror.oci import Digest, Repository, Tag
from mirror.oci.media_types import DOCKER_MANIFEST, OCI_INDEX
from mirror.wire import routes
from mirror.wire.pagination import PageRequest
from mirror.wire.routes import Route
from tests.conformance.content import digest_of, encode
from tests.support.layers import entry, tar, zipped
from tests.support.plugins import CONFIG, DRIVER
from tests.support.served import manifest_bytes

SECRET, OPEN = Repository("secret/driver"), Repository("acme/driver")


@dataclass(frozen=True)
class Held:
    """The content of one repository: one plugin, and a manifest that refers to it."""

    word: bytes

    @cached_property
    def config(self) -> bytes:
        return json.dumps({**CONFIG, "Description": self.word.decode()}).encode()

    @cached_property
    def layer(self) -> bytes:
        return zipped(tar(entry("bin/driver", DRIVER + self.word, mode=0o755)))

    @cached_property
    def manifest(self) -> bytes:
        return manifest_bytes(self.config, [self.layer])

    @cached_property
    def digest(self) -> Digest:
        return Digest.of(self.manifest)

    @cached_property
    def referrer(self) -> bytes:
        subject = {"mediaType": DOCKER_MANIFEST, "digest": str(self.digest), "size": len(self.manifest)}
        return manifest_bytes(self.config, [self.layer], subject=subject)


HIDDEN, SHOWN = Held(b"nobody knows"), Held(b"known to some")
#: What no answer may have in it.
SECRETS = [str(SECRET), "nobody knows", HIDDEN.digest.hex, digest_of(HIDDEN.config)[7:], digest_of(HIDDEN.layer)[7:]]


@dataclass(frozen=True)
class Asked:
    """A request.

    Attributes:
        method: its method.
        target: its target.
        route: the route, or the path of a page beside the API.
        headers: its headers.
        body: its body.
        version: version of HTTP.
        is_plain: True if the target is spelt as the server spells it, so that the rules tell the answer.
    """

    method: str
    target: str
    route: Route | str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    version: str = "1.1"
    is_plain: bool = True

    def __str__(self) -> str:
        return f"{self.method} {self.target} {dict(self.headers)} HTTP/{self.version}"


# Requests


def routes_of(repository: Repository, session: str) -> dict[type[Route], list[Route]]:
    """Return routes of a repository that name content of the secret repository, by the kind of the route."""
    manifest, config = HIDDEN.digest, Digest.of(HIDDEN.config)
    return {
        routes.PingRoute: [routes.PingRoute()],
        routes.CatalogRoute: [routes.CatalogRoute(), routes.CatalogRoute(PageRequest(1, "s"))],
        routes.TagsRoute: [routes.TagsRoute(repository)],
        routes.ReferrersRoute: [routes.ReferrersRoute(repository, manifest)],
        routes.ManifestRoute: [routes.ManifestRoute(repository, each) for each in (Tag("1"), manifest)],
        routes.BlobRoute: [routes.BlobRoute(repository, config)],
        routes.UploadsRoute: [
            routes.UploadsRoute(repository),
            routes.UploadsRoute(repository, mount=config, source=SECRET),
            routes.UploadsRoute(repository, mount=config),
            routes.UploadsRoute(repository, digest=config),
        ],
        routes.UploadRoute: [routes.UploadRoute(repository, session), routes.UploadRoute(repository, session, config)],
    }


def bodies(method: str, route: Route) -> Iterator[tuple[str, bytes]]:
    """Yield media types and bodies to send."""
    match route:
        case routes.ManifestRoute() if method == "PUT":
            listed = {"mediaType": DOCKER_MANIFEST, "digest": str(HIDDEN.digest), "size": len(HIDDEN.manifest)}
            yield DOCKER_MANIFEST, HIDDEN.manifest
            yield DOCKER_MANIFEST, manifest_bytes(SHOWN.config, [HIDDEN.layer])
            yield OCI_INDEX, encode({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [listed]})
        case routes.UploadRoute() if method in {"PUT", "PATCH"}:
            yield "application/octet-stream", b"other content"
        case routes.UploadsRoute(digest=Digest()):
            yield "application/octet-stream", b"other content"
        case _:
            yield "", b""


#: Pages beside the API, by path: methods, and queries or bodies to send.
BESIDE: dict[str, tuple[tuple[str, ...], Sequence[str | dict[str, Any]]]] = {
    "/healthz": (("GET", "HEAD"), [""]),
    "/readyz": (("GET", "HEAD"), [""]),
    "/metrics": (("GET", "HEAD"), [""]),
    "/ca.crt": (("GET", "HEAD"), [""]),
    "/host-setup.sh": (("GET", "HEAD"), [""]),
    **{
        f"/api/v1/{name}": (("GET", "HEAD"), [""])
        for name in ("mirrors", "bundles", "upstreams", "pins", "admission", "platform-tags")
    },
    **{f"/api/v1/{name}": (("GET", "HEAD"), [""]) for name in ("hosts", "storage", "quotas", "config")},
    **{
        f"/api/v1/admission/{verb}": (
            ("POST",),
            [
                {"reference": f"{SECRET}@{HIDDEN.digest}"},
                {"reference": f"{SECRET}:1", "digest": str(HIDDEN.digest)},
                {"reference": f"{SECRET}:1"},
                {"reference": f"{OPEN}@{HIDDEN.digest}", "note": verb},
                {"reference": f"{OPEN}:1", "digest": str(HIDDEN.digest)},
                *([{"reference": f"{OPEN}@{HIDDEN.digest}", "overrule": True}] if verb == "approve" else []),
            ],
        )
        for verb in ("approve", "reject")
    },
    "/token": (
        ("GET", "POST"),
        [
            "?scope=registry:catalog:*&"
            + "&".join(f"scope={quote(f'repository:{each}:pull,push,delete,approve')}" for each in (SECRET, OPEN))
        ],
    ),
}


def _with_query(target: str, query: str) -> str:
    return f"{target}{'&' if '?' in target else '?'}{query}"


def variants(asked: Asked) -> Iterator[Asked]:
    """Yield the request in other forms, which must tell as little."""
    target, (path, mark, query) = asked.target, asked.target.partition("?")
    yield asked
    yield replace(asked, target=_with_query(target, "ns=docker.io"), is_plain=False)
    if asked.method == "GET":
        yield replace(asked, version="1.0")
        yield replace(asked, target=_with_query(target, "ns=quay.io&x=1&n=0"), is_plain=False)
    if isinstance(asked.route, str | routes.PingRoute | routes.CatalogRoute):
        return
    # In the name itself: the route is the same.
    yield replace(asked, target=f"{path.replace('secret', '%73ecret').replace('acme/', 'acme%2F')}{mark}{query}")
    if asked.method in {"GET", "HEAD"}:
        known = f'"{digest_of(HIDDEN.config)}", W/"{HIDDEN.digest}"'
        yield replace(asked, headers=(*asked.headers, ("If-None-Match", known)))
        yield replace(asked, headers=(*asked.headers, ("Range", "bytes=999999-")))
    if asked.method != "GET":
        return
    yield replace(asked, headers=(*asked.headers, ("OCI-Namespace", "docker.io")))
    yield replace(asked, target=f"http://mirror{target}")
    for spelt in (
        path.replace("/v2/", "//v2/", 1),
        path.replace("/v2/", "/v2//", 1),
        path.replace("/v2/", "/v2/acme/driver/../../", 1),
        path.replace("/v2/", "/v2/acme%2Fdriver%2F..%2F..%2F", 1),
        path.replace("/v2/", "/x/../v2/", 1),
        path + "/",
        path + "%00",
    ):
        yield replace(asked, target=f"{spelt}{mark}{query}", is_plain=False)
    if isinstance(asked.route, routes.ManifestRoute | routes.BlobRoute):
        for headers in (
            (("Range", "bytes=0-0"),),
            (("If-None-Match", "*"),),
            (("If-Range", f'"{digest_of(HIDDEN.config)}"'), ("Range", "bytes=1-2")),
            (("User-Agent", "docker/20.10.24 go/go1.19 kernel/5 os/linux arch/amd64"), ("Accept", OCI_INDEX)),
        ):
            yield replace(asked, headers=(*asked.headers, *headers))


def requests(session: str, *, in_all_forms: bool) -> Iterator[Asked]:
    """Yield the requests. Deletions are the last, so that there is something to find before.

    Args:
        session: identifier of an upload session of the secret repository.
        in_all_forms: True to yield each request in all of its forms, False for one.
    """
    for asked in _requests(session):
        yield from variants(asked) if in_all_forms else (asked,)


def _requests(session: str) -> Iterator[Asked]:
    for deletes in (False, True):
        for repository in (SECRET, OPEN):
            for kind, examples in routes_of(repository, session).items():
                for route in examples:
                    for method in sorted(kind.methods):
                        if (method == "DELETE") is deletes:
                            for media_type, body in bodies(method, route):
                                headers = (("Content-Type", media_type),) if media_type else ()
                                yield Asked(method, route.url(), route, headers, body)
    for path, (methods, given) in BESIDE.items():
        for method in methods:
            for each in given:
                if isinstance(each, str) and method == "POST":
                    form = f"grant_type=password&client_id=x&{each[1:]}"
                    typed = (("Content-Type", "application/x-www-form-urlencoded"),)
                    yield Asked(method, path, path, typed, form.encode())
                elif isinstance(each, str):
                    yield Asked(method, path + each, path)
                else:
                    yield Asked(method, path, path, (), json.dumps(each).encode())

"""Paths of the distribution API: parsing a built path returns the route, and only errors of the tree are raised."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mirror.oci import Digest, Repository, Tag
from mirror.oci.digest import ALGORITHMS
from mirror.oci.errors import (
    ClientFault,
    DigestInvalid,
    ManifestUnknown,
    MirrorError,
    NameInvalid,
    NotFound,
    Unsupported,
)
from mirror.wire import request_line, routes
from mirror.wire.pagination import MAX_PAGE, PageRequest

_COMPONENT = st.from_regex(r"[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}", fullmatch=True)
REPOSITORIES = st.lists(_COMPONENT, min_size=1, max_size=4).map("/".join).map(Repository.parse)
TAGS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", fullmatch=True).map(Tag.parse)
DIGESTS = st.builds(Digest.of, st.binary(), st.sampled_from(ALGORITHMS))
PAGES = st.builds(
    PageRequest, st.none() | st.integers(0, MAX_PAGE), st.none() | st.text(st.characters(codec="utf-8"), min_size=1)
)
WORDS = st.text(st.characters(codec="utf-8"), min_size=1)
UPLOAD_IDS = st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)

ROUTES: st.SearchStrategy[tuple[str, routes.Route]] = st.one_of(
    st.tuples(st.sampled_from(["GET", "HEAD"]), st.just(routes.PingRoute())),
    st.tuples(st.just("GET"), st.builds(routes.CatalogRoute, PAGES)),
    st.tuples(st.just("GET"), st.builds(routes.TagsRoute, REPOSITORIES, PAGES)),
    st.tuples(st.just("GET"), st.builds(routes.ReferrersRoute, REPOSITORIES, DIGESTS, st.none() | WORDS, PAGES)),
    st.tuples(
        st.sampled_from(["GET", "HEAD", "PUT", "DELETE"]),
        st.builds(routes.ManifestRoute, REPOSITORIES, TAGS | DIGESTS, st.lists(TAGS, max_size=12).map(tuple)),
    ),
    st.tuples(st.sampled_from(["GET", "HEAD", "DELETE"]), st.builds(routes.BlobRoute, REPOSITORIES, DIGESTS)),
    st.tuples(
        st.just("POST"),
        st.builds(
            routes.UploadsRoute,
            repository=REPOSITORIES,
            digest=st.none() | DIGESTS,
            mount=st.none() | DIGESTS,
            source=st.none() | REPOSITORIES,
            algorithm=st.none() | st.sampled_from(ALGORITHMS),
        ),
    ),
    st.tuples(st.just("PUT"), st.builds(routes.UploadRoute, REPOSITORIES, UPLOAD_IDS, st.none() | DIGESTS)),
    st.tuples(
        st.sampled_from(["GET", "HEAD", "PATCH", "DELETE"]), st.builds(routes.UploadRoute, REPOSITORIES, UPLOAD_IDS)
    ),
)


def read(method: str, target: str) -> routes.Route:
    path, _, query = target.partition("?")
    return request_line.parse(method, path, request_line.parse_query(query))


@given(ROUTES)
def test_a_route_is_read_as_it_was_built(case: tuple[str, routes.Route]) -> None:
    method, route = case
    assert read(method, route.url()) == route


@given(st.sampled_from(["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "BREW"]), st.text())
@example("GET", "/v2/\udcff/manifests/a")
@example("GET", "/v2/a/manifests/\udcff")
@example("PUT", "/v2/a/manifests/a?tag=%00")
def test_any_text_is_a_route_or_an_error_of_the_tree(method: str, text: str) -> None:
    for target in (text, f"/v2/{text}", f"/v2/a/manifests/{text}", f"/v2/a/blobs/{text}", f"/v2/a/referrers/{text}"):
        try:
            route = read(method, target)
        except MirrorError as error:
            assert error.message
        else:
            assert method in route.methods


@given(st.text())
def test_any_text_is_a_query(text: str) -> None:
    for values in request_line.parse_query(text).values():
        assert values


@given(st.lists(st.tuples(WORDS, WORDS), max_size=5))
def test_a_query_is_read_as_it_was_built(pairs: Sequence[tuple[str, str]]) -> None:
    text = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
    expected: dict[str, list[str]] = {}
    for name, value in pairs:
        expected.setdefault(name, []).append(value)
    assert request_line.parse_query(text) == expected


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("", {}),
        ("&&", {}),
        ("n", {"n": [""]}),
        ("n=", {"n": [""]}),
        ("tag=a&tag=b", {"tag": ["a", "b"]}),
        ("artifactType=application/vnd.a+json", {"artifactType": ["application/vnd.a+json"]}),
        ("artifactType=application%2Fvnd.a%2Bjson", {"artifactType": ["application/vnd.a+json"]}),
        ("a=b=c", {"a": ["b=c"]}),
        ("last=%zz", {"last": ["%zz"]}),
    ],
)
def test_queries(text: str, query: dict[str, list[str]]) -> None:
    assert request_line.parse_query(text) == query


A = Repository("a")
DIGEST = Digest.of(b"")


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", "/v2", routes.PingRoute()),
        ("GET", "/v2/?ns=docker.io", routes.PingRoute()),
        ("GET", "/v2/a/manifests/1.0", routes.ManifestRoute(A, Tag("1.0"))),
        ("GET", "/v2/a/manifests/manifests/1.0", routes.ManifestRoute(Repository("a/manifests"), Tag("1.0"))),
        ("GET", "/v2/tags/list/tags/list", routes.TagsRoute(Repository("tags/list"))),
        (
            "GET",
            "/v2/a/blobs/uploads/x/blobs/" + str(DIGEST),
            routes.BlobRoute(Repository("a/blobs/uploads/x"), DIGEST),
        ),
        ("POST", "/v2/a/blobs/uploads", routes.UploadsRoute(A)),
        ("GET", f"/v2/a/blobs/uploads/x?digest={DIGEST}", routes.UploadRoute(A, "x")),
        ("GET", f"/v2/a/manifests/{str(DIGEST).replace(':', '%3a')}", routes.ManifestRoute(A, DIGEST)),
        ("POST", "/v2/a/blobs/uploads/?digest=&mount=&from=", routes.UploadsRoute(A)),
    ],
)
def test_what_paths_mean(method: str, target: str, expected: routes.Route) -> None:
    assert read(method, target) == expected


@pytest.mark.parametrize(
    ("method", "target", "kind"),
    [
        ("GET", "/", NotFound),
        ("GET", "/v1/_ping", NotFound),
        ("GET", "/v2/a", NotFound),
        ("GET", "/v2/a/manifests/", NotFound),
        ("GET", "/v2/a/manifests/a/b", NotFound),
        ("GET", "/v2//manifests/a", NotFound),
        ("GET", "/v2/../../etc", NotFound),
        ("GET", "/v2/a/blobs/uploads/%2e%2e", NotFound),
        ("GET", "/v2/a/blobs/uploads/" + "x" * 129, NotFound),
        ("GET", "/v2/../../etc/manifests/a", NameInvalid),
        ("GET", "/v2/%2e%2e%2fetc/manifests/a", NameInvalid),
        ("GET", "/v2/A/manifests/a", NameInvalid),
        ("GET", "/v2/" + "a" * 256 + "/manifests/a", NameInvalid),
        ("GET", "/v2/a/manifests/" + "a" * 129, ManifestUnknown),
        ("HEAD", "/v2/a/manifests/.a", ManifestUnknown),
        ("PUT", "/v2/a/manifests/" + "a" * 129, NameInvalid),
        ("PUT", "/v2/a/manifests/a?tag=.a", NameInvalid),
        ("GET", "/v2/a/manifests/a:b", DigestInvalid),
        ("GET", "/v2/a/blobs/a", DigestInvalid),
        ("POST", "/v2/a/blobs/uploads/?digest=a", DigestInvalid),
        ("POST", "/v2/a/blobs/uploads/?digest-algorithm=md5", DigestInvalid),
        ("PATCH", "/v2/a/manifests/a", Unsupported),
        ("get", "/v2/", Unsupported),
    ],
)
def test_what_is_no_route(method: str, target: str, kind: type[MirrorError]) -> None:
    with pytest.raises(MirrorError) as caught:
        read(method, target)
    assert type(caught.value) is kind


def test_an_unsupported_method_is_told_what_is_supported() -> None:
    with pytest.raises(Unsupported) as caught:
        read("PATCH", "/v2/_catalog")
    assert caught.value.detail["allowed"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("route", "url"),
    [
        (routes.TagsRoute(A, PageRequest(3, "b c&d")), "/v2/a/tags/list?n=3&last=b%20c%26d"),
        (routes.ReferrersRoute(A, DIGEST, "x/y+z"), f"/v2/a/referrers/{DIGEST}?artifactType=x/y%2Bz"),
        (
            routes.UploadsRoute(A, mount=DIGEST, source=Repository("b/c")),
            f"/v2/a/blobs/uploads/?mount={DIGEST}&from=b/c",
        ),
    ],
)
def test_urls(route: Any, url: str) -> None:
    assert route.url() == url


def test_a_query_has_so_many_parameters_and_no_more() -> None:
    full = "&".join(["tag=a"] * request_line.MAX_PARAMETERS)
    assert request_line.parse_query(full) == {"tag": ["a"] * request_line.MAX_PARAMETERS}
    with pytest.raises(ClientFault, match="too many parameters"):
        request_line.parse_query(f"{full}&tag=a")


@pytest.mark.parametrize("path", ["/nothing/" + "x" * 10_000, "/v2/a/blobs/uploads/" + "x" * 10_000])
def test_a_long_path_is_not_quoted_whole(path: str) -> None:
    with pytest.raises(NotFound) as refused:
        request_line.parse("GET", path, {})
    assert len(str(refused.value)) + sum(map(len, refused.value.detail.values())) < 1000


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("", ""),
        ("/", ""),
        ("/registry", "/registry"),
        ("/registry/", "/registry"),
        ("/a/b-c_d.e~f/9", "/a/b-c_d.e~f/9"),
        ("/v2x", "/v2x"),
        ("/x/v2", "/x/v2"),
        ("/...", "/..."),
        ("/" + "a" * 254, "/" + "a" * 254),
        ("/" + "a" * 255, None),
        ("/v2", None),
        ("/v2/x", None),
        ("registry", None),
        ("//", None),
        ("//a", None),
        ("/a//b", None),
        ("/.", None),
        ("/a/..", None),
        ("/../a", None),
        ("/a\n", None),
        ("/a%2f", None),
        ("/é", None),
    ],
)
def test_a_prefix_is_a_path_of_plain_names(text: str, prefix: str | None) -> None:
    assert request_line.parse_prefix(text) == prefix


@given(st.text(st.sampled_from("/.ab%<>\r\n\\;?#v2"), max_size=20))
def test_a_prefix_stays_below_this_host(text: str) -> None:
    prefix = request_line.parse_prefix(text)
    if prefix:
        parts = urlsplit(f"{prefix}/v2/")
        assert (parts.scheme, parts.netloc, parts.path) == ("", "", f"{prefix}/v2/")
        assert posixpath.normpath(prefix) == prefix
        assert prefix.isprintable()

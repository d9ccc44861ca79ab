"""Scopes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import Repository
from mirror.oci.errors import NameInvalid
from mirror.wire import request_line
from mirror.wire.auth.scopes import CATALOG, MOST_SCOPES, Scope, needed, parse_scopes, repository_scope

DIGEST = "sha256:" + "0" * 64
WORDS = st.from_regex(r"[a-z0-9]{1,12}", fullmatch=True)
ACTIONS = st.lists(st.from_regex(r"[a-z]{1,9}|\*", fullmatch=True), max_size=4).map(tuple)
NAMES = st.from_regex(r"[a-z0-9]+([._-][a-z0-9]+)?(:[0-9]{2,4})?(/[a-z0-9]+){0,2}", fullmatch=True)
SCOPES = st.builds(Scope, WORDS, NAMES, ACTIONS)


@given(SCOPES)
def test_a_scope_is_read_as_it_was_written(scope: Scope) -> None:
    assert Scope.parse(str(scope)) == scope


@given(st.lists(SCOPES, max_size=5))
def test_scopes_share_a_parameter(scopes: list[Scope]) -> None:
    assert parse_scopes([" ".join(map(str, scopes))]) == tuple(scopes) == parse_scopes(map(str, scopes))


@given(st.text() | st.text(alphabet="repository:(plugin)a/b,pul* "))
def test_any_text_is_a_scope_or_none(text: str) -> None:
    try:
        scope = Scope.parse(text)
    except NameInvalid:
        assert parse_scopes([text]) == parse_scopes(text.split())
    else:
        assert scope.kind in text
        assert scope.name in text


@pytest.mark.parametrize(
    ("text", "kind", "name", "actions", "repository"),
    [
        ("repository:contiv/v2plugin:pull,push", "repository", "contiv/v2plugin", ("pull", "push"), "contiv/v2plugin"),
        ("repository(plugin):a/b:push,pull", "repository", "a/b", ("push", "pull"), "a/b"),
        ("repository:mirror.example:5000/a:pull", "repository", "mirror.example:5000/a", ("pull",), None),
        ("repository:UPPER:pull", "repository", "UPPER", ("pull",), None),
        ("repository:a:", "repository", "a", (), "a"),
        ("registry:catalog:*", "registry", "catalog", ("*",), None),
    ],
)
def test_scopes_of_engines_and_others(
    text: str, kind: str, name: str, actions: tuple[str, ...], repository: str | None
) -> None:
    scope = Scope.parse(text)
    assert (scope.kind, scope.name, scope.actions) == (kind, name, actions)
    assert scope.repository == (None if repository is None else Repository(repository))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "repository",
        "repository:a",
        "repository:a b:pull",
        "repository::pull",
        "repository():a:pull",
        "a:b:C",
    ],  # fmt: skip,
)
def test_what_is_no_scope(text: str) -> None:
    with pytest.raises(NameInvalid):
        Scope.parse(text)


def test_only_so_many_are_read() -> None:
    many = [f"repository:a{number}:pull" for number in range(1000)]
    assert len(parse_scopes(many)) == len(parse_scopes([" ".join(many)])) == MOST_SCOPES


@pytest.mark.parametrize(
    ("method", "target", "scopes"),
    [
        ("GET", "/v2/", ""),
        ("GET", "/v2/_catalog", str(CATALOG)),
        ("GET", "/v2/a/b/tags/list", "repository:a/b:pull"),
        ("HEAD", "/v2/a/b/manifests/1", "repository:a/b:pull"),
        ("PUT", "/v2/a/b/manifests/1", "repository:a/b:pull,push"),
        ("DELETE", "/v2/a/b/manifests/1", "repository:a/b:delete"),
        ("GET", f"/v2/a/b/blobs/{DIGEST}", "repository:a/b:pull"),
        ("DELETE", f"/v2/a/b/blobs/{DIGEST}", "repository:a/b:delete"),
        ("GET", f"/v2/a/b/referrers/{DIGEST}", "repository:a/b:pull"),
        ("POST", "/v2/a/b/blobs/uploads/", "repository:a/b:pull,push"),
        ("POST", f"/v2/a/b/blobs/uploads/?mount={DIGEST}", "repository:a/b:pull,push"),
        ("POST", f"/v2/a/b/blobs/uploads/?mount={DIGEST}&from=c", "repository:a/b:pull,push repository:c:pull"),
        ("POST", f"/v2/a/b/blobs/uploads/?mount={DIGEST}&from=a/b", "repository:a/b:pull,push"),
        ("POST", "/v2/a/b/blobs/uploads/?from=c", "repository:a/b:pull,push"),
        ("GET", "/v2/a/b/blobs/uploads/x", "repository:a/b:pull,push"),
        ("PATCH", "/v2/a/b/blobs/uploads/x", "repository:a/b:pull,push"),
        ("PUT", "/v2/a/b/blobs/uploads/x", "repository:a/b:pull,push"),
        ("DELETE", "/v2/a/b/blobs/uploads/x", "repository:a/b:pull,push"),
    ],
)
def test_what_a_request_needs(method: str, target: str, scopes: str) -> None:
    path, _, query = target.partition("?")
    assert (
        " ".join(map(str, needed(method, request_line.parse(method, path, request_line.parse_query(query))))) == scopes
    )


def test_scopes_as_the_specification_writes_them() -> None:
    assert repository_scope(Repository("contiv/v2plugin"), "pull") == "repository:contiv/v2plugin:pull"
    assert repository_scope(Repository("a"), "pull", "push") == "repository:a:pull,push"
